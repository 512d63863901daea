"""SavedModel to TFLite, in a process of its own.

The converter is C++ that ends the whole process if it meets a graph that it did not
expect, so `convert` runs this file as a program and turns whatever happens into one line.
"""

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from kerasdl.errors import InputError

QUANTIZATIONS = ("none", "dynamic", "float16", "weights", "int8")


def convert(
    saved_model: Path,
    output: Path,
    quantize: str,
    calibration: Iterable[dict[str, np.ndarray]] = (),
    signatures: Sequence[str] = ("serving_default",),
    variables: bool = False,
    program: str = __file__,
) -> None:
    """Converts signatures of a SavedModel.

    Args:
        saved_model: Its folder.
        output: The `.tflite` file to write.
        quantize: One of `QUANTIZATIONS`: float32; int8 weights with activations that
            are quantised as they come; float16 weights; int8 weights that are used as
            float32; int8 weights and activations, float32 at input and output. Or
            "products": as dynamic before matrix products, as weights elsewhere.
        calibration: Real arguments of the first signature, from which `int8` measures
            the ranges of the activations.
        signatures: Their names.
        variables: Whether weights stay variables, which a signature may assign to.
        program: The file to run.

    Raises:
        InputError: The conversion fails or its process dies.
    """
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        inputs = []
        for index, arguments in enumerate(calibration):
            inputs.append(str(Path(folder) / f"{index}.npz"))
            np.savez(inputs[-1], **arguments)
        task = {
            "saved_model": str(saved_model),
            "output": str(output),
            "quantize": quantize,
            "calibration": inputs,
            "signatures": list(signatures),
            "variables": variables,
        }
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
    if os.strerror(errno.ENOSPC) in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
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
    signatures, quantize = task["signatures"], task["quantize"]
    converter = tf.lite.TFLiteConverter.from_saved_model(
        task["saved_model"], signature_keys=signatures
    )
    builtins = tf.lite.OpsSet.TFLITE_BUILTINS
    converter.target_spec.supported_ops = [builtins]
    converter.experimental_enable_resource_variables = task["variables"]
    if quantize in ("dynamic", "float16", "int8"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            builtins,
        ]
        converter.representative_dataset = lambda: (
            (signatures[0], dict(np.load(path))) for path in task["calibration"]
        )
    model = converter.convert()
    if quantize in ("weights", "products"):
        from ai_edge_quantizer import qtyping, quantizer

        quantizer = quantizer.Quantizer(model)
        every, products = qtyping.TFLOperationName.ALL_SUPPORTED, None
        quantizer.add_weight_only_config(regex=".*", operation_name=every, num_bits=8)
        if quantize == "products":
            products = qtyping.TFLOperationName.FULLY_CONNECTED
            quantizer.add_dynamic_config(regex=".*", operation_name=products, num_bits=8)
        model = quantizer.quantize().quantized_model
    Path(task["output"]).write_bytes(model)


if __name__ == "__main__":
    _main()
