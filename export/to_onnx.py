"""`kerasdl.export.onnx`: any model as a checked `.onnx` file, for ONNX Runtime."""

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any

from kerasdl.errors import InputError
from kerasdl.export import converter, forks
from kerasdl.export.sources import open_subject
from kerasdl.export.subject import Export, Request, Subject
from kerasdl.export.writing import Format, checked_output, write_file

_NEEDED = ("tf2onnx", "onnxruntime")


def onnx(
    model: Any,
    path: str | Path,
    *,
    batch: int | None = None,
    steps: int | None = None,
    representative: Any = None,
    strategy: str = "loop",
    vocabulary: Any = None,
    size: int = 0,
    inputs: Sequence[str] = (),
    examples: int = 50,
) -> dict[str, Any]:
    """Writes a model as an `.onnx` file in float32, checked, or nothing.

    The graph is that of `kerasdl.export.tflite`, converted by tf2onnx. What was written
    runs in ONNX Runtime, in a process without TensorFlow, on stored inputs, and its
    answers must be those of the model in float64; `manifest.json` keeps the figures and
    `kerasdl.export.verify` checks again.

    Args:
        model: A `keras.Model`, a `.keras` file, a workdir, or a captioner.
        path: The `.onnx` file.
        batch: The number of samples of a call; None for what the model says, any unless
            its Input names one (1 for a workdir).
        steps: The number of time steps, likewise.
        representative: Real inputs of a Keras model, see `kerasdl.export.tflite`.
        strategy: "loop", "unrolled" or "auto", likewise.
        vocabulary: Of a captioner in memory: its words.
        size: The side of the input in pixels of a style network; 0 for 256.
        inputs: Of a workdir: files to compare on, instead of its validation split.
        examples: Of a workdir: how many inputs to compare on.

    Returns:
        What the manifest says of the file.

    Raises:
        InputError: An argument is wrong, tf2onnx or onnxruntime is not installed, the
            conversion fails, or what was written differs from the model. Nothing is
            written then.
    """
    path = checked_output(path, ".onnx")
    for package in _NEEDED:
        if util.find_spec(package) is None:
            raise InputError(
                f'{package} is not installed; `pip install "kerasdl[onnx]"` brings it.'
            )
    forks.start()
    request = Request(
        batch=batch,
        steps=steps,
        representative=representative,
        strategy=strategy,
        vocabulary=vocabulary,
        size=size,
        inputs=tuple(inputs),
        examples=examples,
        stock=False,
    )
    return write_file(open_subject(model, request), path, request, _Onnx())


class _Onnx(Format):
    """See `Format`."""

    name = "ONNX model"

    def convert(
        self, saved_model: Path, written: Path, subject: Subject, export: Export
    ) -> tuple[Counter, int]:
        """See `Format`; ONNX has one signature."""
        del subject
        (signature,) = export.signatures
        peak = converter.convert(
            saved_model, written, converter.ONNX, signatures=[signature]
        )
        return operations(written), peak

    def describe(
        self,
        written: Path,
        export: Export,
        operations: Mapping[str, int],
        report: Mapping[str, Any],
    ) -> dict[str, Any]:
        """See `Format`."""
        del written, export, operations, report
        why = "ran here, in a process without TensorFlow"
        return {"runs_on": {"ONNX Runtime": {"runs": "yes", "why": why}}}


def operations(path: Path) -> Counter:
    """How often each operation occurs in an ONNX model, loop bodies included."""
    import onnx as library

    found: Counter = Counter()
    graphs = [library.load(str(path)).graph]
    while graphs:
        for node in graphs.pop().node:
            found[node.op_type] += 1
            graphs += [a.g for a in node.attribute if a.type == a.GRAPH]
    return found
