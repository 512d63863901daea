"""Latency of exported files beside what Keras's own export makes of the same model.

    python -m benchmarks.export
    python -m benchmarks.export --models lstm_50x3x16 gru --forms loop unrolled

Each model is exported by `kerasdl.export.tflite`, for batch 1 and its length, in the
forms that are named, and by `model.export(format="litert")` of Keras (float32, in a
process of its own, for the converter may end it; with a fixed batch and built-in
operations alone if LiteRT does not run the file otherwise). All files of a model are then
run in turns, on one thread, `--rounds` times `--calls` calls; the median call of each
counts. A table in Markdown is printed, and the same as JSON with `--json=FILE`.
"""

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

L = keras.layers
# How `kerasdl.export.tflite` is called for a column of the table.
FORMS = {
    "auto": {},
    "loop": {"strategy": "loop"},
    "unrolled": {"strategy": "unrolled"},
    "dynamic": {"quantize": "dynamic"},
    "float16": {"quantize": "float16"},
    "weights": {"quantize": "weights"},
    "int8": {"quantize": "int8"},
}


def recurrent(steps: int, features: int, units: int, layer: Callable = L.LSTM):
    """One recurrent layer and a linear one."""
    return keras.Sequential(
        [keras.Input((steps, features), 1, name="x"), layer(units), L.Dense(4, name="y")]
    )


def sentences():
    """Words, an LSTM in both directions, two classes."""
    words = keras.Input((24,), 1, dtype="int32", name="words")
    x = L.Embedding(5000, 50, mask_zero=True)(words)
    x = L.Bidirectional(L.LSTM(64))(x)
    return keras.Model(words, L.Dense(2, activation="softmax", name="y")(x))


def stacked():
    """Convolutions over time, then two recurrent layers."""
    x = keras.Input((64, 6), 1, name="x")
    y = L.MaxPooling1D(2)(L.Conv1D(32, 5, padding="same", activation="relu")(x))
    y = L.GRU(48)(L.LSTM(48, return_sequences=True)(y))
    return keras.Model(x, L.Dense(6, activation="softmax", name="y")(y))


def pictures():
    """Convolutions alone, where there is nothing to win."""
    x = keras.Input((64, 64, 3), 1, name="x")
    y = L.Rescaling(1 / 255)(x)
    for filters in (16, 32, 64):
        y = L.SeparableConv2D(filters, 3, 2, padding="same", use_bias=False)(y)
        y = L.ReLU()(L.BatchNormalization()(y))
    y = L.Dense(5, name="y")(L.GlobalAveragePooling2D()(y))
    return keras.Model(x, y)


# Steps, features, units.
SHAPES = [
    *((12, 50, 128), (32, 256, 256), (100, 128, 128)),
    *((50, 3, 16), (200, 3, 32), (50, 8, 64)),
]
MODELS = {
    **{
        f"lstm_{t}x{d}x{h}": (lambda t=t, d=d, h=h: recurrent(t, d, h))
        for t, d, h in SHAPES
    },
    "gru": lambda: recurrent(32, 64, 64, L.GRU),
    "simple_rnn": lambda: recurrent(32, 64, 64, L.SimpleRNN),
    "sentences": sentences,
    "stacked": stacked,
    "pictures": pictures,
}


def built(name: str) -> keras.Model:
    """The model of a name, always with the same weights."""
    keras.utils.set_random_seed(0)
    return MODELS[name]()


def inputs_of(model: keras.Model, count: int) -> dict[str, np.ndarray]:
    """Drawn inputs of a model, (count, ...)."""
    random = np.random.default_rng(0)
    (tensor,) = model.inputs
    shape = (count, *tensor.shape[1:])
    if "int" in tensor.dtype:
        return {tensor.name: random.integers(1, 5000, shape).astype("int32")}
    return {tensor.name: random.normal(size=shape).astype("float32")}


