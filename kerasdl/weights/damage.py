"""The exception for damaged files, and bounded arithmetic, for all readers of weights."""

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

# No array that fits into a memory has more elements, and NumPy no more axes.
MAX_COUNT = 1 << 62
MAX_AXES = 64

# What NumPy, zipfile, zlib and struct raise for bytes that they did not expect.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,  # a compression that Python has not
    OSError,
    OverflowError,
    RecursionError,
    RuntimeError,  # an encrypted entry
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,  # NumPy reads an array's header as Python
)


class Damaged(ValueError):
    """What is wrong with a file, without the file's name."""


def element_count(shape: Sequence[int]) -> int:
    """The product of a shape's sides.

    The loop stops as soon as the product is absurd, because the product of a million huge
    integers takes minutes.

    Raises:
        Damaged: If the shape has more than `MAX_AXES` axes, a negative side, or more than
            `MAX_COUNT` elements.
    """
    if len(shape) > MAX_AXES:
        raise Damaged(f"has {len(shape):,} dimensions, at most {MAX_AXES} can be read")
    count = 1
    for side in sorted(shape):  # 0 first
        count *= side
        if side < 0 or count > MAX_COUNT:
            raise Damaged(f"is too large, of shape {shown(tuple(shape))}")
    return count


def reason(error: Exception) -> str:
    """An exception's message, cut: zipfile quotes headers as long as the file."""
    return _cut(str(error) or type(error).__name__)


def shown(value: Any) -> str:
    """A value from a file, for a message: short, whatever it holds.

    `repr` of a nest of shared tuples may be larger than any memory, so only plain values
    and short tuples of them are written out.
    """
    if isinstance(value, (tuple, list)) and len(value) <= MAX_AXES:
        if all(isinstance(part, (int, float, str, type(None))) for part in value):
            comma = "," if len(value) == 1 else ""
            return _cut(f"({', '.join(map(shown, value))}{comma})")
    if isinstance(value, int) and abs(value) > MAX_COUNT:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, (int, float, str, bytes, type(None))):
        return _cut(repr(value[:200] if isinstance(value, (str, bytes)) else value))
    return type(value).__name__


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."
