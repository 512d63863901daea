"""Readers of labelled texts: lines with their labels, tables, TFDS sets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from kerasdl.data.decisions import SEPARATOR
from kerasdl.data.splits import split_named
from kerasdl.data.texts.dataset import (
    MAX_LABEL_CHARACTERS,
    Record,
    TextCollector,
    TextDataset,
    is_number,
)
from kerasdl.data.texts.lines import LineErrors, read_lines
from kerasdl.data.texts.tables import read_header, read_records, read_rows, with_columns
from kerasdl.data.tfds_sets import PREFIX
from kerasdl.data.vocabulary import split_tokens
from kerasdl.errors import InputError, shown

LINE_SUFFIX = ".txt"
TABLE_SUFFIXES = (".csv", ".tsv")
SUFFIXES = (LINE_SUFFIX, *TABLE_SUFFIXES)
SPLIT_COLUMN = "split"
FASTTEXT_PREFIX = "__label__"


def read_texts(
    root: str,
    *,
    test: str = "",
    text_column: str,
    label_column: str,
    labels: Sequence[str] = (),
    multi_label: bool = False,
    skip_bad_lines: bool = False,
    tfds_folder: str = "",
) -> TextDataset:
    """Reads a data set of labelled texts.

    A folder holds `train`, and perhaps `dev`, `val`, `valid` or `validation`, and
    `test`, each ending in .txt, .csv or .tsv. A file is all there is, and a table may
    have a column `split`. `tfds:NAME` is a set of TensorFlow Datasets, such as
    `tfds:imdb_reviews` or `tfds:glue/sst2`. Without a validation split a tenth of the
    training texts becomes one.

    A line of a .txt file is `LABEL sentence`, the label a number, or fastText's
    `__label__NAME sentence`. A table has a header that names its columns; without a
    header, columns are given by their numbers, counted from 1.

    Where a text has several labels, they stand in one field with `|` between them
    (`1|4 sentence`), or as fastText has it, `__label__A __label__B sentence`. A text with
    none has an empty field, a line of it begins with `|`.

    Args:
        root: The folder, the file, or `tfds:NAME`.
        test: A file that is the test split instead of what the set has.
        text_column: The column of a table (or feature of a TFDS set) with the text.
        label_column: Likewise, with the label.
        labels: The labels that there may be, in the order of their classes; none: those
            of the training split.
        multi_label: Whether a text has several labels, or none.
        skip_bad_lines: Whether bad lines are skipped and counted, or end the run.
        tfds_folder: Where TFDS keeps prepared sets; "" for its usual one.

    Raises:
        InputError: What is named cannot be read, or a line is bad and not to be skipped;
            or several labels are wanted of a TFDS set, which has one.
    """
    collector = TextCollector(root, labels, LineErrors(skip_bad_lines), multi_label)
    columns = (text_column, label_column)
    if root.startswith(PREFIX):
        if multi_label:
            raise InputError(
                "--config.data.multi_label must be false for a TFDS set, whose texts "
                f"have one label each, got true with {root!r}."
            )
        from kerasdl.data.texts.tfds_sets import read_tfds

        read_tfds(root.removeprefix(PREFIX), collector, *columns, tfds_folder)
    else:
        for split, path in _files(Path(root)).items():
            if split == "test" and test:
                continue
            _read_into(collector, split, path, *columns)
    if test:
        collector.drop("test")
        for _, record in read_labelled(Path(test), collector, *columns):
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
        # fastText's own data sets come as train.ft.txt.
        split = split_named(path.stem.lower().removesuffix(".ft"))
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
    for row_split, record in read_labelled(path, collector, text, label):
        named = split_named(row_split) if row_split else split
        if named is None:
            collector.errors.report(
                f"{record.where}: expected a split of train, val or test, got "
                f"{shown(row_split)}"
            )
        else:
            collector.add(named, record)


def read_labelled(
    path: Path, collector: TextCollector, text_column: str, label_column: str
) -> Iterator[tuple[str, Record]]:
    """The records of one file, with the split that a table names for each, or "".

    The collector says whether a text has several labels, and what becomes of a bad line.

    Raises:
        InputError: The file cannot be read, has another ending, a table lacks a column,
            or a line is bad and not to be skipped.
    """
    errors = collector.errors
    suffix = path.suffix.lower()
    if suffix == LINE_SUFFIX:
        read_lines_of = _multi_label_lines if collector.multi_label else _label_lines
        records = read_lines_of(path, errors)
    elif suffix in TABLE_SUFFIXES:
        records = _table_rows(path, errors, text_column, label_column)
    else:
        raise InputError(
            f"{path}: expected a file ending in {', '.join(SUFFIXES)}, got "
            f"{shown(path.name)}"
        )
    for split, record in records:
        longest = max(map(len, collector.labels_of(record)), default=0)
        if not record.label and not collector.multi_label:
            errors.report(f"{record.where}: expected a label, got none")
        elif longest > MAX_LABEL_CHARACTERS:
            errors.report(
                f"{record.where}: expected a label of at most {MAX_LABEL_CHARACTERS} "
                f"characters, got {longest}"
            )
        elif len(record.label.splitlines()) > 1:
            errors.report(
                f"{record.where}: expected a label on one line, got {shown(record.label)}"
            )
        elif not split_tokens(record.text):
            errors.report(f"{record.where}: expected a sentence or text, got none")
        else:
            yield split, record


def _first_word(line: str) -> tuple[str, str]:
    """What stands before the first space or tab of a line, and what stands after it."""
    label, _, text = line.lstrip(" \t").partition(" ")
    if "\t" in label:
        label, _, text = line.lstrip(" \t").partition("\t")
    return label, text


def _label_lines(path: Path, errors: LineErrors) -> Iterator[tuple[str, Record]]:
    """`LABEL sentence` lines; the first says whether they are fastText's."""
    is_fasttext: bool | None = None
    for number, line in read_lines(path, errors):
        where = f"{path}: line {number}"
        label, text = _first_word(line)
        if is_fasttext is None:
            is_fasttext = label.startswith(FASTTEXT_PREFIX)
        name = label.removeprefix(FASTTEXT_PREFIX)
        if is_fasttext and (name == label or text.lstrip().startswith(FASTTEXT_PREFIX)):
            errors.report(
                f"{where}: expected a line to begin with one label, {FASTTEXT_PREFIX} "
                f"and a name, got {shown(line)} (several labels need "
                "--config.data.multi_label=true)"
            )
        elif not is_fasttext and not is_number(label):
            errors.report(
                f"{where}: expected a line to begin with its label, a number, got "
                f"{shown(label)}"
            )
        else:
            yield "", Record(where, name, text)


