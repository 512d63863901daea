"""Tells which runtimes run a `.tflite` file: by running it, or by its operations."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.export.proof import Case

MICRO = Path(__file__).with_name("micro.py")
# Seconds after which a file is said not to run in TFLite Micro: a loop may never end.
MICRO_SECONDS = 60
# What the answer in TFLite Micro, whose kernels are its own, may differ by.
MICRO_DIFFERENCE = 0.02
# Source: LiteRT, "GPU delegates for LiteRT", the supported ops, 2025.
GPU_OPERATIONS = frozenset(
    [
        "ADD",
        "AVERAGE_POOL_2D",
        "CONCATENATION",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "EXP",
        "FULLY_CONNECTED",
        "LOGISTIC",
        "LSTM",
        "MAX_POOL_2D",
        "MAXIMUM",
        "MINIMUM",
        "MUL",
        "PAD",
        "PRELU",
        "RELU",
        "RELU6",
        "RESHAPE",
        "RESIZE_BILINEAR",
        "SOFTMAX",
        "STRIDED_SLICE",
        "SUB",
        "TRANSPOSE_CONV",
    ]
)


def where_it_runs(
    path: Path, found: Mapping[str, int], report: Mapping[str, Any], case: Case
) -> dict[str, dict[str, Any]]:
    """What is known of each runtime: `runs` ("yes", "no", "in part", "not tried"), `why`.

    Args:
        path: The file.
        found: Its operations.
        report: What `kerasdl.export.proof.run_cases` returned.
        case: A call of the first signature with its answer.
    """
    fixed = all(
        -1 not in spec["shape"]
        for signature in report["signatures"].values()
        for spec in signature["inputs"].values()
    )
    single = len(report["signatures"]) == 1
    others = sorted(set(found) - GPU_OPERATIONS)
    partitions = report.get("xnnpack", {}).get("partitions", 0)
    table = {
        "LiteRT": _entry("yes", "ran here, in a process without TensorFlow"),
        "XNNPACK": _entry(
            "in part" if partitions else "no", f"takes {partitions} parts of the graph"
        ),
        "GPU delegate": _entry(
            "not tried",
            f"not in its list: {', '.join(others)}" if others else "all in its list",
        ),
        "browser (LiteRT.js)": _entry(
            "not tried",
            "fixed shapes and one signature, as it wants"
            if fixed and single
            else "it wants fixed shapes (batch, steps) and one signature",
        ),
    }
    table["TFLite Micro"] = (
        _in_micro(path, case)
        if fixed and single
        else _entry("no", "it takes fixed shapes (batch, steps) and one signature")
    )
    return table


def _entry(runs: str, why: str, **more: Any) -> dict[str, Any]:
    return {"runs": runs, "why": why, **more}


def _in_micro(path: Path, case: Case) -> dict[str, Any]:
    if util.find_spec("tflite_micro") is None:
        return _entry("not tried", "the wheel tflite-micro is not installed")
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    signature = interpreter._get_full_signature_list()[case.signature]
    arrays = {}
    for kind, details, values in (
        ("in", interpreter.get_input_details(), case.inputs),
        ("out", interpreter.get_output_details(), case.expected),
    ):
        places = [detail["index"] for detail in details]
        for name, value in values.items():
            place = places.index(signature[f"{kind}puts"][name])
            arrays[f"{kind}/{place}"] = value
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "case.npz"
        np.savez(stored, **arrays)
        try:
            done = subprocess.run(
                [sys.executable, "-P", str(MICRO), str(path), str(stored)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=MICRO_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return _entry("no", f"did not end within {MICRO_SECONDS} s")
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode:
        return _entry("no", (lines or [f"exit code {done.returncode}"])[-1])
    result = json.loads(done.stdout.splitlines()[-1])
    if result["difference"] > MICRO_DIFFERENCE:
        return _entry("no", f"its answer differs by {result['difference']:.3g}", **result)
    return _entry("yes", "ran here, by the wheel tflite-micro", **result)
