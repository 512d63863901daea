"""Readers of labelled texts: `LABEL sentence` lines, CSV and TSV tables, TFDS sets."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from kerasdl.data.captions.dataset import shown
from kerasdl.data.captions.tables import SPLIT_NAMES
from kerasdl.data.texts.dataset import Record, TextCollector, TextDataset
from kerasdl.data.texts.lines import LineErrors, read_lines
from kerasdl.data.texts.tokens import split_tokens
from kerasdl.errors import InputError

LINE_SUFFIX = ".txt"
TABLE_SUFFIXES = (".csv", ".tsv")
SUFFIXES = (LINE_SUFFIX, *TABLE_SUFFIXES)
TFDS_PREFIX = "tfds:"
SPLIT_COLUMN = "split"


def read_texts(
    root: str,
    *,
    test: str = "",
    text_column: str,
    label_column: str,
    labels: Sequence[str] = (),
    skip_bad_lines: bool = False,
    tfds_folder: str = "",
) -> TextDataset:
    """Reads a data set of labelled texts.

    A folder holds `train`, and perhaps `dev`, `val`, `valid` or `validation`, and
    `test`, each ending in .txt, .csv or .tsv. A file is all there is, and a table may
    have a column `split`. `tfds:NAME` is a set of TensorFlow Datasets, such as
    `tfds:imdb_reviews` or `tfds:glue/sst2`. Without a validation split a tenth of the
    training texts becomes one.

    Args:
        root: The folder, the file, or `tfds:NAME`.
        test: A file that is the test split instead of what the set has.
        text_column: The column of a table (or feature of a TFDS set) with the text.
        label_column: Likewise, with the label.
        labels: The labels that there may be, in the order of their classes; none: those
            of the training split.
        skip_bad_lines: Whether bad lines are skipped and counted, or end the run.
        tfds_folder: Where TFDS keeps prepared sets; "" for its usual one.

    Raises:
        InputError: What is named cannot be read, or a line is bad and not to be skipped.
    """
    collector = TextCollector(root, labels, LineErrors(skip_bad_lines))
    columns = (text_column, label_column)
    if root.startswith(TFDS_PREFIX):
        from kerasdl.data.texts.tfds_sets import read_tfds

        read_tfds(root.removeprefix(TFDS_PREFIX), collector, *columns, tfds_folder)
    else:
        for split, path in _files(Path(root)).items():
            if split == "test" and test:
                continue
            _read_into(collector, split, path, *columns)
    if test:
        collector.drop("test")
        for _, record in read_records(Path(test), collector.errors, *columns):
            collector.add("test", record)
    collector.hold_out_validation()
    return collector.dataset()


def _files(root: Path) -> dict[str, Path]:
    """The file of each split, of a folder or of a single file."""
    if root.is_file():
        return {"train": root}
    if not root.is_dir():
        raise InputError(
            f"--config.data.root names no folder, file or tfds: set, got {str(root)!r}"
        )
    files: dict[str, Path] = {}
    for path in sorted(root.iterdir()):
        split = SPLIT_NAMES.get(path.stem.lower())
        if split is None or path.suffix.lower() not in SUFFIXES:
            continue
        if split in files:
            raise InputError(
                f"{root}: expected one file a split, got {files[split].name} and "
                f"{path.name}"
            )
        files[split] = path
    if "train" not in files:
        raise InputError(
            f"{root}: expected train{LINE_SUFFIX}, train.csv or train.tsv, got "
            f"{shown(sorted(os.listdir(root))[:5])}"
        )
    return files


def _read_into(
    collector: TextCollector, split: str, path: Path, text: str, label: str
) -> None:
    for row_split, record in read_records(path, collector.errors, text, label):
        chosen = split
        if row_split:
            named = SPLIT_NAMES.get(row_split.lower())
            if named is None:
                collector.errors.report(
                    f"{record.where}: expected a split of train, val or test, got "
                    f"{shown(row_split)}"
                )
                continue
            chosen = named
        collector.add(chosen, record)


def read_records(
    path: Path, errors: LineErrors, text_column: str, label_column: str
) -> Iterator[tuple[str, Record]]:
    """The records of one file, with the split that a table names for each, or "".

    Raises:
        InputError: The file cannot be read, has another ending, a table lacks a column,
            or a line is bad and `errors` does not skip it.
    """
    suffix = path.suffix.lower()
    if suffix == LINE_SUFFIX:
        yield from (("", record) for record in _label_lines(path, errors))
    elif suffix in TABLE_SUFFIXES:
        yield from _table_rows(path, errors, text_column, label_column)
    else:
        raise InputError(
            f"{path}: expected a file ending in {', '.join(SUFFIXES)}, got "
            f"{shown(path.name)}"
        )


def _label_lines(path: Path, errors: LineErrors) -> Iterator[Record]:
    """`LABEL sentence` lines; the label is a whole number."""
    for number, line in read_lines(path, errors):
        where = f"{path}: line {number}"
        label, _, text = line.lstrip(" \t").partition(" ")
        if "\t" in label:
            label, _, text = line.lstrip(" \t").partition("\t")
        if not (label.isascii() and label.isdigit()):
            errors.report(
                f"{where}: expected a line to begin with its label, a whole number, got "
                f"{shown(label)}"
            )
        elif not split_tokens(text):
            errors.report(f"{where}: expected a sentence after the label, got none")
        else:
            yield Record(where, label, text)


def _table_rows(
    path: Path, errors: LineErrors, text_column: str, label_column: str
) -> Iterator[tuple[str, Record]]:
    """The rows of a table with a header; a field in quotes ends on its line."""
    tabs = path.suffix.lower() == ".tsv"
    # Without its header nothing else can be read, so that line is never skipped.
    _, line = next(read_lines(path, LineErrors()), (1, ""))
    header = [field.strip() for field in _fields(line, tabs) or ()]
    for column in (text_column, label_column):
        if header.count(column) != 1:
            raise InputError(
                f"{path}: line 1: expected a header with the column {column!r} once, got "
                f"{shown(line)} (--config.data.text_column and label_column name others)"
            )
    for number, line in read_lines(path, errors):
        if number == 1:
            continue
        where = f"{path}: line {number}"
        fields = _fields(line, tabs)
        if fields is None:
            errors.report(
                f"{where}: expected quotes that close on the line, got {shown(line)}"
            )
        elif len(fields) != len(header):
            errors.report(
                f"{where}: expected {len(header)} fields, got {len(fields)}: "
                f"{shown(line)}"
            )
        else:
            row = dict(zip(header, fields, strict=True))
            label, text = row[label_column].strip(), row[text_column]
            if not label:
                errors.report(f"{where}: expected a label, got none")
            elif not split_tokens(text):
                errors.report(f"{where}: expected a text, got none")
            else:
                yield row.get(SPLIT_COLUMN, "").strip(), Record(where, label, text)


def _fields(line: str, tabs: bool) -> list[str] | None:
    if tabs:
        return line.split("\t")  # TSV has no quotes: a `"` is a character of the text
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error:
        return None


def read_sentences(path: Path, errors: LineErrors) -> list[tuple[int, str]]:
    """Unlabelled sentences, one a line, with their line numbers.

    Raises:
        InputError: The file cannot be read, or a line is bad and not to be skipped.
    """
    return list(read_lines(path, errors))
