import json
import subprocess
import sys

import numpy as np
import pytest

from kerasdl.data.drawn.sequences import CHANCE
from kerasdl.training.config import override, read_config
from kerasdl.training.job import prepare
from kerasdl.training.jobs import JOBS
from kerasdl.training.run import train
from kerasdl.training.sequence import SequenceJob

TINY = {"epochs": 1, "batches_per_epoch": 2, "units": 5, "val_sequences": 9}


def test_cells_learn_a_short_problem_and_are_drawn(tmp_path):
    workdir = tmp_path / "w"
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "kerasdl.trainers.sequence", f"--workdir={workdir}"),
            *("--config.steps=4", "--config.units=16", "--config.epochs=5"),
            *("--config.val_sequences=300", "--config.models=rnn,lstm_chrono"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert metrics["rnn/val/loss"] < CHANCE / 4
    assert metrics["lstm_chrono/val/loss"] < CHANCE / 4
    for picture in ("loss.png", "memory_horizon.png", "rnn/memory_horizon.png"):
        assert (workdir / picture).stat().st_size > 5000
    assert "horizon of the cell state" in (workdir / "report.html").read_text()
    assert (workdir / "lstm_chrono" / "model.keras").is_file()


def job_of(task, **fields):
    config = override(read_config(f"configs/sequence/{task}.py"), TINY | fields)
    JOBS["sequence"].check(config)
    job = SequenceJob(config)
    return job, prepare(job)


@pytest.mark.parametrize(("task", "answered"), [("copying", (2,)), ("pixels", ())])
def test_figures_are_those_of_the_held_out_answers(task, answered):
    job, objective = job_of(task, models="lstm_chrono", steps=4, symbols=2)
    inputs, targets = job._held_out
    logits = job.model(inputs).numpy().astype(float)
    assert targets.shape == (9, *answered) and logits.shape[:-1] == targets.shape
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    chosen = np.take_along_axis(shares, targets[..., np.newaxis], axis=-1)
    figures = job.evaluate()
    assert figures["val/loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
    right = (logits.argmax(axis=-1) == targets).mean()
    assert figures["val/accuracy"] == pytest.approx(right)
    # A resumed run draws what the first one would have drawn.
    for before, after in zip(objective.batches(3), objective.batches(3), strict=True):
        np.testing.assert_array_equal(before[0], after[0])
    assert not np.array_equal(*[next(iter(objective.batches(e)))[0] for e in (0, 1)])


def test_pixels_come_in_the_same_order_all_the_time():
    rows = {True: [], False: []}
    for permuted in rows:
        for seed in (0, 0, 1):
            job, _ = job_of(
                "pixels", models="rnn", steps=36, permuted=permuted, seed=seed
            )
            rows[permuted].append(job._draw.keywords["order"].tolist())
    assert rows[False] == [list(range(36))] * 3
    first, same, other = rows[True]
    assert first == same != other and sorted(first) == list(range(36))


def test_the_page_of_classes_shows_accuracy(tmp_path):
    fields = TINY | {"steps": 4, "symbols": 2, "models": "gru_chrono"}
    metrics = train("configs/sequence/copying.py", tmp_path / "w", **fields).metrics
    assert 0 <= metrics["gru_chrono/val/accuracy"] <= 1
    page = (tmp_path / "w" / "report.html").read_text()
    assert "accuracy by training steps" in page and "knowing nothing: 2.079" in page
