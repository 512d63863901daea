"""Reads PyTorch's `.pth` files without PyTorch and without unpickling anything.

A `.pth` file is a pickle with the tensors' numbers beside it. The pickle goes through
`kerasdl.weights.tensor_pickle`, which knows tensors and refuses everything else by name.
Both formats of `torch.save` are read: the zip archive of version 1.6 and later, and the
sequence of pickles before it. Every size is compared with the file before it is believed.
"""

import io
import mmap
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kerasdl.errors import InputError
from kerasdl.files import open_regular
from kerasdl.weights.archives import open_archive
from kerasdl.weights.damage import Damaged, element_count
from kerasdl.weights.tensor_pickle import (
    STORAGE_DTYPES,
    Storage,
    Tensor,
    TensorPickle,
)

_ZIP_MAGIC = b"PK\x03\x04"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

# Where a training script puts the weights in a checkpoint of more than weights.
_WEIGHTS_KEYS = ("state_dict", "model_state_dict", "model")


def read_pth(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a file that `torch.save` wrote.

    Args:
        path: A state dict, or a checkpoint that holds one under `state_dict`,
            `model_state_dict` or `model`.

    Returns:
        Name -> array, in file order, of the shape and type that were saved (bfloat16 as
        float32). The arrays are read-only views; tensors that shared a storage share it
        still. Entries that are not tensors are left out.

    Raises:
        InputError: If the file cannot be read, is truncated or damaged, holds no
            tensors, or asks for anything but tensors; the name it asks for is given.
    """
    with open_regular(path) as file:
        try:
            return _read(file)
        except Damaged as error:
            raise InputError(f"{path}: {error}.") from error


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    magic = file.read(len(_ZIP_MAGIC))
    if not magic:
        raise Damaged("expected a file written by torch.save, got an empty one")
    if magic != _ZIP_MAGIC:
        return _read_legacy(file)
    # torch compresses nothing.
    with open_archive(file, stored=True) as archive:
        return _read_zip(archive)


def _read_zip(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """`NAME/data.pkl`, `NAME/byteorder`, and `NAME/data/KEY` for each storage."""
    entries = {entry.filename: entry for entry in archive.infolist()}
    pickles = [name for name in entries if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Damaged(
            "expected an archive written by torch.save, with one data.pkl, "
            f"got {len(pickles)} of them"
        )
    folder = pickles[0].removesuffix("data.pkl")

    def read_entry(name: str) -> bytes:
        if folder + name not in entries:
            raise Damaged(f"the archive lacks {folder + name}")
        return archive.read(entries[folder + name])

    if folder + "byteorder" in entries:
        byte_order = read_entry("byteorder")
        if byte_order != b"little":
            raise Damaged(f"expected little-endian numbers, got {byte_order!r}")
    pickle = TensorPickle(io.BytesIO(read_entry("data.pkl")))
    return _materialise(_weights(pickle.run()), lambda key: read_entry(f"data/{key}"))


def _read_legacy(file: BinaryIO) -> dict[str, np.ndarray]:
    """Five pickles (magic, protocol, system, object, storage keys), then the storages."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        try:
            magic = TensorPickle(stream).run()
        except Damaged:
            magic = None
        if magic != _LEGACY_MAGIC:
            raise Damaged(
                "expected a file written by torch.save, got one that begins with "
                f"{stream[:8]!r}"
            )
        protocol = TensorPickle(stream).run()
        if protocol != _LEGACY_PROTOCOL:
            raise Damaged(f"expected protocol {_LEGACY_PROTOCOL}, got {protocol!r}")
        TensorPickle(stream).run()  # the writer's sizes of C types, which no reader needs
        pickle = TensorPickle(stream)
        weights = _weights(pickle.run())
        keys = TensorPickle(stream).run()
        spans = _legacy_spans(stream, keys, pickle.storages)

        def read_storage(key: str) -> bytes:
            if key not in spans:
                raise Damaged(f"the file lacks storage {key}")
            return stream[slice(*spans[key])]

        return _materialise(weights, read_storage)


def _legacy_spans(
    stream: mmap.mmap, keys: Any, storages: dict[str, Storage]
) -> dict[str, tuple[int, int]]:
    """Where each storage's numbers are, behind their count as int64."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Damaged("expected a list of storages after the tensors")
    spans = {}
    for key in keys:
        if key not in storages:
            raise Damaged(f"storage {key} belongs to no tensor")
        start = stream.tell() + 8
        stop = start + storages[key].nbytes
        if stop > len(stream):
            raise Damaged(
                f"truncated: storage {key} ends at byte {stop}, the file at {len(stream)}"
            )
        (numel,) = struct.unpack("<q", stream.read(8))
        if numel != storages[key].numel:
            raise Damaged(
                f"storage {key} should hold {storages[key].numel} numbers, got {numel}"
            )
        spans[key] = (start, stop)
        stream.seek(stop)
    return spans


def _weights(saved: Any) -> dict[str, Tensor]:
    """The tensors of what was saved, taken out of a checkpoint if it is one."""
    if isinstance(saved, dict):
        for key in _WEIGHTS_KEYS:
            if isinstance(saved.get(key), dict):
                saved = saved[key]
                break
        tensors = {
            name: value
            for name, value in saved.items()
            if isinstance(name, str) and isinstance(value, Tensor)
        }
        if tensors:
            return tensors
    raise Damaged("expected a dictionary of tensors, got none")


def _materialise(
    tensors: dict[str, Tensor], read_storage: Callable[[str], bytes]
) -> dict[str, np.ndarray]:
    """Reads each storage once and lays the tensors over them."""
    storages: dict[str, np.ndarray] = {}
    arrays = {}
    for name, tensor in tensors.items():
        storage = tensor.storage
        if storage.key not in storages:
            storages[storage.key] = _numbers(storage, read_storage(storage.key))
        arrays[name] = _view(name, tensor, storages[storage.key])
    return arrays


def _numbers(storage: Storage, data: bytes) -> np.ndarray:
    """A storage's numbers: (numel,)."""
    if len(data) != storage.nbytes:
        raise Damaged(
            f"storage {storage.key} should have {storage.nbytes} bytes, got {len(data)}"
        )
    numbers = np.frombuffer(data, STORAGE_DTYPES[storage.kind])
    if storage.kind == "BFloat16Storage":  # which few besides TensorFlow compute with
        return numbers.astype(np.float32)
    return numbers


def _view(name: str, tensor: Tensor, numbers: np.ndarray) -> np.ndarray:
    """A tensor over its storage: no copy, so a stride of 0 cannot fill the memory."""
    if 0 in tensor.size:
        last = tensor.offset - 1
    else:
        steps = zip(tensor.size, tensor.stride, strict=True)
        last = tensor.offset + sum((size - 1) * stride for size, stride in steps)
    if last >= len(numbers):
        raise Damaged(
            f"{name[:100]} reaches number {last} of storage {tensor.storage.key}, "
            f"which has {len(numbers)}"
        )
    try:
        if element_count(tensor.size) > np.iinfo(np.intp).max // numbers.itemsize:
            raise Damaged(f"is too large, of shape {tensor.size}")
        return np.lib.stride_tricks.as_strided(
            numbers[tensor.offset :],
            tensor.size,
            [stride * numbers.itemsize for stride in tensor.stride],
            writeable=False,
        )
    except (ValueError, OverflowError) as error:
        raise Damaged(f"{name[:100]} {error}") from error
