"""Measures the memory that a training step of an LSTM takes.

    python benchmarks/recurrent_memory.py

Each candidate runs in a process of its own, which prints one line: the highest resident
memory during five training steps, less the memory before them, and the median time of
steps after that. The graph has been traced and compiled by then. Arguments and results
count where they are made anew in each step.
"""

import ctypes
import os
import subprocess
import sys
import threading
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

M_MMAP_THRESHOLD = -3  # of malloc.h
SIZE = 16, 500, 64, 256
CANDIDATES = (
    ("keras.layers.LSTM, graph", "keras", False, {}),
    ("keras.layers.LSTM, jit", "keras", True, {}),
    ("kerasdl.layers.LSTM", "kerasdl", False, {}),
    ('kerasdl.layers.LSTM, recompute="sqrt"', "kerasdl", False, {"recompute": "sqrt"}),
    ('kerasdl.layers.LSTM, recompute="all"', "kerasdl", False, {"recompute": "all"}),
)


def resident_mib():
    """Returns the resident memory of this process in MiB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(library, jit_compile, arguments):
    """Returns (peak MiB, median ms) of training steps."""
    import keras
    import tensorflow as tf

    from kerasdl import layers

    n, t, d, h = SIZE
    module = keras.layers if library == "keras" else layers
    layer = module.LSTM(h, return_sequences=True, **arguments)
    layer.build((n, t, d))
    x, upstream = tf.random.normal((n, t, d)), tf.random.normal((n, t, h))

    @tf.function(jit_compile=jit_compile or None, autograph=False)
    def training(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=True)
        variables = [x, *(weight.value for weight in layer.trainable_weights)]
        return tape.gradient(outputs, variables, output_gradients=upstream)

    # Freed memory would stay with the C library, and hide the next peak.
    libc = ctypes.CDLL("libc.so.6")
    libc.mallopt(M_MMAP_THRESHOLD, 2**16)
    training(x, upstream)
    libc.malloc_trim(0)
    before = peak = resident_mib()
    done = threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, resident_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(5):
        training(x, upstream)
    done.set()
    watcher.join()
    libc.mallopt(M_MMAP_THRESHOLD, 2**30)
    times = []
    for _ in range(9):
        start = time.perf_counter()
        [gradient.numpy() for gradient in training(x, upstream)]
        times.append(time.perf_counter() - start)
    return peak - before, sorted(times)[4] * 1e3


def main():
    """Runs each candidate in a process of its own."""
    if len(sys.argv) > 1:
        _, *candidate = CANDIDATES[int(sys.argv[1])]
        print("{:.1f} {:.1f}".format(*measure(*candidate)))
        return
    print("| (N, T, D, H) = ({}, {}, {}, {}) | MiB | ms |".format(*SIZE))
    print("|---|---|---|")
    for k, (name, *_) in enumerate(CANDIDATES):
        process = subprocess.run(
            [sys.executable, __file__, str(k)], stdout=subprocess.PIPE, text=True
        )
        if process.returncode:
            raise SystemExit(f"{name} failed, see above")
        print("| {} | {} | {} |".format(name, *process.stdout.split()), flush=True)


if __name__ == "__main__":
    main()
