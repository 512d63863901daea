"""Runs tasks that need TensorFlow: a program, with a process for each task.

TensorFlow takes seconds to import, and its converter can end the process that it runs in.
So this program imports TensorFlow once, and forks for every task that comes, a line of
JSON on standard input; a line on standard output says how the task's process ended and
how much memory it took. It ends with its input, or after `IDLE` seconds without a task.
Nothing of kerasdl is imported: what an export answers here, it answers elsewhere.
"""

import json
import os
import select
import sys
import traceback
from importlib import util
from pathlib import Path

IDLE = 120
# The version of ONNX's operations: the oldest with all that our loops need.
OPSET = 17


def to_onnx(task: dict) -> None:
    """Converts a SavedModel's one signature, by tf2onnx's command."""
    from tf2onnx import convert as tf2onnx

    (signature,) = task["signatures"]
    sys.argv = [
        *("tf2onnx", "--saved-model", task["saved_model"], "--output", task["output"]),
        *("--signature_def", signature, "--opset", str(OPSET)),
    ]
    tf2onnx.main()


def to_tflite(task: dict) -> None:
    """Converts a SavedModel as `kerasdl.export.converter.convert` describes."""
    import numpy as np
    import tensorflow as tf

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


def run_cases(task: dict) -> None:
    """Runs a SavedModel on stored cases, by the file runner.py."""
    spec = util.spec_from_file_location("runner", task["runner"])
    runner = util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    Path(task["report"]).write_text(json.dumps(runner.run(task)))


KINDS = {"onnx": to_onnx, "tflite": to_tflite, "cases": run_cases}


def in_child(task: dict) -> dict:
    """Runs a task in a fork; its exit code (minus a signal's number) and peak memory."""
    child = os.fork()
    if not child:
        code = 1
        try:
            log = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            KINDS[task["kind"]](task)
            code = 0
        except BaseException:  # whatever it is, the parent must not go on in this copy
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "peak_bytes": usage.ru_maxrss * 1024}


def main() -> None:
    """Answers tasks until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries write to standard output
    import tensorflow  # noqa: F401, for the forks

    while select.select([sys.stdin], [], [], IDLE)[0]:
        line = sys.stdin.readline()
        if not line:
            return
        print(json.dumps(in_child(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
