"""Pictures sorted into folders by class, the layout of torchvision's ImageFolder.

    root/train/ants/one.jpg         root/ants/one.jpg
    root/val/ants/two.jpg     or    root/bees/two.jpg
    root/test/bees/three.jpg        ...

`test` may be missing. Without a `val`, and in the layout on the right, a share of the
training pictures becomes the validation split, chosen by the hash of their bytes: two
copies of a picture fall on the same side, and a picture that is added moves no other.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

from kerasdl.data.pictures.files import (
    EncodedPicture,
    PictureFiles,
    find_pictures,
    is_hidden,
)
from kerasdl.data.splits import SPLITS, split_named
from kerasdl.data.vocabulary import check_class_names
from kerasdl.errors import InputError, listed

# Bytes of a digest that place a picture in [0, 1).
_PLACE_BYTES = 8


@dataclasses.dataclass(frozen=True)
class LabelledPicture(EncodedPicture):
    """A picture of a known class.

    Attributes:
        label: The number of its class; of several labels each, 0 or 1 for each class.
    """

    label: int | tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class PictureDataset:
    """The splits of a data set of labelled pictures.

    Attributes:
        class_names: The K classes, by number.
        train: The pictures to learn from.
        val: The pictures to choose a model by.
        test: The pictures to report on; may be empty.
        notes: A line for each thing that was passed over and that a user should know.
    """

    class_names: tuple[str, ...]
    train: list[LabelledPicture]
    val: list[LabelledPicture]
    test: list[LabelledPicture]
    notes: tuple[str, ...] = ()


def labels_of(picture: LabelledPicture) -> list[int]:
    """The numbers of a picture's class or classes."""
    if isinstance(picture.label, tuple):
        return [number for number, stands in enumerate(picture.label) if stands]
    return [picture.label]


def content_digest(data: bytes) -> int:
    """The first 64 bits of the SHA-256 of a picture's bytes."""
    return int.from_bytes(hashlib.sha256(data).digest()[:_PLACE_BYTES], "big")


def is_held_out(digest: int, share: float) -> bool:
    """Whether a picture of this digest belongs to a validation split of that share."""
    return digest < share * 256**_PLACE_BYTES


def hold_out(
    pictures: Sequence[LabelledPicture], share: float
) -> tuple[list[LabelledPicture], list[LabelledPicture]]:
    """Divides pictures into those to train on and a validation split.

    Which pictures go is decided by their bytes alone. A class keeps a picture to train
    on: the one that is last to go, with its copies. A picture that cannot be read stays
    among those to train on, where it counts as broken later.

    Args:
        pictures: In any order, which the result keeps.
        share: The share of the distinct pictures that goes to validation, in [0, 1).

    Raises:
        InputError: `share` is out of range.
    """
    if not 0 <= share < 1:
        raise InputError(
            f"--config.data.val_share must be at least 0 and below 1, got {share!r}."
        )
    digests: list[int | None] = []
    last: dict[int, int] = {}  # by class
    for picture in pictures:
        try:
            digest = content_digest(picture.bytes())
            for label in labels_of(picture):
                last[label] = max(digest, last.get(label, 0))
        except InputError:
            digest = None
        digests.append(digest)
    kept = {None, *last.values()}
    train, val = [], []
    for picture, digest in zip(pictures, digests, strict=True):
        is_out = digest not in kept and is_held_out(digest, share)
        (val if is_out else train).append(picture)
    return train, val


def hold_out_validation(
    splits: dict[str, list[LabelledPicture]], share: float, lacking: str
) -> str:
    """Moves pictures from the training split to that for validation; says so in a line.

    Args:
        splits: By name; changed.
        share: See `hold_out`.
        lacking: What begins the line: where there is no validation split.
    """
    count = len(splits["train"])
    splits["train"], splits["val"] = hold_out(splits["train"], share)
    return (
        f"{lacking}; {len(splits['val'])} of {count} training pictures held out by the "
        "hash of their bytes."
    )


