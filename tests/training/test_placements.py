"""What a training step computes stays on its device, and has kernels for a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

ROOT = Path(__file__).parents[2]
ON_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not tf.config.list_physical_devices("GPU"), reason="no GPU on this machine"
    ),
]

BOOKKEEPING = {"_Arg", "Const", "Identity", "NoOp", "Shape"}
BOOKKEEPING |= {"Enter", "Exit", "Merge", "NextIteration", "Switch"}


def scan(device, job, *fields):
    program = ROOT / "tests" / "training" / "placements.py"
    done = subprocess.run(
        [sys.executable, str(program), device, job, *fields],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "device", ["CPU:1", pytest.param("GPU:0", marks=ON_GPU)], ids=["cpu", "gpu"]
)
@pytest.mark.parametrize(
    "job",
    [
        "text",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("captioning", "transfer")),
    ],
)
def test_training_steps_stay_on_their_device(device, job):
    found = scan(device, job)
    assert found["pinned"] == found["without_gpu"] == found["host"] == []
    # TensorFlow keeps the integers of a batch, and the variables of a loop that are such,
    # on the host, where nothing is computed with them; no number leaves the device.
    assert set(found["elsewhere"]) <= BOOKKEEPING
    assert set(found["to_host"]) <= {"bool", "int32"}
