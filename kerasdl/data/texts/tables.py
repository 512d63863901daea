"""Rows of tables: comma- and tab-separated values, and JSON lines.

A field of a CSV file in quotes may hold commas, doubled quotes and line breaks.
TSV has no quotes: a `"` is a character of the text.
"""

from __future__ import annotations

import collections
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from kerasdl.data.json_files import parse_json
from kerasdl.data.texts.lines import MAX_LINE_CHARACTERS, LineErrors, read_lines
from kerasdl.errors import InputError, shown

JSON_SUFFIX, TSV_SUFFIX = ".jsonl", ".tsv"
# After so many quotes that do not close, a file is no table.
MOST_UNCLOSED = 100


def read_header(path: Path) -> tuple[str, list[str]]:
    """The first row of a CSV or TSV file, where it is, and its fields, stripped.

    Without it nothing else can be read, so a bad first line is never skipped.
    """
    where, fields = next(read_rows(path, LineErrors()), (f"{path}: line 1", []))
    return where, [field.strip() for field in fields]


def read_records(
    path: Path, errors: LineErrors, header: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows below the header of a CSV or TSV file: where each is, field by column.

    Args:
        path: The file; the ending .tsv makes it TSV.
        errors: What becomes of a row with another number of fields.
        header: The columns; its row is passed over.
    """
    rows = read_rows(path, errors)
    next(rows, None)
    yield from with_columns(rows, errors, header)


def with_columns(
    rows: Iterator[tuple[str, list[str]]], errors: LineErrors, columns: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows as dictionaries; one with another number of fields is a bad line."""
    for where, fields in rows:
        if len(fields) == len(columns):
            yield where, dict(zip(columns, fields, strict=True))
        else:
            errors.report(
                f"{where}: expected {len(columns)} fields ({','.join(columns)}), got "
                f"{len(fields)}: {shown(','.join(fields))}"
            )


def read_rows(path: Path, errors: LineErrors) -> Iterator[tuple[str, list[str]]]:
    """The rows of a CSV or TSV file with where each begins, blank lines passed over.

    Raises:
        InputError: The file cannot be read, or a row is bad and `errors` does not skip
            it: quotes do not close within 100,000 characters, or text follows a closing
            quote.
    """
    if path.suffix.lower() == TSV_SUFFIX:
        for number, line in read_lines(path, errors):
            yield f"{path}: line {number}", line.split("\t")
        return
    lines = read_lines(path, errors, blank=True)
    pending: collections.deque[tuple[int, str]] = collections.deque()
    unclosed = 0
    while first := (pending.popleft() if pending else next(lines, None)):
        if not first[1]:
            continue
        where = f"{path}: line {first[0]}"
        taken = [first]

        def record(taken=taken) -> Iterator[str]:
            """The lines of one row: as many as its quotes take."""
            yield taken[0][1] + "\n"
            length = len(taken[0][1])
            while length <= MAX_LINE_CHARACTERS:
                line = pending.popleft() if pending else next(lines, None)
                if line is None:
                    return
                taken.append(line)
                length += len(line[1]) + 1
                yield line[1] + "\n"

        try:
            yield where, next(csv.reader(record(), strict=True))
        except csv.Error as error:
            rule = f"expected comma-separated fields, got {error}"
            if "unexpected end" in str(error):
                rule = "expected quotes that close"
                unclosed += len(taken) > 1
            errors.report(f"{where}: {rule}: {shown(first[1])}")
            if unclosed > MOST_UNCLOSED:
                raise InputError(
                    f"{where}: {MOST_UNCLOSED} quotes before it do not close: no table"
                ) from error
            pending.extendleft(reversed(taken[1:]))


def read_json_lines(path: Path, errors: LineErrors) -> Iterator[tuple[str, dict]]:
    """The objects of a file with one per line, and the place of each.

    Raises:
        InputError: The file cannot be read, or a line is no object and not to be skipped.
    """
    for number, line in read_lines(path, errors):
        where = f"{path}: line {number}"
        try:
            record = parse_json(line, where)
        except InputError:
            record = None
        if isinstance(record, dict):
            yield where, record
        else:
            errors.report(f"{where}: expected a JSON object, got {shown(line)}")
