"""SIGKILL at random moments: what is started again ends with the same bits."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerasdl.export.manifest import described
from kerasdl.export.proof import check_files
from tests.faults.forked import EXPORTS, TRAINERS

ROOT = Path(__file__).parents[2]
IN_CI, KILLS, EXPORTS_KILLED = 20, 40, 12  # of the loop, of each trainer and exporter


def kill(what, folder, kills):
    """Kills runs at random moments; returns the folders of the runs that ended."""
    seed = sorted(("loop", *TRAINERS, *EXPORTS)).index(what)
    command = [sys.executable, "-m", "tests.faults.forked", what, folder, kills, seed]
    done = subprocess.run(
        [*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) >= kills
    return sorted(folder.glob("killed*"))


def values(workdir):
    """All arrays of the latest and best states, by file and name."""
    found = {}
    for path in sorted(workdir.rglob("*.npz")):
        if path.name != "previous.npz":
            with np.load(path) as stored:
                for name in set(stored.files) - {"progress", "checksum"}:
                    found[f"{path.relative_to(workdir)} {name}"] = stored[name]
    return found


@pytest.mark.parametrize(
    ("what", "kills"),
    [
        ("loop", IN_CI),
        *(pytest.param(name, KILLS, marks=pytest.mark.slow) for name in TRAINERS),
    ],
)
def test_killed_at_random_moments(what, kills, tmp_path):
    runs = kill(what, tmp_path, kills)
    expected = values(tmp_path / "whole")
    assert expected
    for run in runs:
        found = values(run)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)
        assert list(run.rglob(".[0-9]*.*")) == [], "what killed runs left is swept"


@pytest.mark.slow
@pytest.mark.parametrize("what", EXPORTS)
def test_killed_exports_leave_nothing_but_whole_ones(what, tmp_path):
    import keras

    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(
        tmp_path / "m.keras"
    )
    for run in kill(what, tmp_path, EXPORTS_KILLED):
        assert list(run.rglob(".export-*")) == [], "what killed exports left is swept"
        if what == "tflite":
            entries = json.loads((run / "manifest.json").read_text())
            assert set(entries) == {"m.tflite"} and "before" not in entries["m.tflite"]
            check_files(run, described(entries, run / "m.tflite")["files"])
            continue
        for version in (run / "served").iterdir():
            manifest = json.loads((version / "manifest.json").read_text())
            check_files(version, manifest["files"])
