"""Several replicas end with the weights of one, whatever is killed on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict

from kerasdl.data.pictures.batches import FeatureBatches
from kerasdl.data.texts.batches import TextBatches
from kerasdl.data.texts.tokens import TokenRows
from kerasdl.errors import InputError
from kerasdl.trainers.local_workers import run_workers
from kerasdl.training.checkpoint import LATEST, read_arrays
from kerasdl.training.distribution import folder_of, is_chief, worker

REPOSITORY = Path(__file__).parents[2]
PROGRAM = str(Path(__file__).parent / "replicas.py")
CLUSTER = {"worker": ["a:1", "b:2"]}
SEVERAL = ConfigDict({"distribute": "multi_worker"})


def program(*arguments, **more):
    done = subprocess.run(
        [sys.executable, PROGRAM, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_steps_on_two_devices_are_those_of_one():
    """Parts differ in size and in what is masked; one part of the last is empty."""
    lines = program("", "steps", "mirrored").splitlines()
    differences = [json.loads(line) for line in lines if line.startswith("[")]
    assert len(differences) == 2  # without clipping and with
    assert np.max(differences) < 1e-6


def set_task(monkeypatch, **task):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": CLUSTER, "task": task}))


def test_workers_by_tf_config(monkeypatch):
    set_task(monkeypatch, type="worker", index=1)
    assert worker() == (1, 2) and not is_chief(SEVERAL)
    set_task(monkeypatch, type="worker", index=0)
    assert worker() == (0, 2) and is_chief(SEVERAL)
    with_chief = {"cluster": {"chief": ["c:1"], "worker": ["a:1"]}}
    for task, number in ((("chief", 0), 0), (("worker", 0), 1)):
        with_chief["task"] = dict(zip(("type", "index"), task, strict=True))
        monkeypatch.setenv("TF_CONFIG", json.dumps(with_chief))
        assert worker() == (number, 2)
    assert is_chief(ConfigDict({"distribute": "mirrored"})) and is_chief(ConfigDict())


@pytest.mark.parametrize(
    "value", ["", "{", "[]", "{}", '{"cluster": {"worker": []}, "task": 3}']
)
def test_tf_config_must_name_a_worker(monkeypatch, value):
    monkeypatch.setenv("TF_CONFIG", value)
    with pytest.raises(InputError, match="multi_worker needs the environment variable"):
        worker()
    set_task(monkeypatch, type="worker", index=2)
    with pytest.raises(InputError, match="worker 2 of 2"):
        is_chief(SEVERAL)


def test_only_the_chief_writes_the_runs_folder(monkeypatch, tmp_path):
    root = tmp_path / "run"
    (root / "checkpoints").mkdir(parents=True)
    (root / "checkpoints" / LATEST).write_bytes(b"state")
    (root / "config.json").write_text("{}")
    (root / "report.html").write_text("large")
    set_task(monkeypatch, type="worker", index=1)
    with folder_of(SEVERAL, root) as folder:
        copy = Path(folder)
        assert copy != root and (copy / "config.json").read_text() == "{}"
        assert (copy / "checkpoints" / LATEST).read_bytes() == b"state"
        assert not (copy / "report.html").exists()
    assert not copy.exists()
    set_task(monkeypatch, type="worker", index=0)
    with folder_of(SEVERAL, root) as folder:
        assert folder == root


@pytest.mark.parametrize("count", [2, 3])
def test_shards_are_disjoint_and_make_up_the_batches(count):
    rows = TokenRows.from_lists([[n + 2] * (n % 4 + 1) for n in range(23)])
    labels = np.arange(23)
    features = labels[np.newaxis, :, np.newaxis].astype("float32")

    def taken(shard):
        texts = TextBatches(rows, labels, 5, 0, shard)
        pictures = FeatureBatches(features, labels, 5, 0, shard)
        return [[y for _, y in batches(1)] for batches in (texts, pictures)]

    whole = taken(slice(None))
    parts = [taken(slice(k, None, count)) for k in range(count)]
    for kind in range(2):
        assert sorted(np.concatenate(whole[kind])) == [*range(23)]
        for step, batch in enumerate(whole[kind]):
            together = np.concatenate([part[kind][step] for part in parts])
            assert sorted(together) == sorted(batch)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", 0),
        ("sys.exit(3 * index)", 3),
        ("os.kill(os.getpid(), 9) if index else time.sleep(60)", -9),
    ],
)
def test_local_workers_end_together(code, expected, monkeypatch):
    monkeypatch.setattr("kerasdl.trainers.local_workers._SECONDS", 1)
    text = (
        "import json, os, sys, time; given = json.loads(os.environ['TF_CONFIG']); "
        "index = given['task']['index']; "
        f"assert len(given['cluster']['worker']) == 2; {code}"
    )
    assert run_workers([sys.executable, "-c", text], 2) == expected


# ---- whole jobs ----


def largest_difference(one, other):
    """Between two runs' weights, relative to the largest of each."""
    (a, _), (b, _) = (read_arrays(run / "checkpoints" / LATEST) for run in (one, other))
    assert a.keys() == b.keys()
    numbers = [name for name in a if a[name].dtype.kind == "f"]
    return max(
        float(abs(a[n] - b[n]).max() / max(abs(a[n]).max(), 1e-3)) for n in numbers
    )


@pytest.mark.slow
@pytest.mark.parametrize("job", ["text", "captioning", "transfer"])
def test_a_job_on_two_devices_ends_with_the_weights_of_one(job, tmp_path):
    program(tmp_path, job, "none,mirrored")
    runs = [tmp_path / f"{job}-{kind}" for kind in ("none", "mirrored")]
    assert largest_difference(*runs) < 1e-3
    for name in ("metrics.json", "model.keras", "report.html"):
        assert (runs[1] / name).is_file()


def start_workers(folder, epochs):
    return subprocess.Popen(
        [sys.executable, "-m", "kerasdl.trainers.local_workers", "--workers=2", "--"]
        + [sys.executable, PROGRAM, str(folder), "text", "multi_worker", str(epochs)],
        stdout=subprocess.DEVNULL,
        cwd=REPOSITORY,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def children(process):
    told = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(pid) for pid in told.stdout.split()]


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one_even_if_one_is_killed(tmp_path):
    epochs = 40
    program(tmp_path, "text", "none", epochs)
    whole = start_workers(tmp_path, epochs)
    assert whole.wait(timeout=900) == 0
    run = tmp_path / "text-multi_worker"
    run.rename(tmp_path / "whole")
    assert largest_difference(tmp_path / "text-none", tmp_path / "whole") < 1e-3

    killed = start_workers(tmp_path, epochs)
    log, told = run / "metrics.jsonl", False
    while killed.poll() is None:
        if not told and log.exists() and len(log.read_text().splitlines()) >= 2:
            os.kill(children(killed)[1], signal.SIGKILL)
            told = True
        time.sleep(0.02)
    assert told and killed.returncode == 0
    before, _ = read_arrays(tmp_path / "whole" / "checkpoints" / LATEST)
    after, _ = read_arrays(run / "checkpoints" / LATEST)
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name])  # to the bit
    assert len(log.read_text().splitlines()) == epochs
