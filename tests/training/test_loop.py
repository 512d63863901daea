"""The training loop: what it learns, and that no interruption changes a bit of it."""

import json
import os
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.training.checkpoint import read_arrays, write_arrays
from kerasdl.training.interrupts import Interrupted
from kerasdl.training.loop import TrainingLoop
from kerasdl.training.steps import TrainingSteps
from kerasdl.training.workdir import Workdir

STEPS = 4


class Killed(Exception):
    """Stands for SIGKILL: nothing of the loop runs after it."""


def make_loop(root, epochs=3, after_step=None, monitor="val/accuracy", loss=None, **more):
    """A small classifier with dropout on fixed data; `after_step` sees (epoch, step)."""
    keras.utils.set_random_seed(7)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1),
        ]
    )
    schedule = keras.optimizers.schedules.ExponentialDecay(
        0.05, STEPS, 0.9, staircase=True
    )
    optimizer = keras.optimizers.Adam(schedule)
    x = np.random.default_rng(0).normal(size=(STEPS * 8, 6)).astype("float32")
    y = (x.sum(axis=1, keepdims=True) > 0).astype("float32")

    def binary_loss(x, y):
        logits = model(x, training=True)
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, logits))

    def batches(epoch):
        order = np.random.default_rng([7, epoch]).permutation(len(x))
        for start in range(0, len(x), 8):
            chosen = order[start : start + 8]
            yield tf.constant(x[chosen]), tf.constant(y[chosen])

    class Steps(TrainingSteps):
        def __call__(self, batches):
            results = super().__call__(batches)
            if after_step:
                after_step(loop.progress.epoch, loop.progress.step)
            return results

    def evaluate():
        correct = (np.array(model(x)) > 0) == (y > 0)
        return {"val/accuracy": float(correct.mean())}

    workdir = Workdir(root, "captioning", {"seed": 7, "epochs": epochs}).create()
    loop = TrainingLoop(
        workdir=workdir,
        model=model,
        optimizer=optimizer,
        take_steps=Steps(model, optimizer, loss or binary_loss),
        batches=batches,
        steps_per_epoch=STEPS,
        epochs=epochs,
        evaluate=evaluate,
        monitor=monitor,
        **more,
    )
    return loop


def state(loop):
    return [np.array(v) for v in (*loop.model.variables, *loop.optimizer.variables)]


def rows(root):
    timed = map(json.loads, (root / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in row.items() if k != "seconds"} for row in timed]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    root = tmp_path_factory.mktemp("uninterrupted")
    loop = make_loop(root)
    loop.run()
    return root, state(loop)


def test_it_learns_and_logs(uninterrupted):
    root, _ = uninterrupted
    logged = rows(root)
    assert [row["epoch"] for row in logged] == [1, 2, 3]
    assert logged[-1]["train/loss"] < logged[0]["train/loss"]
    assert logged[1]["train/learning_rate"] == pytest.approx(0.045)
    for row in logged:
        assert row["train/gradient_norm"] > 0
        assert 0 < row["train/update_norm"] < row["train/parameter_norm"]


@pytest.mark.parametrize(("epoch", "step"), [(0, 0), (0, 2), (1, 0), (1, 3), (2, 3)])
def test_killed_at_any_step_ends_with_the_same_bits(tmp_path, uninterrupted, epoch, step):
    root, expected = uninterrupted

    def kill(at_epoch, at_step):
        if (at_epoch, at_step) == (epoch, step):
            raise Killed

    loop = make_loop(tmp_path, after_step=kill)
    with pytest.raises(Killed):
        loop.run()
    loop.workdir.close()
    again = make_loop(tmp_path)
    again.run()
    for left, right in zip(expected, state(again), strict=True):
        np.testing.assert_array_equal(left, right)
    assert rows(tmp_path) == rows(root)


def finish_interrupted(root, **more):
    """Starts a run that a signal stops, then again; the second one's loop."""
    loop = make_loop(root, **more)
    with pytest.raises(Interrupted) as stopped:
        loop.run()
    loop.workdir.close()
    taken = []
    again = make_loop(root, after_step=lambda *at: taken.append(at))
    again.run()
    again.workdir.close()
    return again, taken, str(stopped.value)