def read_class_folders(root: str | Path, val_share: float = 0.2) -> PictureDataset:
    """Reads a folder of class folders, with or without folders of splits around them.

    Files with another ending than a picture's are left out and listed in one note;
    nothing is decoded here. Classes are numbered in the order of their names.

    Args:
        root: The data set's folder.
        val_share: The share of the training pictures that becomes the validation split
            if the data set has none.

    Raises:
        InputError: `root` is no folder, has two folders for a split, a split without a
            picture in a class folder, fewer than two classes, a class name with a line
            break, or another split has a class that training has not.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"--config.data.root must name a folder, got {str(root)!r}.")
    folders = _split_folders(root)
    notes = []
    if folders and "train" not in folders:
        raise InputError(f"{root}: has {next(iter(folders.values()))}, no train.")
    if folders:
        others = [n for n in _folder_names(root) if split_named(n) is None]
        if others:
            notes.append(f"{root}: folders of no split left out: {listed(others)}")
    folders = folders or {"train": root}
    class_names = tuple(_folder_names(folders["train"]))
    check_class_names(class_names, str(folders["train"]))
    found = PictureFiles()
    splits: dict[str, list[LabelledPicture]] = {split: [] for split in SPLITS}
    for split, folder in folders.items():
        splits[split] = _read_split(root, folder, class_names, found)
    notes += found.note(root)
    if "val" not in folders:
        notes.append(
            hold_out_validation(splits, val_share, f"{root}: no validation folder")
        )
    check_classes(str(root), class_names, splits["train"])
    return PictureDataset(class_names, **splits, notes=tuple(notes))


def read_test_folder(
    root: str | Path, class_names: Sequence[str]
) -> list[LabelledPicture]:
    """The pictures of a test set: `root/test/CLASS` if that is there, else `root/CLASS`.

    Args:
        root: The folder.
        class_names: The classes of the training split; others are refused.

    Raises:
        InputError: `root` is no folder, has no picture, or has another class.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"--config.data.test must name a folder, got {str(root)!r}.")
    folder = _split_folders(root).get("test", root)
    return _read_split(root, folder, class_names, PictureFiles())


def check_classes(
    what: str, class_names: Sequence[str], train: Sequence[LabelledPicture]
) -> None:
    """Checks that there are two classes to tell apart, and pictures of each to train on.

    Raises:
        InputError: Naming `what` if there are not.
    """
    if len(class_names) < 2:
        raise InputError(
            f"{what}: expected at least two classes, got "
            f"{', '.join(class_names) or 'none'}."
        )
    present = {label for picture in train for label in labels_of(picture)}
    missing = [name for index, name in enumerate(class_names) if index not in present]
    if missing:
        raise InputError(
            f"{what}: expected training pictures of every class, got none of "
            f"{', '.join(missing)}."
        )


def in_order(dataset: PictureDataset, names: Sequence[str]) -> PictureDataset:
    """A data set of one label each with its classes numbered in another order.

    Raises:
        InputError: `names` are not its classes.
    """
    if sorted(names) != sorted(dataset.class_names):
        raise InputError(
            "--config.data.labels must name the classes "
            f"{', '.join(dataset.class_names)}, got {', '.join(names)}."
        )
    number = {old: names.index(name) for old, name in enumerate(dataset.class_names)}
    splits = {
        split: [
            dataclasses.replace(picture, label=number[picture.label])
            for picture in getattr(dataset, split)
        ]
        for split in SPLITS
    }
    return dataclasses.replace(dataset, class_names=tuple(names), **splits)


def _split_folders(root: Path) -> dict[str, Path]:
    """The folder of each split that `root` has, in the order of `SPLITS`."""
    folders: dict[str, Path] = {}
    for name in _folder_names(root):
        split = split_named(name)
        if split in folders:
            raise InputError(
                f"{root}: expected one folder a split, got {folders[split].name} and "
                f"{name}"
            )
        if split is not None:
            folders[split] = root / name
    return {split: folders[split] for split in SPLITS if split in folders}


def _read_split(
    root: Path, folder: Path, class_names: Sequence[str], found: PictureFiles
) -> list[LabelledPicture]:
    """The pictures below the class folders of one split; `found` takes all files."""
    pictures = []
    numbers = {name: number for number, name in enumerate(class_names)}
    for class_name in _folder_names(folder):
        if class_name not in numbers:
            raise InputError(
                f"{folder}: expected the classes {', '.join(class_names)}, got "
                f"{class_name!r}."
            )
        files = find_pictures(folder / class_name)
        found.pictures += files.pictures
        found.others += files.others
        for path in files.pictures:
            name = path.relative_to(root).as_posix()
            label = numbers[class_name]
            pictures.append(LabelledPicture(name, label, path=str(path)))
    if not pictures:
        raise InputError(f"{folder}: expected pictures in class folders, got none.")
    return pictures


def _folder_names(folder: Path) -> list[str]:
    return sorted(
        child.name
        for child in folder.iterdir()
        if child.is_dir() and not is_hidden(child.name)
    )
