"""The skeleton, with a job as small as one can be: a line fitted to points."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.errors import InputError
from kerasdl.reports.page import Report, Section
from kerasdl.training.comparison import Comparison
from kerasdl.training.job import Job, Objective, train


class Line(Job):
    """Fits y = 2x + 1."""

    name = "line"

    def build(self):
        if self.config.points < 1:
            raise InputError(
                f"--config.points must be positive, got {self.config.points}."
            )
        self.model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        self.splits = {"val": self._points(0)[: self.config.val], "train": []}
        self.scorer = self
        self.notes.append("A note on the data.")
        return Objective(
            self.model,
            lambda x, y: tf.reduce_mean((self.model(x) - y) ** 2),
            lambda epoch: [(self._points(epoch), 2 * self._points(epoch) + 1)],
            1,
            [tf.TensorSpec((None, 1), tf.float32)] * 2,
        )

    def _points(self, epoch):
        random = np.random.default_rng([self.config.seed, epoch])
        return random.normal(size=(self.config.points, 1)).astype("float32")

    def scores(self, split, name):
        if not len(split):
            return {}
        error = np.array(self.model(split)) - (2 * split + 1)
        return {f"{name}/loss": float(np.mean(error**2))}

    def report(self, outcome):
        return Report("A line", "y = 2x + 1", [Section("Nothing", "to draw.")])


def make_config(**fields):
    config = ConfigDict(
        {"seed": 0, "epochs": 60, "learning_rate": 0.1, "schedule": "exponential",
         "rate_decay": 1.0, "monitor": "val/loss", "points": 16, "val": 8}
    )  # fmt: skip
    config.update(fields)
    return config


def test_a_job_in_one_class_trains_resumes_and_reports(tmp_path, capsys):
    metrics = train(Line(make_config(epochs=30)), tmp_path / "w")
    further = train(Line(make_config()), tmp_path / "w")
    assert further["val/loss"] < metrics["val/loss"]
    assert json.loads((tmp_path / "w" / "metrics.json").read_text()) == further
    assert set(further) == {
        *("val/loss", "train/loss", "best_epoch", "seconds", "seed", "parameters")
    }
    out, err = capsys.readouterr()
    assert "going on from epoch 30" in err and "A note on the data." in err
    assert "val/loss" in out
    page = (tmp_path / "w" / "report.html").read_text()
    assert "A note on the data." in page and "bit for bit" in page
    whole = train(Line(make_config()), tmp_path / "whole")
    assert {k: v for k, v in whole.items() if k != "seconds"} == {
        k: v for k, v in further.items() if k != "seconds"
    }


def test_lines_of_an_epoch_fit_a_terminal_and_begin_with_what_is_monitored(
    tmp_path, capsys
):
    train(Line(make_config(epochs=3)), tmp_path / "w")
    lines = [s for s in capsys.readouterr().err.splitlines() if s.startswith("epoch ")]
    assert len(lines) == 3
    for line in lines:
        assert len(line) <= 80
        assert line.split(": ")[1].startswith("val/loss ")


def test_what_is_refused_while_building_makes_no_folder(tmp_path):
    with pytest.raises(InputError, match=r"points must be positive, got 0"):
        train(Line(make_config(points=0)), tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_without_a_validation_split_the_training_loss_is_monitored(tmp_path):
    metrics = train(Line(make_config(val=0, epochs=2)), tmp_path / "w")
    assert "val/loss" not in metrics
    lines = (tmp_path / "w" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["train/loss"] for line in lines]
    assert metrics["train/loss"] == min(losses)
    assert metrics["best_epoch"] == 1 + losses.index(min(losses))


class Lines(Comparison):
    """Fits lines to more and to fewer points."""

    def __init__(self, config):
        jobs = {f"p{n}": Line(make_config(points=n, epochs=5)) for n in config.counts}
        super().__init__(config, jobs, "val/loss", ("model.keras",))

    def report(self, outcome):
        return Report("Lines", "", [], hidden=["p4/seed"])


def test_several_jobs_share_a_folder_and_their_figures_have_names(tmp_path, capsys):
    config = ConfigDict({"seed": 0, "counts": (4, 9)})
    metrics = train(Lines(config), tmp_path / "w")
    for name in ("p4", "p9"):
        own = json.loads((tmp_path / "w" / name / "metrics.json").read_text())
        assert metrics[f"{name}/val/loss"] == own["val/loss"]
    best = metrics["best_model"]
    kept = (tmp_path / "w" / "model.keras").read_bytes()
    assert kept == (tmp_path / "w" / best / "model.keras").read_bytes()
    assert "p9 epoch 5/5: " in capsys.readouterr().err


def test_what_is_wrong_with_a_later_job_is_found_before_the_first_trains(tmp_path):
    config = ConfigDict({"seed": 0, "counts": (4, 0)})
    with pytest.raises(InputError, match="got 0"):
        train(Lines(config), tmp_path / "w")
    assert not (tmp_path / "w").exists()