def test_a_signal_after_an_epochs_last_step_loses_no_figure(tmp_path, uninterrupted):
    root, expected = uninterrupted

    def interrupt(epoch, step):
        if (epoch, step) == (1, STEPS - 1):
            os.kill(os.getpid(), signal.SIGTERM)

    again, taken, message = finish_interrupted(tmp_path, after_step=interrupt)
    assert f"saved after epoch 1, step {STEPS}" in message
    assert taken[0] == (2, 0)
    assert rows(tmp_path) == rows(root)  # update_norm and learning_rate among them
    for left, right in zip(expected, state(again), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_signal_during_an_evaluation_is_honoured(tmp_path, uninterrupted, epoch):
    """Also during the last one, after which no step would notice it."""
    root, expected = uninterrupted
    loop = make_loop(tmp_path)
    evaluate = loop.evaluate

    def interrupting():
        if loop.progress.epoch == epoch:
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate()

    loop.evaluate = interrupting
    with pytest.raises(Interrupted, match=f"saved after epoch {epoch + 1}, step 0"):
        loop.run()
    loop.workdir.close()
    again = make_loop(tmp_path)
    again.run()
    assert rows(tmp_path) == rows(root)
    for left, right in zip(expected, state(again), strict=True):
        np.testing.assert_array_equal(left, right)


def rewrite(path, **changes):
    """Changes what a checkpoint says of its progress; the checksum fits again."""
    arrays, progress = read_arrays(path)
    progress = {k: v for k, v in (progress | changes).items() if v != "gone"}
    write_arrays(path, arrays, progress)


DAMAGES = {
    "epoch beyond the end": {"epoch": 9},
    "negative epoch": {"epoch": -1},
    "epoch as text": {"epoch": "2"},
    "epoch as a truth": {"epoch": True},
    "step beyond the end": {"step": STEPS + 1},
    "step not the optimiser's": {"step": 1},
    "best epoch beyond": {"best_epoch": 3},
    "best without its epoch": {"best_epoch": 0},
    "best as text": {"best": "0.5"},
    "negative seconds": {"seconds": -1.0},
    "unknown field": {"more": 1},
    "missing field": {"sums": "gone"},
    "sums as a list": {"sums": []},
    "sums of text": {"sums": {"loss": "1"}},
    "rows missing": {"rows": []},
    "rows of text": {"rows": ["a", "b"]},
}


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory):
    root = tmp_path_factory.mktemp("two")
    loop = make_loop(root, epochs=2)
    loop.run()
    loop.workdir.close()
    return root


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_progress_is_refused(two_epochs, tmp_path, damage):
    shutil.copytree(two_epochs, tmp_path / "w")
    loop = make_loop(tmp_path / "w")
    latest = tmp_path / "w" / "checkpoints" / "latest.npz"
    rewrite(latest, **DAMAGES[damage])
    with pytest.raises(InputError, match=r"latest\.npz: "):
        loop._restore(latest)


def test_after_damage_the_state_before_ends_with_the_same_bits(
    two_epochs, tmp_path, uninterrupted, capsys
):
    root, expected = uninterrupted
    shutil.copytree(two_epochs, tmp_path / "w")
    latest = tmp_path / "w" / "checkpoints" / "latest.npz"
    latest.write_bytes(latest.read_bytes()[:-90])
    loop = make_loop(tmp_path / "w")
    loop.run()
    told = capsys.readouterr().err
    assert "Going on from the state before" in told
    assert "going on from epoch 1, step 0" in told
    for left, right in zip(expected, state(loop), strict=True):
        np.testing.assert_array_equal(left, right)
    assert rows(tmp_path / "w") == rows(root)


@pytest.mark.parametrize("damage", ["missing", "cut", "of another epoch"])
def test_a_lost_best_state_is_said(tmp_path, damage):
    values = iter([0.9, 0.5])
    loop = make_loop(tmp_path, epochs=2)
    loop.evaluate = lambda: {"val/accuracy": next(values)}
    loop.run()
    loop.workdir.close()
    best = tmp_path / "checkpoints" / "best.npz"
    if damage == "missing":
        best.unlink()
    elif damage == "cut":
        best.write_bytes(best.read_bytes()[:99])
    else:
        _, latest = read_arrays(tmp_path / "checkpoints" / "latest.npz")
        rewrite(best, **latest)
    with pytest.raises(InputError, match=r"the best state, of epoch 1, is lost: .*best"):
        make_loop(tmp_path, epochs=2).run()


