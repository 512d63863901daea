"""SavedModel to TFLite, in a process of its own.

The converter is C++ that ends the whole process where it meets a graph that it did not
expect, so `convert` runs this file as a program and turns whatever happens into one line.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerasdl.errors import InputError

QUANTIZATIONS = ("none", "dynamic", "float16", "int8")


def convert(
    saved_model: Path,
    output: Path,
    quantize: str,
    calibration: Sequence[dict[str, np.ndarray]] = (),
    program: str = __file__,
) -> None:
    """Converts the `serving_default` signature of a SavedModel.

    Args:
        saved_model: Its folder.
        output: The `.tflite` file to write.
        quantize: One of `QUANTIZATIONS`: float32; int8 weights with float32 activations;
            float16 weights; int8 weights and activations, float32 at input and output.
        calibration: Real arguments of the signature, from which `int8` measures the
            ranges of the activations.
        program: The file to run.

    Raises:
        InputError: Where the conversion fails or its process dies.
    """
    folder = output.parent
    inputs = []
    for index, arguments in enumerate(calibration):
        path = folder / f"calibration{index}.npz"
        np.savez(path, **arguments)
        inputs.append(str(path))
    task = {
        "saved_model": str(saved_model),
        "output": str(output),
        "quantize": quantize,
        "calibration": inputs,
    }
    try:
        # -P: this file's folder has modules named like installed ones.
        done = subprocess.run(
            [sys.executable, "-P", program],
            input=json.dumps(task),
            env={
                **os.environ,
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
            capture_output=True,
            text=True,
            errors="replace",
        )
    finally:
        for path in inputs:
            Path(path).unlink()
    if done.returncode < 0:
        raise InputError(
            "the TFLite converter's process was ended by "
            f"{signal.Signals(-done.returncode).name} (--quantize={quantize})."
        )
    if done.returncode or not output.is_file():
        raise InputError(
            f"the TFLite converter refused the model (--quantize={quantize}): "
            f"{_reason(done.stderr)}"
        )


def _reason(text: str) -> str:
    """The line of the converter's many that tells most."""
    lines = [line for line in text.splitlines() if line.strip()]
    for telling in (" ops: ", "Error: ", "error: "):
        for line in lines:
            if telling in line:
                return line
    return lines[-1] if lines else "it wrote no file and said nothing"


def _main() -> None:
    import tensorflow as tf

    task = json.load(sys.stdin)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        task["saved_model"], signature_keys=["serving_default"]
    )
    builtins = tf.lite.OpsSet.TFLITE_BUILTINS
    converter.target_spec.supported_ops = [builtins]
    if task["quantize"] != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if task["quantize"] == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if task["quantize"] == "int8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            builtins,
        ]
        converter.representative_dataset = lambda: (
            ("serving_default", dict(np.load(path))) for path in task["calibration"]
        )
    Path(task["output"]).write_bytes(converter.convert())


if __name__ == "__main__":
    _main()
