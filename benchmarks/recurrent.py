"""Times recurrent layers against Keras, PyTorch and TensorFlow's own LSTM kernel.

    python -m benchmarks.recurrent --output=recurrent.md
    python -m benchmarks.recurrent --layers=LSTM --cases=2,4 --rounds=20
    python -m benchmarks.recurrent --device=gpu

Every candidate and peer of a case runs in one process, warmed up, in turns of an order
drawn anew each round, so that whatever else the machine does meets all of them. A turn is
one run that does not count, which finds the caches and threads as somebody else left
them (those of PyTorch spin for a while after its work), and one that does. The table has
medians over the rounds in milliseconds: of five, all rows take under four minutes on two
cores. "graph" is a `tf.function`, "jit" one with `jit_compile=True`. A
training step is the forward pass and the gradients of the input and of all weights;
inference is the forward pass; results are fetched. First call: tracing, compilation and
one run, in seconds. "÷ Keras" and "÷ torch" compare the faster way of each. With
--device=gpu all of it runs on the first GPU, with whatever each layer chooses there.
"""

import json
import os
import random
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import devices
from kerasdl import layers

CASES = (
    (32, 16, 256, 512),
    (128, 17, 256, 512),
    (64, 100, 128, 128),
    (1, 32, 256, 256),
    (16, 500, 64, 256),
)
COLUMNS = (
    "kerasdl graph",
    "kerasdl jit",
    "keras graph",
    "keras jit",
    "torch",
    "BlockLSTMV2",
)
OURS, KERAS = COLUMNS[:2], COLUMNS[2:4]
# What the table divides: each is a title, ours and theirs, of which the faster counts.
RATIOS = (
    ("÷ Keras", OURS, KERAS),
    ("graph ÷ graph", OURS[:1], KERAS[:1]),
    ("÷ torch", OURS, ("torch",)),
)

LAYERS = ("LSTM", "GRU", "SimpleRNN")
_LAYERS = flags.DEFINE_list("layers", list(LAYERS), "Which of the layers.")
_CASES = flags.DEFINE_list(
    "cases", [str(k) for k in range(len(CASES))], f"Which of the sizes {CASES}."
)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "How many times each candidate counts.")
_DEVICE = flags.DEFINE_enum("device", "cpu", devices.DEVICES, "Where it runs.")
_OUTPUT = flags.DEFINE_string(
    "output", "", "Where to write the table; results of other runs there are kept."
)


def main(_):
    """Runs the command."""
    devices.use(_DEVICE.value)
    results = read_results(_OUTPUT.value)
    for name in _LAYERS.value:
        for case in map(int, _CASES.value):
            for kind, medians in measure(name, CASES[case], _ROUNDS.value).items():
                results[f"{name} {kind} {case}"] = medians
            write_results(_OUTPUT.value, results)
    print(table(results))


def measure(name, size, rounds):
    """Returns {"training": {column: ms}, "inference": ..., "first call": {column: s}}.

    Args:
        name: one of `LAYERS`.
        size: (N, T, D, H).
        rounds: how many times each candidate counts.
    """
    candidates = {"training": {}, "inference": {}}
    first_call = {}
    for column in COLUMNS:
        built = candidate(column, name, *size)
        if built is None:
            continue
        for kind, run in built.items():
            start = time.perf_counter()
            run()
            if kind == "training":
                first_call[column] = time.perf_counter() - start
            run()
            candidates[kind][column] = run
    times = {kind: {column: [] for column in c} for kind, c in candidates.items()}
    turns = [(kind, column) for kind, c in candidates.items() for column in c]
    order = random.Random(0)
    for _ in range(rounds):
        order.shuffle(turns)
        for kind, column in turns:
            run = candidates[kind][column]
            run()
            start = time.perf_counter()
            run()
            times[kind][column].append(time.perf_counter() - start)
    result = {
        kind: {column: float(np.median(t) * 1e3) for column, t in columns.items()}
        for kind, columns in times.items()
    }
    return result | {"first call": first_call}


