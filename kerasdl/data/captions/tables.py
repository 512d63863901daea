"""A table of captions, one per row, as CSV or as JSON lines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from kerasdl.data.captions.dataset import CaptionCollector, drawn_for_validation
from kerasdl.data.splits import SPLITS, split_named
from kerasdl.data.texts.lines import LineErrors
from kerasdl.data.texts.tables import (
    JSON_SUFFIX,
    read_header,
    read_json_lines,
    read_records,
)
from kerasdl.errors import InputError, shown

TABLE_NAMES = ("captions.csv", "captions.jsonl", "captions.txt")
TABLE_SUFFIXES = (".csv", ".jsonl", ".txt")
# Of Hugging Face's ImageFolder, in the folder of the pictures.
METADATA_NAMES = ("metadata.csv", "metadata.jsonl")
# The columns of a table, the first of each line by preference.
IMAGE_COLUMNS = ("image", "file_name", "filename", "image_name")
CAPTION_COLUMNS = ("caption", "text", "captions", "comment")
SPLIT_COLUMN = "split"
PICTURE_FOLDERS = ("images", "Images")


def find_tables(root: Path) -> dict[Path, str | None]:
    """The tables that `root` is or holds, each with the split that its folder names.

    Raises:
        InputError: `root` is a file with another ending, or a folder has two tables.
    """
    if root.is_file():
        if root.suffix.lower() not in TABLE_SUFFIXES:
            raise InputError(
                f"{root}: expected a folder or a table ending in "
                f"{', '.join(TABLE_SUFFIXES)}, got {shown(root.name)}"
            )
        return {root: None}
    table = _one_of(root, (*TABLE_NAMES, *METADATA_NAMES))
    if table:
        return {table: None}
    tables: dict[Path, str | None] = {}
    for folder in sorted(root.iterdir()):
        split = split_named(folder.name)
        table = _one_of(folder, METADATA_NAMES) if split else None
        if table and split in tables.values():
            raise InputError(f"{root}: expected one folder a split, got two of {split}")
        if table:
            tables[table] = split
    return dict(sorted(tables.items(), key=lambda item: SPLITS.index(item[1])))


def _one_of(folder: Path, names: Iterable[str]) -> Path | None:
    tables = [folder / name for name in names if (folder / name).is_file()]
    if len(tables) > 1:
        raise InputError(
            f"{folder}: expected one table of captions, got {tables[0].name} and "
            f"{tables[1].name}"
        )
    return tables[0] if tables else None


def read_tables(
    root: Path, tables: dict[Path, str | None], collector: CaptionCollector
) -> None:
    """Reads one caption per row; the rows of a picture need not be together.

    A table has the columns `image` and `caption` (or what `IMAGE_COLUMNS` and
    `CAPTION_COLUMNS` call them), and `split` or not, in any order; other columns are not
    used, and noted. A JSON line is an object with these keys, its caption a string or a
    list of strings. A picture lies beside the table or in `images/`.

    Raises:
        InputError: A file cannot be read, its header is another, or a line is bad.
    """
    captions: dict[str, list[str]] = {}
    paths: dict[str, Path] = {}
    splits: dict[str, tuple[str, str]] = {}
    names_splits = any(tables.values())
    for table, folder_split in tables.items():
        folder = Path(os.path.relpath(table.parent, root)) if folder_split else Path()
        has_split: bool | None = None
        for where, record in _records(table, collector):
            if has_split is None:
                has_split = record["split"] is not None
                names_splits |= has_split
            if has_split != (record["split"] is not None):
                collector.errors.report(
                    f"{where}: expected a split on every line or on none, got "
                    f"{'none' if has_split else 'one'}"
                )
                continue
            named = record["split"] if has_split else folder_split or "train"
            split = split_named(named)
            if split is None:
                collector.errors.report(
                    f"{where}: expected a split of train, val or test, got "
                    f"{shown(record['split'])}"
                )
                continue
            inside = collector.picture_name(where, record["image"].strip())
            texts = [collector.caption(where, text) for text in record["captions"]]
            if inside is None or None in texts:
                continue
            name = (folder / inside).as_posix()
            first_split, first_where = splits.setdefault(name, (split, where))
            if split != first_split:
                collector.errors.report(
                    f"{where}: expected a picture in one split, got {shown(name)} in "
                    f"{split}, which is in {first_split} in {first_where}"
                )
                continue
            captions.setdefault(name, []).extend(texts)
            paths[name] = _picture_path(table.parent, inside)
    held_out = set() if names_splits else drawn_for_validation(captions)
    for name, texts in captions.items():
        split = "val" if name in held_out else splits[name][0]
        collector.add(split, name, texts, paths[name])


def _records(
    path: Path, collector: CaptionCollector
) -> Iterator[tuple[str, dict[str, object]]]:
    """`image` (str), `captions` (strings) and `split` (str or None) of each row."""
    if path.suffix.lower() == JSON_SUFFIX:
        yield from _json_records(path, collector.errors)
        return
    where, fields = read_header(path)
    header = [field.lower() for field in fields]
    if len(set(header)) < len(header):
        raise InputError(
            f"{where}: expected each column once, got {shown(','.join(fields))}"
        )
    image, caption = _column(header, IMAGE_COLUMNS), _column(header, CAPTION_COLUMNS)
    if image is None or caption is None:
        raise InputError(
            f"{where}: expected the header image,caption[,split], got "
            f"{shown(','.join(fields))}"
        )
    unused = [c for c in header if c not in (image, caption, SPLIT_COLUMN)]
    if unused:
        collector.notes.append(f"{path}: columns not used: {', '.join(unused)}")
    for where, row in read_records(path, collector.errors, header):
        yield (
            where,
            {
                "image": row[image],
                "captions": [row[caption]],
                "split": row.get(SPLIT_COLUMN),
            },
        )


def _json_records(
    path: Path, errors: LineErrors
) -> Iterator[tuple[str, dict[str, object]]]:
    for where, record in read_json_lines(path, errors):
        image = record.get(_column(record, IMAGE_COLUMNS))
        captions = record.get(_column(record, CAPTION_COLUMNS))
        captions = [captions] if isinstance(captions, str) else captions
        split = record.get(SPLIT_COLUMN, "")
        if (
            not isinstance(image, str)
            or not (isinstance(captions, list) and captions)
            or not all(isinstance(caption, str) for caption in captions)
            or not isinstance(split, str)
        ):
            errors.report(
                f"{where}: expected a JSON object with the strings image, caption and "
                f"perhaps split, got {shown(record)}"
            )
        else:
            yield (
                where,
                {"image": image, "captions": captions, "split": record.get(SPLIT_COLUMN)},
            )


def _column(columns: Iterable[str], names: Iterable[str]) -> str | None:
    return next((name for name in names if name in columns), None)


def _picture_path(folder: Path, name: str) -> Path:
    # os.path.isfile, as Path.is_file raises for a name too long for the system.
    beside = (folder / inner / name for inner in PICTURE_FOLDERS)
    return next((path for path in beside if os.path.isfile(path)), folder / name)
