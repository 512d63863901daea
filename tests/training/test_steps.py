"""Several training steps in one call: the steps that one call each would take."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.training.loop import TrainingLoop
from kerasdl.training.steps import TrainingSteps, make_train_step
from kerasdl.training.workdir import Workdir

SIGNATURE = [tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None,), tf.float32)]


def parts():
    """A model with dropout on sequences of any length, its optimizer and its loss."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.layers.Embedding(9, 4),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1, kernel_regularizer="l2"),
        ]
    )
    model.build((None, None))

    def loss(ids, targets):
        return tf.reduce_mean((model(ids, training=True)[:, 0] - targets) ** 2)

    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 7, 0.5, staircase=True)
    optimizer = keras.optimizers.Adam(schedule)
    optimizer.build(model.trainable_variables)
    return model, optimizer, loss


def batches(count=7):
    random = np.random.default_rng(1)
    for k in range(count):
        n, t = 1 + k % 3, 2 + k % 4
        yield random.integers(0, 9, (n, t), np.int32), random.normal(size=n).astype("f4")


def values(model, optimizer):
    return [np.array(v) for v in (*model.variables, *optimizer.variables)]


@pytest.mark.parametrize("size", [1, 3, 7])
def test_grouped_steps_equal_single_ones_to_the_bit(size):
    single = parts()
    step = make_train_step(*single, SIGNATURE)
    expected = [
        {name: float(value) for name, value in step(batch).items()} for batch in batches()
    ]
    grouped = parts()
    steps = TrainingSteps(*grouped, SIGNATURE, size)
    given, actual = list(batches()), []
    for first in range(0, 7, size):
        chosen = slice(first, first + size)
        actual += steps(given[chosen])
    assert actual == expected
    for a, b in zip(values(*grouped[:2]), values(*single[:2]), strict=True):
        np.testing.assert_array_equal(a, b)


def loop_of(root, steps_of, epochs=2, after_call=None):
    model, optimizer, loss = parts()
    steps = steps_of(model, optimizer, loss)
    if after_call:
        taken = steps.__class__.__call__

        class Watched(steps.__class__):
            def __call__(self, *arguments):
                results = taken(self, *arguments)
                after_call(loop.progress)
                return results

        steps.__class__ = Watched
    loop = TrainingLoop(
        workdir=Workdir(root, "text", {"seed": 3}).create(),
        model=model,
        optimizer=optimizer,
        take_steps=steps,
        batches=lambda epoch: batches(),
        steps_per_epoch=7,
        epochs=epochs,
        evaluate=dict,
        monitor="train/loss",
    )
    return loop


def test_the_loop_takes_them_as_it_takes_single_ones(tmp_path):
    def single(model, optimizer, loss):
        return TrainingSteps(model, optimizer, loss, SIGNATURE)

    expected = loop_of(tmp_path / "single", single)
    expected.run()
    groups = []
    grouped = loop_of(
        tmp_path / "grouped",
        lambda *model: TrainingSteps(*model, SIGNATURE, 3),
        after_call=lambda progress: groups.append((progress.epoch, progress.step)),
    )
    grouped.run()
    # The last step of an epoch is alone: what it changes is logged.
    assert groups == [(e, s) for e in (0, 1) for s in (0, 3, 6)]
    for a, b in zip(
        values(expected.model, expected.optimizer),
        values(grouped.model, grouped.optimizer),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    logged = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in loop.log.rows]
        for loop in (expected, grouped)
    ]
    assert logged[0] == logged[1]


def test_a_run_goes_on_after_the_last_saved_group(tmp_path):
    def steps_of(*model):
        return TrainingSteps(*model, SIGNATURE, 3)

    whole = loop_of(tmp_path / "whole", steps_of)
    whole.run()
    cut = loop_of(tmp_path / "cut", steps_of, epochs=1)
    for first, group in cut._groups(batches()):
        if first == 3:
            break
        cut._take_group(first, group)
    cut._save_latest()
    cut.workdir.close()
    again = loop_of(tmp_path / "cut", steps_of)
    again.run()
    for a, b in zip(
        values(whole.model, whole.optimizer),
        values(again.model, again.optimizer),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
