"""`kerasdl.export.tflite`: any model as a checked `.tflite` file of built-ins."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerasdl.errors import InputError
from kerasdl.export import manifest, tflite_file
from kerasdl.export.converter import QUANTIZATIONS, convert
from kerasdl.export.metadata import embed
from kerasdl.export.proof import MANIFEST, compare_cases, run_cases, store_cases
from kerasdl.export.runtimes import where_it_runs
from kerasdl.export.sources import open_subject
from kerasdl.export.staging import publish, staged
from kerasdl.export.subject import SERVING, Request, Subject, accuracy_entry


def tflite(
    model: Any,
    path: str | Path,
    *,
    batch: int | None = None,
    steps: int | None = None,
    quantize: str = "none",
    representative: Any = None,
    strategy: str = "auto",
    signatures: Sequence[str] = ("infer",),
    loss: Any = None,
    optimizer: Any = None,
    labels: Sequence[str] | None = None,
    vocabulary: Any = None,
    size: int = 0,
    inputs: Sequence[str] = (),
    examples: int = 50,
) -> dict[str, Any]:
    """Writes a model as a `.tflite` file of built-in operations, checked, or nothing.

    Keras's recurrent layers are replaced by those of `kerasdl.layers`, whose loop over
    time converts at any batch and length. What was written runs in a process without
    TensorFlow on stored inputs, and its answers must be those of the model in float64;
    `manifest.json` beside the file keeps the figures, `kerasdl.export.verify` checks
    again.

    Args:
        model: A `keras.Model`, a `.keras` file, a workdir, or a captioner. It is left as
            it is.
        path: The `.tflite` file.
        batch: The number of samples of a call; None for what the model says, which is
            any unless its Input names one.
        steps: The number of time steps, likewise.
        quantize: "none" (float32); "dynamic" (int8 weights, activations quantised as
            they come); "float16" (float16 weights); "weights" (int8 weights, computed
            with as float32); "int8" (int8 weights and activations, float32 inputs and
            outputs; needs `representative`, and `steps` of a recurrent model).
        representative: Real inputs: an array (N, ...), a mapping or list of arrays by
            input, a `.npy` or `.npz` file of such, or an iterable of calls.
        strategy: "loop" writes the loop over time as one, for any batch and length;
            "unrolled" writes every step of a known length out; "auto" chooses what the
            request needs and what is faster.
        signatures: "infer", which becomes `serving_default` with the model's names; and
            "step", `step(x (N, D), states...) -> y, states...`, for one step at a time;
            and "train", `train(x, y) -> loss`, with `weights() -> ...` and `load(...)`.
        loss: Of "train": a Keras loss or its name.
        optimizer: Of "train": "sgd", "momentum", "adam", or a `keras.optimizers` SGD or
            Adam.
        labels: Names of the classes, for the file's metadata.
        vocabulary: Words by id, for the file's metadata; of a captioner, its words.
        size: The side of the input in pixels of a style network; 0 for 256.
        inputs: Of a workdir: files to compare on, instead of its validation split.
        examples: Of a workdir: how many inputs to compare on.

    Returns:
        What the manifest says of the file.

    Raises:
        InputError: An argument is wrong, the conversion fails, or what was written
            differs from the model. Nothing is written then.
    """
    path = Path(path)
    if path.suffix != ".tflite":
        raise InputError(f"--output must end in .tflite, got {str(path)!r}.")
    if path.is_dir():
        raise InputError(f"--output must be a file, got the folder {str(path)!r}.")
    if quantize not in QUANTIZATIONS:
        raise InputError(
            f"`quantize` must be one of {', '.join(QUANTIZATIONS)}, got {quantize!r}."
        )
    manifest.read_entries(path.parent / MANIFEST)  # so that another's is refused at once
    request = Request(
        batch=batch,
        steps=steps,
        quantize=quantize,
        representative=representative,
        strategy=strategy,
        signatures=tuple(signatures),
        loss=loss,
        optimizer=optimizer,
        labels=labels,
        vocabulary=vocabulary,
        size=size,
        inputs=tuple(inputs),
        examples=examples,
    )
    return _write(open_subject(model, request), path, request)


def _way_out(quantize: str) -> str:
    kept = {"dynamic": "weights and float16", "int8": "weights, dynamic and float16"}
    kept |= {"weights": "float16", "float16": "none"}
    keeps = kept.get(quantize)
    return f" Quantisations that change less: {keeps}." if keeps else ""


def _write(subject: Subject, path: Path, request: Request) -> dict[str, Any]:
    import tensorflow as tf
    from absl import logging

    logging.set_verbosity(logging.ERROR)  # tf.saved_model tells of every step

    quantize = request.quantize
    export = subject.device(request)
    with staged(path.parent) as folder:
        written = folder / path.name
        tf.saved_model.save(
            export.module,
            str(folder / "saved_model"),
            signatures=export.signatures,
            options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
        )
        products_only = export.dynamic_products_only and quantize == "dynamic"
        convert(
            folder / "saved_model",
            written,
            "products" if products_only else quantize,
            export.calibration,
            list(export.signatures),
            export.variables,
        )
        operations = tflite_file.operations(written.read_bytes())
        tflite_file.check_builtin(operations)
        metadata = {"job": subject.name, "quantize": quantize, **export.metadata}
        embed(written, subject.name, export.files)
        tflite_file.attach(written, metadata, export.files)
        outputs, report = run_cases(written, export.cases)
        comparisons = compare_cases(export.cases, outputs, export.tolerances)
        for name, comparison in comparisons.items():
            what = f"the TFLite model's {name} (--quantize={quantize})"
            comparison.check(what, _way_out(quantize))
        stored = folder / f"{path.name}.proof.npz"
        store_cases(stored, export.cases)
        entry = manifest.describe(
            subject,
            export,
            operations=operations,
            files=[(path.name, written), (stored.name, stored)],
            comparisons=comparisons,
            report=report,
        )
        entry["quantize"] = quantize
        entry["proof"] = stored.name
        entry["runs_on"] = where_it_runs(written, operations, report, export.cases[0])
        if export.accuracy is not None:
            device = tflite_file.runners(written)
            entry["accuracy"] = accuracy_entry(export.accuracy(device[SERVING]))
        publish(folder, path, entry)
    return entry
