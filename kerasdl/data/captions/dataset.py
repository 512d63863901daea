"""Pictures with captions, and the checks that all readers share."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from kerasdl.data.captions.tokens import caption_tokens
from kerasdl.data.pictures.files import EncodedPicture, is_picture_name
from kerasdl.data.splits import SPLITS, VALIDATION_SHARE
from kerasdl.data.texts.lines import LineErrors, check_text
from kerasdl.errors import InputError, listed, shown


@dataclasses.dataclass(frozen=True)
class CaptionedPicture(EncodedPicture):
    """A picture and what people wrote about it.

    Attributes:
        captions: Its captions in file order, at least one.
        features: float32 (F,), if the data set comes with features, not pictures.
    """

    captions: tuple[str, ...]
    features: np.ndarray | None = dataclasses.field(
        default=None, repr=False, compare=False, kw_only=True
    )


@dataclasses.dataclass(frozen=True)
class CaptionDataset:
    """The splits of a data set of captioned pictures.

    Attributes:
        train: The pictures to learn from, in file order.
        val: The pictures to choose a model by; may be empty.
        test: The pictures to report on; may be empty.
        skipped_lines: How many bad lines were left out.
        notes: A line for each thing that was passed over and that a user should know.
    """

    train: list[CaptionedPicture]
    val: list[CaptionedPicture]
    test: list[CaptionedPicture]
    skipped_lines: int = 0
    notes: tuple[str, ...] = ()


class CaptionCollector:
    """Checks names and captions as a reader finds them, and collects the pictures.

    Args:
        root: The data set's folder, for messages.
        errors: What becomes of a bad line.

    Attributes:
        errors: As above.
        notes: The lines of `CaptionDataset.notes` so far.
    """

    def __init__(self, root: Path, errors: LineErrors) -> None:
        self.errors = errors
        self.notes: list[str] = []
        self._root = root
        self._splits: dict[str, list[CaptionedPicture]] = {name: [] for name in SPLITS}
        self._no_pictures: dict[str, None] = {}
        self._places: dict[str, str] = {}

    def picture_name(self, where: str, name: str) -> str | None:
        """The shortest spelling of a picture's name, or None for one to pass over.

        A name that leads out of the folder is a bad line; one that does not end as a
        picture is left out and noted.

        Args:
            where: File and line.
            name: The name as it stands there.
        """
        rule = check_text(name)
        shortest = posixpath.normpath(name)
        if rule is None and (
            os.path.isabs(name) or shortest == ".." or shortest.startswith("../")
        ):
            rule = f"expected a picture inside the data set's folder, got {shown(name)}"
        if rule is not None:
            self.errors.report(f"{where}: {rule}")
            return None
        if not is_picture_name(name):
            self._no_pictures[shortest] = None
            return None
        return shortest

    def caption(self, where: str, text: str) -> str | None:
        """The caption on one line, or None for a bad one (empty, NUL, no word in it)."""
        rule = check_text(text)
        if rule is None and not caption_tokens(text):
            rule = f"expected a caption with a word in it, got {shown(text)}"
        if rule is not None:
            self.errors.report(f"{where}: {rule}")
            return None
        return " ".join(text.split())

    def is_first(self, where: str, name: str, spelt: str = "") -> bool:
        """Whether a picture is named for the first time; if not, it is a bad line."""
        if name in self._places:
            self.errors.report(
                f"{where}: expected each picture once, got {shown(spelt or name)}, which "
                f"is also in {self._places[name]}"
            )
            return False
        self._places[name] = where
        return True

    def add(
        self,
        split: str,
        name: str,
        captions: Sequence[str],
        path: Path | str = "",
        features: np.ndarray | None = None,
    ) -> None:
        """Adds a picture to a split."""
        self._splits[split].append(
            CaptionedPicture(name, tuple(captions), path=str(path), features=features)
        )

    def dataset(self) -> CaptionDataset:
        """What was collected.

        Raises:
            InputError: There is no picture in any split.
        """
        if not any(self._splits.values()):
            first = self.errors.first
            hint = f"; the first bad line is {first}" if first else ""
            raise InputError(
                f"{self._root}: expected pictures with captions, got none{hint}"
            )
        notes = list(self.notes)
        if self._no_pictures:
            names = list(self._no_pictures)
            notes.append(
                f"{self._root}: {len(names)} left out, no pictures by their endings: "
                f"{listed(names)}"
            )
        notes += self.errors.notes(self._root)
        return CaptionDataset(
            **self._splits, skipped_lines=self.errors.count, notes=tuple(notes)
        )


def drawn_for_validation(names: Iterable[str]) -> set[str]:
    """A tenth of the pictures, but one at least, the same in whatever order they come."""
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    count = max(1, round(VALIDATION_SHARE * len(ordered)))
    return set(ordered[:count]) if len(ordered) > 1 else set()


def records(path: Path, content: object, key: str) -> list:
    """The list that a json object holds at `key`.

    Raises:
        InputError: There is none.
    """
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise InputError(
            f"{path}: expected an object with the list {key}, got {shown(content)}"
        )
    return content[key]


def has(record: object, **types: type) -> bool:
    """Whether a json object has these keys, with values of these types."""
    # true is an int to Python and no id to COCO.
    return isinstance(record, dict) and all(
        isinstance(record.get(key), kind) and not isinstance(record[key], bool)
        for key, kind in types.items()
    )


def first_folder(root: Path, folders: Sequence[str]) -> Path:
    """The first of some folders of a data set that exists.

    Raises:
        InputError: None does.
    """
    for folder in folders:
        if (root / folder).is_dir():
            return root / folder
    raise InputError(
        f"{root}: expected the pictures in one of the folders {', '.join(folders)}, got "
        "none of them"
    )
