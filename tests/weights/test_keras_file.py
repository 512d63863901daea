"""A stranger's `.keras` file is looked at before Keras opens it."""

import os
import zipfile

import numpy as np
import pytest

from kerasdl.weights.keras_file import check_keras_file
from tests.weights import hdf5_files
from tests.weights.files import refusal


def keras_file(tmp_path, weights=None, **entries):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        if weights is not None:
            archive.write(weights, "model.weights.h5")
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def test_what_keras_writes_passes(tmp_path):
    import keras

    for dtype in ("float32", "bfloat16"):
        layer = keras.layers.Dense(3, dtype=dtype)
        model = keras.Sequential([keras.Input((2,)), layer, keras.layers.Dropout(0.1)])
        model.save(tmp_path / "m.keras")
        check_keras_file(tmp_path / "m.keras")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (hdf5_files.external, "is stored in another file"),
        (hdf5_files.declared, "larger than the file's"),
        (hdf5_files.objects, "is of type object, expected numbers"),
    ],
)
def test_weights_are_plain_ones(tmp_path, what, message):
    weights = hdf5_files.plain(tmp_path / "w.h5")
    check_keras_file(keras_file(tmp_path, weights))
    hdf5_files.change(weights, what)
    received = refusal(check_keras_file, keras_file(tmp_path, weights))
    assert "m.keras: model.weights.h5: not Keras weights in HDF5: " in received
    assert message in received and str(tmp_path / "w.h5") not in received


def test_other_archives(tmp_path):
    assert "it holds no model.weights.h5" in refusal(
        check_keras_file, keras_file(tmp_path)
    )
    bomb = keras_file(tmp_path, assets=np.zeros(2**25).tobytes())
    assert "larger than the file's" in refusal(check_keras_file, bomb)
    bomb.write_bytes(bomb.read_bytes()[:-50])
    assert "not a Keras model that loads: truncated" in refusal(check_keras_file, bomb)
    os.mkfifo(tmp_path / "fifo")
    assert "expected a regular file" in refusal(check_keras_file, tmp_path / "fifo")
