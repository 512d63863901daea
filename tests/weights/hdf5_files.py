"""HDF5 files: plain weights, and everything that HDF5 can do beyond holding them."""

import os

import h5py
import numpy as np


def plain(path):
    """A file of plain weights: contiguous, chunked, compressed; floats and a counter."""
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
