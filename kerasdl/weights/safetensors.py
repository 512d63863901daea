"""Reads `.safetensors` files: a header in JSON, then the tensors' bytes."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.errors import InputError
from kerasdl.weights.bfloat16 import float32_of_bfloat16

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U8": "<u1",
    "BOOL": "?",
}
_LENGTH = struct.Struct("<Q")


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """Reads every tensor of a `.safetensors` file.

    Returns:
        Name -> read-only array, in file order, of the shape and type that were saved
        (bfloat16 as float32).

    Raises:
        InputError: Where the file cannot be read, is truncated or damaged, or holds
            tensors of a type that NumPy has not.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from error
    try:
        return _read(data)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: not a whole safetensors file: {error or type(error).__name__}."
        ) from error


def _read(data: bytes) -> dict[str, np.ndarray]:
    if len(data) < _LENGTH.size:
        raise ValueError(f"expected a header, got {len(data)} bytes")
    (length,) = _LENGTH.unpack_from(data)
    start = _LENGTH.size + length
    if start > len(data):
        raise ValueError(f"the header ends at byte {start}, the file at {len(data)}")
    header = json.loads(data[_LENGTH.size : start])
    if not isinstance(header, dict):
        raise ValueError(f"expected an object in the header, got {header!r}")
    body = memoryview(data)[start:]
    return {
        name: _tensor(name, entry, body)
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _tensor(name: str, entry: dict[str, Any], body: memoryview) -> np.ndarray:
    kind, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if kind not in _DTYPES:
        raise ValueError(f"{name} is of type {kind}, which cannot be read")
    counts = (first, last, *shape)
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        raise ValueError(f"{name} is of shape {shape} at {first} to {last}")
    dtype = np.dtype(_DTYPES[kind])
    if last - first != math.prod(shape) * dtype.itemsize or last > len(body):
        raise ValueError(
            f"{name} of shape {shape} and type {kind} does not fit into bytes {first} to "
            f"{last} of {len(body)}"
        )
    numbers = body[first:last]
    if kind == "BF16":
        return float32_of_bfloat16(numbers).reshape(shape)
    return np.frombuffer(numbers, dtype).reshape(shape)
