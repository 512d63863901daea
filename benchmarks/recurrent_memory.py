"""Measures the memory that a training step of an LSTM takes.

    python -m benchmarks.recurrent_memory

Each candidate runs in processes of its own, whose C library is told to give freed buffers
back (MALLOC_MMAP_THRESHOLD_), so that what is resident is what is in use. Measured is the
highest resident memory of a process that trains on T = 500 steps, less that of one that
trains on T = 8 steps with the same graph but for T: what 492 more steps take, of
sequences, activations and results. Medians of three processes each; and the median time
of a step, with the C library as it is.
"""

import os
import statistics
import subprocess
import sys
import time

from benchmarks.memory import peak_memory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

SIZE = 16, 500, 64, 256
SHORT = 8
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536"}
CANDIDATES = (
    ("keras.layers.LSTM, graph", "keras", False, {}),
    ("keras.layers.LSTM, jit", "keras", True, {}),
    ("kerasdl.layers.LSTM", "kerasdl", False, {}),
    ('kerasdl.layers.LSTM, recompute="sqrt"', "kerasdl", False, {"recompute": "sqrt"}),
    ('kerasdl.layers.LSTM, recompute="all"', "kerasdl", False, {"recompute": "all"}),
)


def measure(steps, library, jit_compile, arguments):
    """Returns (highest resident MiB, median ms) of training steps."""
    import keras
    import tensorflow as tf

    from kerasdl import layers

    n, _, d, h = SIZE
    module = keras.layers if library == "keras" else layers
    layer = module.LSTM(h, return_sequences=True, **arguments)
    layer.build((n, steps, d))
    x, upstream = tf.random.normal((n, steps, d)), tf.random.normal((n, steps, h))

    @tf.function(jit_compile=jit_compile or None, autograph=False)
    def training(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=True)
        variables = [x, *(weight.value for weight in layer.trainable_weights)]
        return tape.gradient(outputs, variables, output_gradients=upstream)

    times = []
    for _ in range(9):
        start = time.perf_counter()
        [gradient.numpy() for gradient in training(x, upstream)]
        times.append(time.perf_counter() - start)
    return peak_memory(), statistics.median(times) * 1e3


def main():
    """Measures the candidates named by number on the command line, or all."""
    if sys.argv[1:2] == ["--one"]:
        steps, k = map(int, sys.argv[2:])
        print(*measure(steps, *CANDIDATES[k][1:]))
        return
    print("| (N, T, D, H) = ({}, {}, {}, {}) | MiB | ms |".format(*SIZE))
    print("|---|---|---|")
    for k in map(int, sys.argv[1:] or range(len(CANDIDATES))):
        long, short = (
            statistics.median(in_a_process(steps, k, GIVE_BACK)[0] for _ in range(3))
            for steps in (SIZE[1], SHORT)
        )
        ms = statistics.median(in_a_process(SIZE[1], k)[1] for _ in range(3))
        print(f"| {CANDIDATES[k][0]} | {long - short:.0f} | {ms:.0f} |", flush=True)


def in_a_process(steps, k, environment=None):
    """Returns `measure` of a candidate in a new process."""
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.recurrent_memory"]
        + ["--one", str(steps), str(k)],
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return tuple(map(float, process.stdout.split()))


if __name__ == "__main__":
    main()
