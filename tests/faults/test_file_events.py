"""A run that dies at any event of the file system ends with an undisturbed one's bits.

Each `fsync`, rename and opened file of a small run is a moment to die at: the event does
not happen, nothing is cleaned up, and the run is started again.
"""

import contextlib
import json
import os
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.training.loop import TrainingLoop
from kerasdl.training.steps import TrainingSteps
from kerasdl.training.workdir import Workdir
from tests.faults.killer import Killed, Killer

EPOCHS, STEPS = 3, 2
# More moments than an undisturbed run of EPOCHS epochs has; those above it kill nothing.
MOMENTS = 64


def train(root):
    """Trains a small model in a folder; returns all of its variables."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    )
    optimizer = keras.optimizers.Adam(0.1)

    def loss(x, y):
        return tf.reduce_mean((model(x, training=True) - y) ** 2)

    def batches(epoch):
        for step in range(STEPS):
            x = np.random.default_rng([epoch, step]).normal(size=(8, 4)).astype("f4")
            yield x, x.sum(axis=1, keepdims=True)

    config = {"seed": 5, "epochs": EPOCHS}
    with Workdir(root, "captioning", config) as workdir:
        loop = TrainingLoop(
            workdir=workdir.create(),
            model=model,
            optimizer=optimizer,
            take_steps=TrainingSteps(model, optimizer, loss),
            batches=batches,
            steps_per_epoch=STEPS,
            epochs=EPOCHS,
            evaluate=dict,
            monitor="train/loss",
        )
        loop.run()
    return [np.array(v) for v in (*model.variables, *optimizer.variables)]


def rows(root):
    lines = (root / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(s).items() if k != "seconds"} for s in lines]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    return root, train(root)


@pytest.mark.parametrize(
    "moment",
    [
        moment if moment % 6 == 0 else pytest.param(moment, marks=pytest.mark.slow)
        for moment in range(MOMENTS)
    ],
)
def test_the_run_ends_with_the_same_bits(tmp_path, monkeypatch, undisturbed, moment):
    root, expected = undisturbed
    with monkeypatch.context() as patch:
        killer = Killer(patch, moment)
        with contextlib.suppress(Killed):
            train(tmp_path)
    assert killer.died or moment > 20, "the run has fewer events than it should"
    for left, right in zip(expected, train(tmp_path), strict=True):
        np.testing.assert_array_equal(left, right)
    assert rows(tmp_path) == rows(root)
    hidden = [p.name for p in tmp_path.rglob(".[0-9]*")]
    assert hidden == [] or str(os.getpid()) in hidden[0]  # this process is alive


def test_a_clock_that_is_set_back_changes_nothing(tmp_path, monkeypatch, undisturbed):
    """Files from the future, after a battery ran out or a backup was restored."""
    root, expected = undisturbed
    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        Killer(patch, 30)
        train(tmp_path)
    for path in tmp_path.rglob("*"):
        os.utime(path, (4e9, 4e9))  # the year 2096
    monkeypatch.setattr(time, "time", lambda: 1.0)
    monkeypatch.setattr(time, "time_ns", lambda: 10**9)
    for left, right in zip(expected, train(tmp_path), strict=True):
        np.testing.assert_array_equal(left, right)
    assert rows(tmp_path) == rows(root)
