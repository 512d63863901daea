"""`kerasdl.export.tflite`: any model as a checked `.tflite` file of built-ins."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasdl.errors import InputError
from kerasdl.export import converter, forks, tflite_file
from kerasdl.export.converter import QUANTIZATIONS
from kerasdl.export.metadata import embed
from kerasdl.export.runtimes import where_it_runs
from kerasdl.export.sources import open_subject
from kerasdl.export.subject import SERVING, Export, Request, Subject, accuracy_entry
from kerasdl.export.writing import Format, checked_output, write_file


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
    stock: bool = True,
    stretch: bool = False,
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
        stock: Of a Keras model with recurrent layers: whether to convert it as it is too,
            for the manifest to tell its latency beside the export's.
        stretch: Of a workdir on pictures: whether pictures are stretched to the input, as
            MediaPipe does, instead of prepared as in training. What the file is compared
            on, and its accuracy, are of stretched pictures then.

    Returns:
        What the manifest says of the file.

    Raises:
        InputError: An argument is wrong, the conversion fails, or what was written
            differs from the model. Nothing is written then.
    """
    path = checked_output(path, ".tflite")
    if quantize not in QUANTIZATIONS:
        raise InputError(
            f"`quantize` must be one of {', '.join(QUANTIZATIONS)}, got {quantize!r}."
        )
    forks.start()
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
        stock=stock,
        stretch=stretch,
    )
    return write_file(open_subject(model, request), path, request, _Tflite(request))


def _way_out(quantize: str) -> str:
    kept = {"dynamic": "weights and float16", "int8": "weights, dynamic and float16"}
    kept |= {"weights": "float16", "float16": "none"}
    keeps = kept.get(quantize)
    return f" Quantisations that change less: {keeps}." if keeps else ""


class _Tflite(Format):
    """See `Format`: a flatbuffer with metadata, and a zip for predictors."""

    name = "TFLite model"

    def __init__(self, request: Request) -> None:
        self.quantize = request.quantize
        self.what = f" (--quantize={self.quantize})"
        self.way_out = _way_out(self.quantize)

    def convert(
        self, saved_model: Path, written: Path, subject: Subject, export: Export
    ) -> tuple[Counter, int]:
        """See `Format`."""
        quantize = self.quantize
        products_only = export.dynamic_products_only and quantize == "dynamic"
        peak = converter.convert(
            saved_model,
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
        return operations, peak

    def describe(
        self,
        written: Path,
        export: Export,
        operations: Mapping[str, int],
        report: Mapping[str, Any],
    ) -> dict[str, Any]:
        """See `Format`."""
        entry = {
            "quantize": self.quantize,
            "runs_on": where_it_runs(written, operations, report, export.cases[0]),
        }
        if export.accuracy is not None:
            device = tflite_file.runners(written)
            entry["accuracy"] = accuracy_entry(export.accuracy(device[SERVING]))
        return entry
