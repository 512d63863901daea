"""SavedModel to TFLite, in a process of its own.

The converter is C++ that ends the whole process if it meets a graph that it did not
expect, so `convert` runs it in a fork and turns whatever happens into one line.
"""

import errno
import os
import signal
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.errors import InputError
from kerasdl.export import forks

QUANTIZATIONS = ("none", "dynamic", "float16", "weights", "int8")
# In the place of a quantisation: the file is to be ONNX.
ONNX = "onnx"


def save_module(module: Any, folder: Path, signatures: Mapping[str, Any]) -> None:
    """Writes a `tf.Module` and its signatures as a SavedModel, quietly.

    Hand-derived gradients stay out: no process that loads it has their functions.
    """
    import tensorflow as tf
    from absl import logging

    logging.set_verbosity(logging.ERROR)  # tf.saved_model tells of every step
    tf.saved_model.save(
        module,
        str(folder),
        signatures=dict(signatures),
        options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
    )


def convert(
    saved_model: Path,
    output: Path,
    quantize: str,
    calibration: Iterable[dict[str, np.ndarray]] = (),
    signatures: Sequence[str] = ("serving_default",),
    variables: bool = False,
) -> int:
    """Converts signatures of a SavedModel.

    Args:
        saved_model: Its folder.
        output: The `.tflite` file to write.
        quantize: One of `QUANTIZATIONS`: float32; int8 weights with activations that
            are quantised as they come; float16 weights; int8 weights that are used as
            float32; int8 weights and activations, float32 at input and output. Or
            "products": as dynamic before matrix products, as weights elsewhere; or
            `ONNX`: an `.onnx` file of the one signature, in float32.
        calibration: Real arguments of the first signature, from which `int8` measures
            the ranges of the activations.
        signatures: Their names.
        variables: Whether weights stay variables, which a signature may assign to.

    Returns:
        The largest memory of the conversion's process, in bytes.

    Raises:
        InputError: The conversion fails or its process dies.
    """
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        inputs = []
        for index, arguments in enumerate(calibration):
            inputs.append(str(Path(folder) / f"{index}.npz"))
            np.savez(inputs[-1], **arguments)
        task = {
            "kind": "onnx" if quantize == ONNX else "tflite",
            "saved_model": str(saved_model.absolute()),
            "output": str(output.absolute()),
            "quantize": quantize,
            "calibration": [str(Path(name).absolute()) for name in inputs],
            "signatures": list(signatures),
            "variables": variables,
        }
        done = forks.run(task, Path(folder))
    if os.strerror(errno.ENOSPC) in done.said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    who, how = "TFLite converter", f" (--quantize={quantize})"
    if quantize == ONNX:
        who, how = "ONNX converter", ""
    if done.code < 0:
        name = signal.Signals(-done.code).name
        raise InputError(f"the {who}'s process was ended by {name}{how}.")
    if done.code or not output.is_file():
        raise InputError(f"the {who} refused the model{how}: {_reason(done.said)}")
    return done.peak_bytes


def _reason(text: str) -> str:
    """The line of the converter's many that tells most."""
    lines = [line for line in text.splitlines() if line.strip()]
    for telling in (" ops: ", "Error: ", "error: "):
        for line in lines:
            if telling in line:
                return line
    return lines[-1] if lines else "it wrote no file and said nothing"
