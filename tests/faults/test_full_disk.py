"""A disk that is full: one line, nothing half-written, and on it goes with more room."""

import os
import subprocess

import keras
import numpy as np
import pytest

import kerasdl
from kerasdl.errors import InputError
from tests.faults.test_file_events import rows, train

SIZE = 256 << 10


@pytest.fixture
def disk(tmp_path):
    """A disk of `SIZE` bytes."""
    if os.getuid() != 0:
        pytest.skip("mounting a small disk needs root")
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine mounts no tmpfs")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def fill(disk, room):
    """Leaves `room` bytes free."""
    (disk / "filler").write_bytes(bytes(os.statvfs(disk).f_bavail * 4096 - room))


@pytest.mark.parametrize("room", [4096, 12288, 32768])
def test_a_run_on_a_full_disk_goes_on_with_the_same_bits(disk, tmp_path, room):
    expected = train(tmp_path / "elsewhere")
    fill(disk, room)
    with pytest.raises(InputError, match=r"cannot be written: the disk is full; it "):
        train(disk / "run")
    (disk / "filler").unlink()
    for left, right in zip(expected, train(disk / "run"), strict=True):
        np.testing.assert_array_equal(left, right)
    assert rows(disk / "run") == rows(tmp_path / "elsewhere")


@pytest.mark.parametrize(("name", "room"), [("served", 20480), ("m.tflite", 20480)])
def test_an_export_on_a_full_disk_leaves_nothing(disk, name, room):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    fill(disk, room)
    with pytest.raises(InputError, match=r"cannot be written: the disk is full; it "):
        export = kerasdl.export.tflite if "." in name else kerasdl.export.saved_model
        export(model, disk / name)
    assert {path.name for path in disk.iterdir()} == {"filler"}