def candidate(column, name, n, t, d, h):
    """Returns {"training": function, "inference": function} of a column, or None."""
    draw = np.random.default_rng(0).normal
    x, upstream = (draw(size=(n, t, k)).astype(np.float32) for k in (d, h))
    if column == "torch":
        return of_torch(name, x, upstream, d, h)
    if column == "BlockLSTMV2":
        fits = name == "LSTM" and _DEVICE.value == "cpu"
        return of_block_lstm(x, d, h) if fits else None
    module = layers if column in OURS else keras.layers
    layer = getattr(module, name)(h, return_sequences=True)
    layer.build(x.shape)
    x, upstream = tf.constant(x), tf.constant(upstream)
    function = tf.function(autograph=False, jit_compile=column.endswith("jit") or None)

    @function
    def training(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=True)
        variables = [x, *(weight.value for weight in layer.trainable_weights)]
        return tape.gradient(outputs, variables, output_gradients=upstream)

    inference = function(layer.call)
    return {
        "training": lambda: [g.numpy() for g in training(x, upstream)],
        "inference": lambda: inference(x).numpy(),
    }


def of_torch(name, x, upstream, d, h):
    """Returns the functions of `torch.nn.LSTM`, `GRU`, `RNN`; None without PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    module = getattr(torch.nn, {"SimpleRNN": "RNN"}.get(name, name))(
        d, h, batch_first=True
    )
    device = "cuda" if _DEVICE.value == "gpu" else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        return None
    module = module.to(device)
    x = torch.tensor(x, requires_grad=True, device=device)
    upstream = torch.tensor(upstream, device=device)

    def training():
        outputs, _ = module(x)
        gradients = torch.autograd.grad(outputs, [x, *module.parameters()], upstream)
        return [gradient.cpu() for gradient in gradients]

    def inference():
        with torch.no_grad():
            return module(x)[0].cpu()

    return {"training": training, "inference": inference}


def of_block_lstm(x, d, h):
    """Returns the forward pass of TensorFlow's fused kernel, which is time-major."""
    x = tf.constant(x.swapaxes(0, 1))
    state, peephole = tf.zeros((x.shape[1], h)), tf.zeros(h)
    weights, bias = tf.random.normal((d + h, 4 * h), stddev=0.05), tf.zeros(4 * h)

    @tf.function(autograph=False)
    def inference(x):
        return tf.raw_ops.BlockLSTMV2(
            seq_len_max=tf.constant(x.shape[0], tf.int64),
            x=x,
            cs_prev=state,
            h_prev=state,
            w=weights,
            wci=peephole,
            wcf=peephole,
            wco=peephole,
            b=bias,
        ).h

    return {"inference": lambda: inference(x).numpy()}


def table(results):
    """Returns the results as Markdown tables."""
    lines = []
    for name in LAYERS:
        for kind in ("training", "inference", "first call"):
            rows = {
                case: results[f"{name} {kind} {case}"]
                for case in range(len(CASES))
                if f"{name} {kind} {case}" in results
            }
            if not rows:
                continue
            unit = "s" if kind == "first call" else "ms"
            columns = [c for c in COLUMNS if any(c in row for row in rows.values())]
            titles = ["N, T, D, H", *columns, *(title for title, *_ in RATIOS)]
            lines += ["", f"**{name}, {kind}** ({unit})", ""]
            lines += [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
            ratios = {title: [] for title, *_ in RATIOS}
            for case, row in rows.items():
                cells = [", ".join(map(str, CASES[case]))]
                cells += [f"{row[c]:.2f}" if c in row else "" for c in columns]
                for title, ours, theirs in RATIOS:
                    if not all(column in row for column in theirs):
                        cells.append("")
                        continue
                    ratios[title].append(
                        min(row[c] for c in ours) / min(row[c] for c in theirs)
                    )
                    cells.append(f"{ratios[title][-1]:.2f}")
                lines.append(f"| {' | '.join(cells)} |")
            means = [
                f"{np.exp(np.mean(np.log(r))):.2f}" if r else "" for r in ratios.values()
            ]
            blank = [""] * len(columns)
            lines.append(f"| {' | '.join(['geometric mean', *blank, *means])} |")
    return "\n".join(lines[1:]) + "\n"


def read_results(output):
    """Returns the results beside `output`, so that runs in pieces make one table."""
    path = f"{output}.json"
    if not output or not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write_results(output, results):
    """Writes the table to `output` and the results to `output`.json."""
    if not output:
        return
    for path, text in (
        (output, table(results)),
        (f"{output}.json", json.dumps(results, indent=1)),
    ):
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{path}.new", path)


if __name__ == "__main__":
    app.run(main)
