"""Checkpoints: every variable back to the bit, other files refused by name."""

import keras
import numpy as np
import pytest

from kerasdl.errors import InputError
from kerasdl.training.checkpoint import (
    assign_values,
    read_arrays,
    restore_latest,
    values_of,
    write_arrays,
    write_latest,
)


def save_checkpoint(path, variables, progress):
    write_arrays(path, values_of(variables), progress)


def restore_checkpoint(path, variables):
    arrays, progress = read_arrays(path)
    assign_values(path, arrays, variables)
    return progress


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


def test_a_whole_archive_of_other_values_is_refused(tmp_path):
    """The archive's own checksums are right then: that of the checkpoint is not."""
    path = tmp_path / "a.npz"
    write_arrays(path, {"w": np.ones(3, np.float32)}, {"epoch": 1})
    with np.load(path) as stored:
        content = dict(stored)
    for name, value in {"w": np.zeros(3, np.float32), "progress": "{}"}.items():
        with open(path, "wb") as file:
            np.savez(file, **{**content, name: np.array(value)})
        with pytest.raises(InputError, match="its checksum does not match"):
            read_arrays(path)


def test_every_flipped_byte_is_seen_or_harmless(tmp_path):
    """No flip anywhere in the file restores other values than were saved."""
    path, variables = tmp_path / "a.npz", small_model().variables
    save_checkpoint(path, variables, {"epoch": 1})
    data, expected = path.read_bytes(), values_of(variables)
    refused = 0
    for place in range(0, len(data), 3):
        flipped = bytearray(data)
        flipped[place] ^= 0x10
        path.write_bytes(flipped)
        try:
            arrays, progress = read_arrays(path)
        except InputError:
            refused += 1
            continue
        assert progress == {"epoch": 1}
        for name, value in expected.items():
            np.testing.assert_array_equal(arrays[name], value)
    assert refused > len(data) / 6


def test_values_that_are_not_finite_are_refused(tmp_path):
    write_arrays(tmp_path / "a.npz", {"0000.kernel": np.array([1.0, np.nan])}, {})
    with pytest.raises(InputError, match=r"'0000\.kernel' has values that are not"):
        read_arrays(tmp_path / "a.npz")


def write_twice(folder):
    for number in (1, 2):
        write_latest(folder, {"x": np.arange(number)}, {"number": number})


def restored(folder):
    return restore_latest(folder, lambda path: read_arrays(path)[1]["number"])


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_the_state_before_is_gone_on_from(tmp_path, capsys, damage):
    write_twice(tmp_path)
    latest = tmp_path / "latest.npz"
    data = latest.read_bytes()
    if damage == "missing":
        latest.unlink()
    else:
        half = len(data) // 2
        flipped = data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
        latest.write_bytes(data[:half] if damage == "cut" else flipped)
    assert restored(tmp_path) == 1
    told = capsys.readouterr().err
    assert ("Going on from the state before" in told) == (damage != "missing")


def test_the_latest_state_is_taken_if_it_is_whole(tmp_path):
    assert restored(tmp_path) is None
    write_twice(tmp_path)
    assert restored(tmp_path) == 2


def test_nothing_to_go_on_from_is_one_line(tmp_path):
    write_twice(tmp_path)
    for name in ("latest.npz", "previous.npz"):
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(InputError, match=r"latest\.npz: .* There is no other state"):
        restored(tmp_path)


def test_the_state_before_stays_on_a_full_disk(tmp_path, monkeypatch):
    write_latest(tmp_path, {"x": np.arange(3)}, {"number": 1})

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(InputError, match=r"latest\.npz cannot .* it takes [0-9,]+ bytes"):
        write_latest(tmp_path, {"x": np.arange(4)}, {"number": 2})
    assert restored(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["latest.npz"]
