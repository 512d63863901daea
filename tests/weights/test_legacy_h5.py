import h5py
import numpy as np
import pytest

from kerasdl.errors import InputError
from kerasdl.weights.legacy_h5 import read_legacy_h5


def write(path, layers):
    """As Keras 1 wrote it: byte strings, and an empty list as an array of floats."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for name, weights in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [weight.encode() for weight in weights]
            for weight, array in weights.items():
                group[weight] = array


def test_reads_layers_in_their_order(tmp_path):
    kernel, bias = np.ones((1, 1, 2, 3), np.float32), np.arange(3, dtype=np.float32)
    layers = {
        "input_1": {},
        "fire2/squeeze": {"fire2/squeeze_W:0": kernel, "fire2/squeeze_b:0": bias},
        "bias_first": {"b:0": bias, "a:0": kernel},
    }
    write(tmp_path / "a.h5", layers)
    weights = read_legacy_h5(tmp_path / "a.h5")
    assert list(weights) == ["fire2/squeeze", "bias_first"]
    np.testing.assert_array_equal(weights["fire2/squeeze"][0], kernel, strict=True)
    np.testing.assert_array_equal(weights["fire2/squeeze"][1], bias, strict=True)
    np.testing.assert_array_equal(weights["bias_first"][0], bias, strict=True)


def test_other_files(tmp_path):
    with pytest.raises(InputError, match=r"missing\.h5: cannot be read: No such file"):
        read_legacy_h5(tmp_path / "missing.h5")
    with pytest.raises(InputError, match=r"cannot be read: Is a directory\.$"):
        read_legacy_h5(tmp_path)
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(InputError, match=r"text\.h5: not Keras weights in HDF5"):
        read_legacy_h5(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = np.ones(3)
    with pytest.raises(InputError, match=r"other\.h5: .*layer_names"):
        read_legacy_h5(tmp_path / "other.h5")
    write(tmp_path / "cut.h5", {"a": {"a:0": np.ones(9)}})
    data = (tmp_path / "cut.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut\.h5: not Keras weights in HDF5"):
        read_legacy_h5(tmp_path / "cut.h5")


def test_layer_that_is_named_and_missing(tmp_path):
    write(tmp_path / "a.h5", {"a": {"a:0": np.ones(9)}})
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["a"]["a:0"]
    with pytest.raises(InputError, match=r"a\.h5: not Keras weights in HDF5.*a:0"):
        read_legacy_h5(tmp_path / "a.h5")
