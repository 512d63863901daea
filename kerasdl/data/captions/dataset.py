"""Pictures with captions, and what every reader of them checks."""

from __future__ import annotations

import dataclasses
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

from kerasdl.data.captions.tokens import caption_tokens
from kerasdl.data.pictures.files import EncodedPicture, is_picture_name
from kerasdl.data.splits import SPLITS
from kerasdl.data.texts.lines import LineErrors, check_text
from kerasdl.errors import InputError, listed, shown


@dataclasses.dataclass(frozen=True)
class CaptionedPicture(EncodedPicture):
    """A picture and what people wrote about it.

    Attributes:
        captions: Its captions in file order, at least one.
    """

    captions: tuple[str, ...]


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

    def add(self, split: str, name: str, captions: Sequence[str], path: Path) -> None:
        """Adds a picture to a split."""
        self._splits[split].append(
            CaptionedPicture(name=name, captions=tuple(captions), path=str(path))
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