def test_a_full_disk_keeps_the_run(tmp_path, uninterrupted, monkeypatch):
    root, expected = uninterrupted
    loop = make_loop(tmp_path)
    with monkeypatch.context() as patch:
        savez = np.savez

        def full(file, **arrays):
            if loop.progress.epoch == 2:
                raise OSError(28, "No space left on device")
            savez(file, **arrays)

        patch.setattr(np, "savez", full)
        with pytest.raises(InputError, match=r"npz cannot be written: the disk is full"):
            loop.run()
    loop.workdir.close()
    again = make_loop(tmp_path)
    again.run()
    assert rows(tmp_path) == rows(root)
    for left, right in zip(expected, state(again), strict=True):
        np.testing.assert_array_equal(left, right)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    def ruin(epoch, step):
        if step == STEPS - 1:
            loop.model.trainable_variables[0].assign(np.full((6, 8), np.inf))

    loop = make_loop(tmp_path, epochs=1, after_step=ruin)
    with pytest.raises(InputError, match="norm of the weights is not finite at epoch 1"):
        loop.run()
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_no_batch_is_refused(tmp_path):
    loop = make_loop(tmp_path)
    with pytest.raises(InputError, match="no batch to train on"):
        TrainingLoop(
            workdir=loop.workdir, model=loop.model, optimizer=loop.optimizer,
            take_steps=loop.take_steps, batches=loop.batches, steps_per_epoch=0, epochs=1,
            evaluate=dict, monitor="train/loss",
        )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_in_the_middle_of_an_epoch(tmp_path, uninterrupted, number):
    root, expected = uninterrupted

    def interrupt(epoch, step):
        if (epoch, step) == (1, 1):
            os.kill(os.getpid(), number)

    loop = make_loop(tmp_path, after_step=interrupt)
    with pytest.raises(Interrupted, match="saved after epoch 1, step 2"):
        loop.run()
    loop.workdir.close()
    taken = []
    again = make_loop(tmp_path, after_step=lambda *at: taken.append(at))
    again.run()
    assert taken[0] == (1, 2)  # it went on; it did not replay
    for left, right in zip(expected, state(again), strict=True):
        np.testing.assert_array_equal(left, right)
    assert rows(tmp_path)[0] == rows(root)[0]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_more_epochs_continue_the_run(tmp_path, uninterrupted):
    root, _ = uninterrupted
    loop = make_loop(tmp_path, epochs=2)
    loop.run()
    loop.workdir.close()
    make_loop(tmp_path, epochs=3).run()
    assert rows(tmp_path) == rows(root)


def test_the_best_state_is_what_the_model_ends_with(tmp_path):
    values = iter([0.5, 0.9, 0.7])
    loop = make_loop(tmp_path)
    seen = []

    def evaluate():
        seen.append([np.array(v) for v in loop.model.trainable_variables])
        return {"val/accuracy": next(values)}

    loop.evaluate = evaluate
    progress = loop.run()
    assert (progress.best, progress.best_epoch) == (0.9, 2)
    for left, right in zip(seen[1], loop.model.trainable_variables, strict=True):
        np.testing.assert_array_equal(left, np.array(right))


def test_patience_ends_the_run(tmp_path):
    values = iter([0.9, 0.5, 0.5, 0.5, 0.5])
    loop = make_loop(tmp_path, epochs=5, patience=2)
    loop.evaluate = lambda: {"val/accuracy": next(values)}
    assert loop.run().epoch == 3


def test_a_loss_is_monitored_downwards(tmp_path):
    loop = make_loop(tmp_path, monitor="train/loss")
    progress = loop.run()
    losses = [row["train/loss"] for row in rows(tmp_path)]
    assert progress.best == min(losses)


def test_non_finite_loss_names_the_step_and_keeps_the_checkpoint(tmp_path):
    loop = make_loop(tmp_path, epochs=1)
    loop.run()
    loop.workdir.close()
    kept = (tmp_path / "checkpoints" / "latest.npz").read_bytes()
    scale = tf.Variable(1.0)

    def diverging(x, y):
        return tf.math.log(scale.assign_sub(0.5)) + 0.0 * tf.reduce_sum(loop.model(x))

    loop = make_loop(tmp_path, epochs=2, loss=diverging)
    with pytest.raises(InputError, match=r"not finite at epoch 2, step 2, got -inf"):
        loop.run()
    assert (tmp_path / "checkpoints" / "latest.npz").read_bytes() == kept


def test_unknown_monitor_names_what_there_is(tmp_path):
    loop = make_loop(tmp_path, monitor="val/f1")
    with pytest.raises(InputError, match=r"val/accuracy, got 'val/f1'"):
        loop.run()
