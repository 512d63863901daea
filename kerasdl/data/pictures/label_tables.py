"""Labelled pictures by a table: one label each, or several.

    root/labels.csv:  image,labels,split        the column split may be missing
                      one.jpg,ants,train
                      two.jpg,ants|bees,train    with several labels each; none: two.jpg,,

A picture lies beside the table or in `images/`. The table may be `.tsv`, and
`label` or `labels` may head its second column.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from kerasdl.data.decisions import SEPARATOR
from kerasdl.data.pictures.class_folders import (
    LabelledPicture,
    PictureDataset,
    check_classes,
    hold_out_validation,
)
from kerasdl.data.splits import SPLITS, split_named
from kerasdl.data.texts.dataset import sort_labels
from kerasdl.data.texts.lines import LineErrors
from kerasdl.data.texts.tables import read_header, read_records
from kerasdl.data.vocabulary import check_class_names
from kerasdl.errors import InputError, shown

NAMES = ("labels.csv", "labels.tsv")
LABEL_COLUMNS = ("labels", "label")
PICTURE_FOLDERS = ("", "images")


def find_label_table(root: str | Path) -> Path | None:
    """The table that `root` is or holds; None if it is a folder of class folders."""
    root = Path(root)
    if root.suffix.lower() in (".csv", ".tsv"):
        return root
    return next((root / name for name in NAMES if (root / name).is_file()), None)


def read_label_table(
    table: Path,
    val_share: float = 0.2,
    multi_label: bool = False,
    class_names: Sequence[str] = (),
) -> PictureDataset:
    """Reads the pictures that a table lists.

    Args:
        table: The file.
        val_share: The share of the training pictures that becomes the validation split
            if the table names none.
        multi_label: Whether a picture has several labels, or none. Its `label` then is a
            tuple with 0 or 1 for each class.
        class_names: The classes in their order; those of the table, sorted, if empty.

    Raises:
        InputError: The file cannot be read, its header is another, a row has no picture
            in the folder, an unknown label or split, or there is too little to train on.
    """
    where, header = read_header(table)
    label_column = next((name for name in LABEL_COLUMNS if name in header), None)
    if "image" not in header or label_column is None:
        raise InputError(
            f"{where}: expected the header image,labels[,split], got "
            f"{shown(','.join(header))}"
        )
    rows: dict[str, list[tuple[str, str, tuple[str, ...]]]] = {s: [] for s in SPLITS}
    seen: dict[str, str] = {}
    for place, row in read_records(table, LineErrors(), header):
        split = split_named(row.get("split", "train").strip())
        if split is None:
            raise InputError(
                f"{place}: expected a split of train, val or test, got "
                f"{shown(row['split'])}"
            )
        path, name = _picture(table, place, row["image"].strip())
        if name in seen:
            raise InputError(
                f"{place}: expected each picture once, got {shown(name)}, which is in "
                f"{seen[name]}"
            )
        seen[name] = place
        labels = _labels(place, row[label_column], multi_label)
        rows[split].append((name, path, labels))
    every = {label for part in rows.values() for *_, own in part for label in own}
    names = tuple(class_names) or sort_labels(every)
    check_class_names(names, str(table))
    unknown = sorted(every - set(names))
    if unknown:
        raise InputError(
            f"{table}: expected the labels {', '.join(names)}, got {unknown[0]!r}"
        )
    splits = {
        split: [
            LabelledPicture(name, _number(names, labels, multi_label), path=path)
            for name, path, labels in part
        ]
        for split, part in rows.items()
    }
    notes = []
    if not splits["val"]:
        lacking = f"{table}: no validation pictures"
        notes.append(hold_out_validation(splits, val_share, lacking))
    check_classes(str(table), names, splits["train"])
    return PictureDataset(names, **splits, notes=tuple(notes))


def _picture(table: Path, where: str, name: str) -> tuple[str, str]:
    """The path of a picture and its name, which does not lead out of the folder."""
    parts = PurePosixPath(name)
    if not name or parts.is_absolute() or ".." in parts.parts:
        raise InputError(
            f"{where}: expected a picture inside the table's folder, got {shown(name)}"
        )
    paths = (table.parent / folder / name for folder in PICTURE_FOLDERS)
    path = next((path for path in paths if os.path.isfile(path)), None)
    if path is None:
        raise InputError(f"{where}: there is no picture {shown(name)} beside the table")
    return str(path), parts.as_posix()


def _labels(where: str, text: str, multi_label: bool) -> tuple[str, ...]:
    labels = tuple(part.strip() for part in text.split(SEPARATOR) if part.strip())
    if not multi_label and len(labels) != 1:
        raise InputError(
            f"{where}: expected one label (several need --config.target=multi_label), "
            f"got {shown(text)}"
        )
    return labels


def _number(
    names: tuple[str, ...], labels: tuple[str, ...], multi_label: bool
) -> int | tuple[int, ...]:
    if multi_label:
        return tuple(int(name in labels) for name in names)
    return names.index(labels[0])