def export_stock(name: str, path: str) -> None:
    """Keras's own export; of built-in operations alone if LiteRT needs that to run it."""
    import tensorflow as tf

    model = built(name)
    model.export(path, format="litert", verbose=False)
    try:
        call_of(Path(path), inputs_of(model, 1))()
    except RuntimeError:
        (tensor,) = model.inputs
        model.export(
            path,
            format="litert",
            verbose=False,
            # Else the batch is any, and the loop has no built-in operations.
            input_signature=[tf.TensorSpec(tensor.shape, tensor.dtype, tensor.name)],
            target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},
        )


def export_ours(name: str, path: Path, form: str) -> str:
    """Ours; how the loop was written."""
    import kerasdl

    options = dict(FORMS[form])
    model = built(name)
    if options.get("quantize") == "int8":
        options["representative"] = inputs_of(model, 60)
    entry = kerasdl.export.tflite(model, path, batch=1, stock=False, **options)
    return entry["strategy"]


def call_of(path: Path, given: dict[str, np.ndarray]) -> Callable[[], object]:
    """A function that runs a file once, on one thread."""
    runner = Interpreter(str(path), num_threads=1).get_signature_runner()
    (name,) = runner.get_input_details()
    (value,) = given.values()
    return lambda: runner(**{name: value[:1]})


def medians(
    files: dict[str, Path], given: dict[str, np.ndarray], rounds: int, calls: int
) -> dict[str, float]:
    """The median call of each file in milliseconds, run in turns."""
    runs = {form: call_of(path, given) for form, path in files.items()}
    times: dict[str, list[float]] = {form: [] for form in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for form, run in runs.items():
            for _ in range(calls):
                start = time.perf_counter()
                run()
                times[form].append(1e3 * (time.perf_counter() - start))
    return {form: float(np.median(values)) for form, values in times.items()}


def measure(name: str, forms: list[str], rounds: int, calls: int) -> dict:
    """All files of a model, by form: milliseconds, bytes, and what went wrong."""
    given = inputs_of(built(name), 1)
    result: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        files: dict[str, Path] = {}
        for form in ("stock", *forms):
            path = Path(folder) / f"{form}.tflite"
            entry = result[form] = {}
            try:
                if form == "stock":
                    context = multiprocessing.get_context("spawn")
                    with ProcessPoolExecutor(1, mp_context=context) as pool:
                        pool.submit(export_stock, name, str(path)).result()
                else:
                    entry["strategy"] = export_ours(name, path, form)
                call_of(path, given)()
            except Exception as error:  # a dead process among them
                entry["refused"] = str(error).strip().splitlines()[-1][:200]
                continue
            files[form] = path
            entry["bytes"] = path.stat().st_size
        for form, milliseconds in medians(files, given, rounds, calls).items():
            result[form]["ms"] = milliseconds
    return result


def row(name: str, result: dict, forms: list[str]) -> str:
    """A model's line of the table: milliseconds, and their share of the stock file's."""
    stock = result["stock"].get("ms")
    cells = [name, f"{stock:.3f}" if stock else "-"]
    for form in forms:
        ms = result[form].get("ms")
        share = f" ({ms / stock:.2f})" if ms and stock else ""
        how = f" {result[form]['strategy']}" if form == "auto" and ms else ""
        cells.append(f"{ms:.3f}{share}{how}" if ms else "-")
    return "| " + " | ".join(cells) + " |"


def processor() -> str:
    """The machine's processor by its name, if Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS)
    parser.add_argument("--forms", nargs="*", default=list(FORMS), choices=FORMS)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    print(f"{processor()}; one thread, batch 1; ms (share of Keras's own export)\n")
    print("| model | Keras | " + " | ".join(given.forms) + " |")
    print("|---" * (2 + len(given.forms)) + "|", flush=True)
    results = {}
    for name in given.models:
        results[name] = measure(name, given.forms, given.rounds, given.calls)
        print(row(name, results[name], given.forms), flush=True)
        for form, entry in results[name].items():
            if "refused" in entry:
                print(f"<!-- {name} {form}: {entry['refused']} -->", flush=True)
    if given.json:
        Path(given.json).write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
