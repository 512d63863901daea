"""A table of captions, `image,caption[,split]`, as CSV or as JSON lines."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from kerasdl.data.captions.dataset import CaptionCollector, shown
from kerasdl.data.texts.lines import LineErrors, read_lines
from kerasdl.errors import InputError

TABLE_NAMES = ("captions.csv", "captions.jsonl", "captions.txt")
TABLE_SUFFIXES = (".csv", ".jsonl", ".txt")
COLUMNS = ("image", "caption", "split")
PICTURE_FOLDERS = ("images", "Images")
SPLIT_NAMES = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
# Of a table that names no splits, the share of the pictures that goes to validation.
VALIDATION_SHARE = 0.1


def find_table(root: Path) -> Path | None:
    """The table, if `root` is one or a folder with one.

    Raises:
        InputError: It is a file with another ending, or the folder has two tables.
    """
    if root.is_file():
        if root.suffix.lower() not in TABLE_SUFFIXES:
            raise InputError(
                f"{root}: expected a folder or a table ending in "
                f"{', '.join(TABLE_SUFFIXES)}, got {shown(root.name)}"
            )
        return root
    tables = [root / name for name in TABLE_NAMES if (root / name).is_file()]
    if len(tables) > 1:
        raise InputError(
            f"{root}: expected one table of captions, got {tables[0].name} and "
            f"{tables[1].name}"
        )
    return tables[0] if tables else None


def read_table(path: Path, collector: CaptionCollector) -> None:
    """Reads one caption a line; the lines of a picture need not be together.

    CSV has a header with the columns `image` and `caption`, and `split` or not, in any
    order; other columns are not used, and noted. A field in quotes ends on its line. A
    JSON line is an object with these keys. A picture lies beside the table or in
    `images/`.

    Raises:
        InputError: The file cannot be read, its header is another, or a line is bad.
    """
    if path.suffix.lower() == ".jsonl":
        records = _json_records(path, collector.errors)
    else:
        records = _csv_records(path, collector)
    captions: dict[str, list[str]] = {}
    splits: dict[str, tuple[str, str]] = {}
    names_splits: bool | None = None
    for where, record in records:
        if names_splits is None:
            names_splits = "split" in record
        elif names_splits != ("split" in record):
            collector.errors.report(
                f"{where}: expected a split on every line or on none, got "
                f"{'one' if 'split' in record else 'none'}"
            )
            continue
        split = SPLIT_NAMES.get(record.get("split", "train").strip().lower())
        if split is None:
            collector.errors.report(
                f"{where}: expected a split of train, val or test, got "
                f"{shown(record['split'])}"
            )
            continue
        name = collector.picture_name(where, record["image"].strip())
        if name is None:
            continue
        caption = collector.caption(where, record["caption"])
        if caption is None:
            continue
        first_split, first_where = splits.setdefault(name, (split, where))
        if split != first_split:
            collector.errors.report(
                f"{where}: expected a picture in one split, got {shown(name)} in "
                f"{split}, which is in {first_split} in {first_where}"
            )
            continue
        captions.setdefault(name, []).append(caption)
    drawn = set() if names_splits else _drawn_for_validation(captions)
    for name, texts in captions.items():
        split = "val" if name in drawn else splits[name][0]
        collector.add(split, name, texts, _picture_path(path.parent, name))


def _csv_records(
    path: Path, collector: CaptionCollector
) -> Iterator[tuple[str, dict[str, str]]]:
    # Without its header nothing else can be read, so that line is never skipped.
    _, line = next(read_lines(path, LineErrors()), (1, ""))
    header = [field.strip().lower() for field in _csv_fields(line) or ()]
    if "image" not in header or "caption" not in header:
        raise InputError(
            f"{path}: line 1: expected the header image,caption[,split], got "
            f"{shown(line)}"
        )
    if len(set(header)) < len(header):
        raise InputError(f"{path}: line 1: expected each column once, got {shown(line)}")
    unused = [column for column in header if column not in COLUMNS]
    if unused:
        collector.notes.append(f"{path}: columns not used: {', '.join(unused)}")
    for number, line in read_lines(path, collector.errors):
        if number == 1:
            continue
        where = f"{path}: line {number}"
        fields = _csv_fields(line)
        if fields is None:
            collector.errors.report(
                f"{where}: expected quotes that close on the line, got {shown(line)}"
            )
        elif len(fields) != len(header):
            collector.errors.report(
                f"{where}: expected {len(header)} fields ({','.join(header)}), got "
                f"{len(fields)}: {shown(line)}"
            )
        else:
            yield where, dict(zip(header, fields, strict=True))


def _csv_fields(line: str) -> list[str] | None:
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error:
        return None


def _json_records(path: Path, errors: LineErrors) -> Iterator[tuple[str, dict[str, str]]]:
    for number, line in read_lines(path, errors):
        where = f"{path}: line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if (
            not isinstance(record, dict)
            or not {"image", "caption"} <= record.keys()
            or not all(isinstance(record.get(key, ""), str) for key in COLUMNS)
        ):
            errors.report(
                f"{where}: expected a JSON object with the strings image, caption and "
                f"perhaps split, got {shown(line)}"
            )
        else:
            yield where, record


def _picture_path(folder: Path, name: str) -> Path:
    # os.path.isfile, as Path.is_file raises for a name too long for the system.
    beside = (folder / inner / name for inner in PICTURE_FOLDERS)
    return next((path for path in beside if os.path.isfile(path)), folder / name)


def _drawn_for_validation(names: Iterable[str]) -> set[str]:
    """A tenth of the names, but one at least, the same in whatever order they come."""
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    count = max(1, round(VALIDATION_SHARE * len(ordered)))
    return set(ordered[:count]) if len(ordered) > 1 else set()
