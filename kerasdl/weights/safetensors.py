"""Reads `.safetensors` files with the library `safetensors`.

The library refuses a header that is too long, offsets that overlap, leave a gap or do not
end where the file ends, and shapes whose product is not the tensor's size. What it lets
pass and is refused here: one name twice, and types that NumPy has not.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import ml_dtypes  # registers bfloat16 with NumPy, which the library asks for by name
import numpy as np
from safetensors import SafetensorError, safe_open

from kerasdl.errors import InputError
from kerasdl.files import open_regular
from kerasdl.weights.damage import reason

# About 100 bytes of header describe a tensor.
MAX_HEADER_BYTES = 1 << 24
_DTYPES = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"}


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """Reads every tensor of a `.safetensors` file.

    Returns:
        Name -> array, in the order of the tensors' bytes in the file, of the shape and
        type that were saved (bfloat16 as float32).

    Raises:
        InputError: If the file cannot be read, is truncated or damaged, names a tensor
            twice, or holds tensors of a type that NumPy has not.
    """
    with open_regular(path) as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, MAX_HEADER_BYTES))
    try:
        with safe_open(path, "np") as archive:  # validates the header
            if length > MAX_HEADER_BYTES:
                raise ValueError(
                    f"expected a header of at most {MAX_HEADER_BYTES:,} bytes, "
                    f"got {length:,}"
                )
            json.loads(header, object_pairs_hook=_without_repeats)
            return {name: _array(archive, name) for name in archive.offset_keys()}
    except (SafetensorError, ValueError, RecursionError, MemoryError, OSError) as error:
        why = reason(error).removeprefix("Error while deserializing header: ")
        raise InputError(f"{path}: not a whole safetensors file: {why}.") from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of the header; JSON itself lets the last of two equal names count."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"{counts.most_common(1)[0][0]!r} is named twice")
    return entries


def _array(archive: safe_open, name: str) -> np.ndarray:
    kind = archive.get_slice(name).get_dtype()
    if kind not in _DTYPES:
        raise ValueError(f"{name} is of type {kind}, which cannot be read")
    array = archive.get_tensor(name)
    return array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 else array
