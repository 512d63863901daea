"""What `check_hdf5` refuses: everything that HDF5 can do beyond holding numbers."""

import os
import re

import h5py
import numpy as np
import pytest

from kerasdl.errors import InputError
from kerasdl.weights import trial
from kerasdl.weights.hdf5 import check_hdf5
from kerasdl.weights.legacy_h5 import read_legacy_h5
from tests.weights import files


@pytest.fixture
def path(tmp_path):
    """A file of plain weights: contiguous, chunked, compressed; floats and a counter."""
    path = tmp_path / "a.h5"
    kernel = np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        file.attrs["backend"] = "tensorflow"
        layer = file.create_group("dense")
        layer.attrs["weight_names"] = [b"dense/kernel:0"]
        layer["dense/kernel:0"] = kernel
        layer.create_dataset("chunked", data=kernel, chunks=(10, 20))
        layer.create_dataset(
            "compressed", data=kernel, compression="gzip", shuffle=True, fletcher32=True
        )
        layer["count"] = np.array(7, np.int64)
        layer["empty"] = np.zeros((0, 3), np.float32)
        layer["again"] = layer["count"]  # a second hard link
        layer["cycle"] = layer
    return path


def test_plain_weights_pass(path):
    check_hdf5(path)
    assert [len(arrays) for arrays in read_legacy_h5(path).values()] == [1]


def change(path, what):
    with h5py.File(path, "a") as file:
        layer = file["dense"]
        del layer["dense/kernel:0"]
        what(layer, "dense/kernel:0")


def external(layer, name):
    secret = os.path.join(os.path.dirname(layer.file.filename), "secret")
    with open(secret, "wb") as file:
        file.write(b"a password of 32 bytes, let's say")
    layer.create_dataset(name, (8,), "f4", external=[(secret, 0, 32)])


def virtual(layer, name):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "w", (3,))
    layer.create_virtual_dataset(name, layout)


def soft_link(layer, name):
    layer[name] = h5py.SoftLink("/dense/count")


def external_link(layer, name):
    layer[name] = h5py.ExternalLink("other.h5", "/w")


def objects(layer, name):
    layer.create_dataset(name, data=["a", "b"], dtype=h5py.string_dtype())


def references(layer, name):
    layer.create_dataset(name, data=[layer.ref], dtype=h5py.ref_dtype)


def records(layer, name):
    layer[name] = np.zeros(3, "f4,i4")


def fixed_strings(layer, name):
    layer[name] = np.array([b"abc"])


def truth_values(layer, name):
    layer[name] = np.array([True])


def nested_arrays(layer, name):
    layer.create_dataset(name, (2,), np.dtype(("f4", (3,))))


def compact(layer, name):
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((3,))
    h5py.h5d.create(layer.id, name.encode(), h5py.h5t.IEEE_F32LE, space, creation)


def scale_offset(layer, name):
    layer.create_dataset(name, data=np.ones(9, "f4"), scaleoffset=3)


def named_type(layer, name):
    layer[name] = np.dtype("f4")


def null_shape(layer, name):
    layer[name] = h5py.Empty("f4")


def declared(layer, name):
    layer.create_dataset(name, (16 << 30,), "f4")


def declared_in_chunks(layer, name):
    layer.create_dataset(name, (16 << 30,), "f4", chunks=(1 << 20,), compression="gzip")


def many_small(layer, name):
    for index in range(3):
        layer.create_dataset(f"{name}{index}", (3000,), "f4")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (external, "'/dense/dense/kernel:0' is stored in another file"),
        (virtual, "is neither contiguous nor chunked"),
        (soft_link, "is a link to another place"),
        (external_link, "is a link to another place"),
        (objects, "is of type object, expected numbers"),
        (references, "is of type object, expected numbers"),
        (records, "expected numbers"),
        (fixed_strings, "is of type |S3, expected numbers"),
        (truth_values, "is of type bool, expected numbers"),
        (nested_arrays, "expected numbers"),
        (compact, "is neither contiguous nor chunked"),
        (scale_offset, "needs filter 6"),
        (named_type, "is no group and no dataset"),
        (null_shape, "has no shape"),
        (declared, "larger than the file's"),
        (declared_in_chunks, "larger than the file's"),
        (many_small, "larger than the file's"),
    ],
)
def test_refusals(path, what, message):
    change(path, what)
    received = files.refusal(read_legacy_h5, path)
    assert "not Keras weights in HDF5: " in received
    assert message in received


def test_cut_and_missing(path, tmp_path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "truncated file" in files.refusal(check_hdf5, path)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        check_hdf5(tmp_path / "absent.h5")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="expected a regular file"):
        check_hdf5(tmp_path / "fifo")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"\(SIGSEGV\)"),
        ("import time; time.sleep(60)", "took more than 1 s"),
        ("answer(lambda path: bytearray(1 << 32))", "takes more than .* of memory"),
        ("answer(lambda path: int('x' * 3))", "invalid literal"),
        ("raise KeyError('a')", "reading it failed: KeyError: 'a'"),
    ],
)
def test_whatever_befalls_the_child_is_one_line(tmp_path, monkeypatch, body, message):
    (tmp_path / "a_child.py").write_text(
        f"from kerasdl.weights.trial import answer\n{body}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(trial, "SECONDS", 1 if "sleep" in body else 60)
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(InputError, match=message) as caught:
        trial.try_in_child("a_child", tmp_path / "a", "a file of the kind")
    assert re.match(
        rf"{tmp_path}/a: not a file of the kind: [^\n]*\.$", str(caught.value)
    )
