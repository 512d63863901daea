"""SIGKILL at random moments: each trainer, started again, ends with the same bits.

A moment is a share of the time that an undisturbed run took, drawn with a fixed seed;
what the process is doing then differs from machine to machine, which is the point.
"""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

COMMANDS = {
    "captioning": (
        "--config.data.drawn_train=40", "--config.data.drawn_val=4",
        "--config.data.drawn_test=2", "--config.model.image_size=64",
        "--config.model.grid=2", "--config.model.units=16", "--config.epochs=4",
    ),
    "transfer": (
        "--config.mode=finetune", "--config.model.freeze=stages:4",
        "--config.data.drawn_train=24", "--config.data.drawn_val=6",
        "--config.data.drawn_test=6", "--config.model.image_size=32",
        "--config.epochs=4",
    ),
    "text_classification": (
        "--config.data.generated_train=400", "--config.data.generated_val=50",
        "--config.data.generated_test=50", "--config.model.units=16",
        "--config.epochs=6",
    ),
    "style_transfer": (
        "--config.image_size=32", "--config.style_size=32", "--config.iterations=200",
        "--config.content_layers=block2", "--config.style_layers=stem_relu6,block0",
    ),
    "adding_problem": (
        "--config.steps=4", "--config.units=8", "--config.epochs=6",
        "--config.val_sequences=100", "--config.batches_per_epoch=20",
    ),
}  # fmt: skip
KILLS = 40  # of each trainer


def start(trainer, workdir):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", f"kerasdl.trainers.{trainer}"),
            *(f"--workdir={workdir}", *COMMANDS[trainer]),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"KERASDL_CACHE": str(workdir.parent / "cache")},
    )


def finish(trainer, workdir):
    process = start(trainer, workdir)
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors


def values(workdir):
    """All arrays of the latest and best states, by file and name."""
    found = {}
    for path in sorted(workdir.rglob("*.npz")):
        if path.name != "previous.npz":
            with np.load(path) as stored:
                for name in set(stored.files) - {"progress", "checksum"}:
                    found[f"{path.relative_to(workdir)} {name}"] = stored[name]
    return found


@pytest.fixture(scope="module", params=sorted(COMMANDS))
def undisturbed(request, tmp_path_factory):
    workdir = tmp_path_factory.mktemp(request.param) / "w"
    finish(request.param, workdir)  # fills the caches
    again = workdir.with_name("again")
    started = time.monotonic()
    finish(request.param, again)
    return request.param, workdir, time.monotonic() - started


@pytest.mark.slow
def test_killed_at_random_moments(undisturbed, tmp_path_factory):
    trainer, whole, seconds = undisturbed
    random = np.random.default_rng(sorted(COMMANDS).index(trainer))
    expected, kills, runs = values(whole), 0, 0
    while kills < KILLS:
        workdir = whole.with_name(f"killed{runs}")
        runs += 1
        for _ in range(4):
            process = start(trainer, workdir)
            time.sleep(seconds * random.uniform(0.3, 1.0))
            if process.poll() is None:
                kills += 1
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stderr.close()
        finish(trainer, workdir)
        found = values(workdir)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)
        left = list(workdir.rglob(".[0-9]*.*"))
        assert left == [], "what killed runs left is swept"
