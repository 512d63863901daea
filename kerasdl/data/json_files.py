"""JSON that anyone may have written: bounded, and refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

from kerasdl.errors import InputError
from kerasdl.files import open_regular

# COCO's captions of 118,000 pictures are 92 MB.
MAX_JSON_BYTES = 2**30


def read_json(path: str | Path) -> object:
    """The value that a JSON file holds.

    Raises:
        InputError: The file cannot be read, or as `parse_json`.
    """
    with open_regular(path, MAX_JSON_BYTES) as file:
        return parse_json(file.read(), str(path))


def parse_json(data: bytes | str, name: str) -> object:
    """The value that JSON text holds.

    Args:
        data: Text, or UTF-8 with or without a byte-order mark.
        name: What messages call it.

    Raises:
        InputError: It is not UTF-8 or not JSON, is nested too deeply, or has a number of
            thousands of digits.
    """
    try:
        return json.loads(data.decode("utf-8-sig") if isinstance(data, bytes) else data)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}: expected UTF-8, got byte 0x{error.object[error.start]:02x} at byte "
            f"{error.start + 1}"
        ) from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"{name}: line {error.lineno}: expected JSON, got an error at column "
            f"{error.colno}: {error.msg}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: expected JSON, got {error}") from error
