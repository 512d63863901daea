"""The inputs of bulk prediction, one after another: files, and rows of tables.

What a table's row breaks is part of it, so that it can be answered with the reason.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kerasdl.data.pictures.files import find_pictures, is_picture_name
from kerasdl.data.texts.lines import LineErrors, check_text, read_lines
from kerasdl.data.texts.tables import (
    JSON_SUFFIX,
    TSV_SUFFIX,
    read_header,
    read_json_lines,
    read_records,
)
from kerasdl.errors import InputError, listed, shown

TABLE_SUFFIXES = (".csv", TSV_SUFFIX, JSON_SUFFIX)
ARRAY_SUFFIXES = (".npy", ".npz")
# The column that is read where none is named, by the kind of input.
COLUMNS = {"picture": "image", "text": "text"}


class Row(NamedTuple):
    """One input.

    Attributes:
        name: Its path, or its table's and line.
        value: The path of a picture or of arrays, or the sentence.
        reason: Why it cannot be read; "" if nothing is known against it.
    """

    name: str
    value: str
    reason: str = ""


class Outcome(NamedTuple):
    """What became of one input.

    Attributes:
        name: The input's.
        answer: By name; None if there is none.
        reason: Why there is none.
    """

    name: str
    answer: dict[str, Any] | None = None
    reason: str = ""


class _Reasons(LineErrors):
    """Keeps what is said of bad lines until it is asked for."""

    def __init__(self) -> None:
        super().__init__(skip=True)
        self._messages: list[str] = []

    def report(self, message: str) -> None:
        """Counts a bad line."""
        super().report(message)
        self._messages.append(message)

    def rows(self) -> list[Row]:
        """The bad lines since the last call."""
        messages, self._messages = self._messages, []
        return [Row(": ".join(m.split(": ", 2)[:2]), "", m) for m in messages]


def list_inputs(names: Sequence[str], kind: str, column: str = "") -> Iterator[Row]:
    """The inputs that patterns, folders, files and tables name.

    A file that several patterns match comes once; each row of a table is an input of its
    own.

    Args:
        names: Patterns (with `**` for folders at any depth), folders or files.
        kind: `picture`, `text` or `tensors`.
        column: Of a table; `COLUMNS` has the default.

    Raises:
        InputError: A name matches nothing, or a table lacks the column.
    """
    column = column or COLUMNS.get(kind, "")
    files: dict[str, None] = {}
    for name in names:
        found = [name] if os.path.lexists(name) else glob.glob(name, recursive=True)
        if not found:
            raise InputError(f"--input: no file matches {name!r}.")
        files |= dict.fromkeys(path for one in sorted(found) for path in _in_folder(one))
    for file in files:
        path = Path(file)
        ending = path.suffix.lower()
        is_one = ending in ARRAY_SUFFIXES if kind == "tensors" else kind == "picture"
        if is_one and (kind == "tensors" or is_picture_name(path.name)):
            yield Row(file, file)
        elif kind != "tensors" and ending in TABLE_SUFFIXES:
            yield from _table_rows(path, kind, column)
        elif kind == "text":
            yield from _line_rows(path)
        else:
            wanted = ARRAY_SUFFIXES if kind == "tensors" else ("a picture's ending",)
            yield Row(file, "", f"{file}: expected {' or '.join(wanted)}")


def _in_folder(name: str) -> list[str]:
    """The pictures of a folder, whose folders are not entered; a file itself."""
    if not os.path.isdir(name):
        return [name]
    return [str(path) for path in find_pictures(Path(name), deep=False).pictures]


def _line_rows(path: Path) -> Iterator[Row]:
    reasons = _Reasons()
    for number, line in read_lines(path, reasons, blank=True):
        where = f"{path}: line {number}"
        bad = reasons.rows()
        reason = bad[0].reason if bad else f"{where}: {check_text(line)}"
        yield Row(where, line, "" if line else reason)


def _table_rows(path: Path, kind: str, column: str) -> Iterator[Row]:
    reasons = _Reasons()
    if path.suffix.lower() == JSON_SUFFIX:
        records = read_json_lines(path, reasons)
    else:
        where, header = read_header(path)
        if column not in header:
            raise InputError(
                f"{where}: expected the column {column!r} (--column names another), got "
                f"{listed(header, 10)}"
            )
        records = read_records(path, reasons, header)
    for where, record in records:
        yield from reasons.rows()
        value = record.get(column)
        rule = check_text(value) if isinstance(value, str) else None
        if not isinstance(value, str) or rule:
            rule = rule or f"expected a string as {column!r}, got {shown(value)}"
            yield Row(where, "", f"{where}: {rule}")
        elif kind == "picture":
            yield Row(where, str(path.parent / value))
        else:
            yield Row(where, value)
    yield from reasons.rows()
