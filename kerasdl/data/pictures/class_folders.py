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
import os
from collections.abc import Sequence
from pathlib import Path

from kerasdl.data.pictures.decoding import is_picture_name
from kerasdl.errors import InputError

SPLITS = ("train", "val", "test")
# How data sets call the splits.
SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
# Bits of a digest that place a picture in [0, 1).
_PLACE_BYTES = 8
_SHOWN_FILES = 3


@dataclasses.dataclass(frozen=True)
class LabelledPicture:
    """A picture of a known class.

    Attributes:
        name: What the data set calls it.
        label: The number of its class.
        path: Where the encoded picture lies, if it is a file.
        data: The encoded picture, if it is in memory.
    """

    name: str
    label: int
    path: str = ""
    data: bytes = dataclasses.field(default=b"", repr=False)

    def bytes(self) -> bytes:
        """The encoded picture.

        Raises:
            InputError: The file is missing or cannot be read.
        """
        if not self.path:
            return self.data
        try:
            return Path(self.path).read_bytes()
        except OSError as error:
            raise InputError(
                f"{self.path}: the picture cannot be read: {error.strerror}."
            ) from error


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


def content_digest(data: bytes) -> int:
    """The first 64 bits of the SHA-256 of a picture's bytes."""
    return int.from_bytes(hashlib.sha256(data).digest()[:_PLACE_BYTES], "big")


def is_held_out(data: bytes, share: float) -> bool:
    """Whether a picture with these bytes belongs to a validation split of that share."""
    return content_digest(data) < share * 256**_PLACE_BYTES


def hold_out(
    pictures: Sequence[LabelledPicture], share: float
) -> tuple[list[LabelledPicture], list[LabelledPicture]]:
    """Divides pictures into those to train on and a validation split.

    Args:
        pictures: In any order, which the result keeps.
        share: Of the distinct pictures that go to validation, in [0, 1).

    Raises:
        InputError: `share` is out of range, or a picture cannot be read.
    """
    if not 0 <= share < 1:
        raise InputError(
            f"--config.data.val_share must be at least 0 and below 1, got {share!r}."
        )
    held_out = [is_held_out(picture.bytes(), share) for picture in pictures]
    return (
        [p for p, out in zip(pictures, held_out, strict=True) if not out],
        [p for p, out in zip(pictures, held_out, strict=True) if out],
    )


def read_class_folders(root: str | Path, val_share: float = 0.2) -> PictureDataset:
    """Reads a folder of class folders, with or without folders of splits around them.

    Files with another ending than a picture's are left out and listed in one note;
    nothing is decoded here. Classes are numbered in the order of their names.

    Args:
        root: The data set's folder.
        val_share: Of the training pictures that become the validation split where the
            data set has none.

    Raises:
        InputError: `root` is no folder, has fewer than two classes or no picture to train
            on, or another split has a class that training has not.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"--config.data.root must name a folder, got {str(root)!r}.")
    folders = {split: _split_folder(root, split) for split in SPLITS}
    if folders["train"] is None:
        if folders["val"] or folders["test"]:
            raise InputError(
                f"{root}: has {folders['val'] or folders['test']}, no train."
            )
        folders["train"] = root
    class_names = _class_names(folders["train"])
    reader = _FolderReader(root, class_names)
    splits = {
        split: reader.pictures(folder) if folder else []
        for split, folder in folders.items()
    }
    notes = reader.notes()
    if not splits["train"]:
        raise InputError(
            f"{folders['train']}: expected pictures in class folders, got none."
        )
    if folders["val"] is None:
        splits["train"], splits["val"] = hold_out(splits["train"], val_share)
        notes.append(
            f"{root}: no validation folder; {len(splits['val'])} of "
            f"{len(splits['train']) + len(splits['val'])} training pictures held out by "
            "the hash of their bytes."
        )
    check_classes(str(root), class_names, splits["train"])
    return PictureDataset(class_names, **splits, notes=tuple(notes))


def read_test_folder(
    root: str | Path, class_names: Sequence[str]
) -> list[LabelledPicture]:
    """The pictures of a test set: `root/test/CLASS` where that is, else `root/CLASS`.

    Args:
        root: The folder.
        class_names: The classes of the training split; others are refused.

    Raises:
        InputError: `root` is no folder, has no picture, or has another class.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"--config.data.test must name a folder, got {str(root)!r}.")
    folder = _split_folder(root, "test") or root
    pictures = _FolderReader(root, class_names).pictures(folder)
    if not pictures:
        raise InputError(f"{folder}: expected pictures in class folders, got none.")
    return pictures


def check_classes(
    what: str, class_names: Sequence[str], train: Sequence[LabelledPicture]
) -> None:
    """Checks that there are two classes to tell apart, and pictures of each to train on.

    Raises:
        InputError: Naming `what` where there are not.
    """
    if len(class_names) < 2:
        raise InputError(
            f"{what}: expected at least two classes, got "
            f"{', '.join(class_names) or 'none'}."
        )
    present = {picture.label for picture in train}
    missing = [name for index, name in enumerate(class_names) if index not in present]
    if missing:
        raise InputError(
            f"{what}: expected training pictures of every class, got none of "
            f"{', '.join(missing)}."
        )


class _FolderReader:
    """Lists pictures, and remembers what was no picture over all splits."""

    def __init__(self, root: Path, class_names: Sequence[str]) -> None:
        self._root = root
        self._numbers = {name: number for number, name in enumerate(class_names)}
        self._others: list[str] = []

    def pictures(self, folder: Path) -> list[LabelledPicture]:
        """The pictures below the class folders of one split, by name."""
        pictures = []
        for class_name in _class_names(folder):
            if class_name not in self._numbers:
                raise InputError(
                    f"{folder}: expected the classes {', '.join(self._numbers)}, got "
                    f"{class_name!r}."
                )
            for path in _files(folder / class_name):
                name = path.relative_to(self._root).as_posix()
                if is_picture_name(path.name):
                    label = self._numbers[class_name]
                    pictures.append(LabelledPicture(name, label, path=str(path)))
                else:
                    self._others.append(name)
        return pictures

    def notes(self) -> list[str]:
        """One line on the files left out, if any were."""
        if not self._others:
            return []
        more = ", …" if len(self._others) > _SHOWN_FILES else ""
        return [
            f"{self._root}: {len(self._others)} left out, no pictures by their endings: "
            f"{', '.join(self._others[:_SHOWN_FILES])}{more}"
        ]


def _split_folder(root: Path, split: str) -> Path | None:
    for name in SPLIT_FOLDERS[split]:
        if (root / name).is_dir():
            return root / name
    return None


def _class_names(folder: Path) -> tuple[str, ...]:
    return tuple(
        sorted(
            child.name
            for child in folder.iterdir()
            if child.is_dir() and not child.name.startswith(".")
        )
    )


def _files(folder: Path) -> list[Path]:
    """All files below a folder but hidden ones, in the order of their names."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(parent, name) for name in sorted(names) if not name.startswith(".")
        ]
    return found