def _multi_label_lines(path: Path, errors: LineErrors) -> Iterator[tuple[str, Record]]:
    """`1|4 sentence` or `__label__A __label__B sentence` lines; `| sentence` of none."""
    for number, line in read_lines(path, errors):
        where = f"{path}: line {number}"
        label, text = _first_word(line)
        names = []
        while label.startswith(FASTTEXT_PREFIX):
            names.append(label.removeprefix(FASTTEXT_PREFIX))
            line, (label, text) = text, _first_word(text)
        if names:
            yield "", Record(where, SEPARATOR.join(names), line)
        elif all(is_number(part) or not part for part in label.split(SEPARATOR)):
            yield "", Record(where, label, text)
        else:
            errors.report(
                f"{where}: expected a line to begin with its labels, numbers with "
                f"{SEPARATOR} between them or {FASTTEXT_PREFIX} and a name each, got "
                f"{shown(label)}"
            )


def _table_rows(
    path: Path, errors: LineErrors, text_column: str, label_column: str
) -> Iterator[tuple[str, Record]]:
    where, header = read_header(path)
    names = (text_column, label_column)
    if all(name.isascii() and name.isdigit() for name in names) and not (
        set(names) <= set(header)
    ):
        # No header: columns by number.
        header = [str(number) for number in range(1, len(header) + 1)]
        rows = with_columns(read_rows(path, errors), errors, header)
    else:
        rows = read_records(path, errors, header)
    for column in names:
        if header.count(column) != 1:
            raise InputError(
                f"{where}: expected a header with the column {column!r} once, got "
                f"{shown(','.join(header))} (--config.data.text_column and label_column "
                "name others, or give their numbers for a table without a header)"
            )
    for where, row in rows:
        split = row.get(SPLIT_COLUMN, "").strip()
        yield split, Record(where, row[label_column].strip(), row[text_column])
