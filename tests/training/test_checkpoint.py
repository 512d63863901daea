"""Checkpoints: every variable back to the bit, other files refused by name."""

import keras
import numpy as np
import pytest

from kerasdl.errors import InputError
from kerasdl.training.checkpoint import restore_checkpoint, save_checkpoint


def small_model(units=3):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dropout(0.5)]
    )
    return model


def test_round_trip_includes_seed_generators(tmp_path):
    model = small_model()
    model(np.ones((2, 4)), training=True)
    before = [np.array(v) for v in model.variables]
    assert len(before) == 3  # kernel, bias, and the state of dropout's seed
    save_checkpoint(tmp_path / "a.npz", model.variables, {"epoch": 3, "best": None})
    model(np.ones((2, 4)), training=True)
    for variable in model.trainable_variables:
        variable.assign(variable + 1)
    progress = restore_checkpoint(tmp_path / "a.npz", model.variables)
    assert progress == {"epoch": 3, "best": None}
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(value, np.array(variable))


def test_no_temporary_file_stays(tmp_path):
    save_checkpoint(tmp_path / "a.npz", small_model().variables, {})
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_another_model_is_refused(tmp_path):
    save_checkpoint(tmp_path / "a.npz", small_model(3).variables, {})
    with pytest.raises(InputError, match=r"another model, at '0000\.kernel of shape"):
        restore_checkpoint(tmp_path / "a.npz", small_model(5).variables)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no checkpoint"])
def test_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz: not a checkpoint"):
        restore_checkpoint(path, small_model().variables)


def test_truncated_file_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    save_checkpoint(path, small_model().variables, {})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"a\.npz: not a checkpoint"):
        restore_checkpoint(path, small_model().variables)
