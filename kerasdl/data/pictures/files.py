"""Which files are pictures, and how their bytes are read: one rule for every command.

A picture's name ends in one of `PICTURE_SUFFIXES`, in any case. Hidden files are none.
Symbolic links are followed. Only regular files are read, none above `MAX_FILE_BYTES`.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path, PurePath

from kerasdl.errors import InputError, listed
from kerasdl.files import open_regular

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
# A BMP of 100 megapixels has 300,000,054 bytes.
MAX_FILE_BYTES = 320_000_000


def is_hidden(name: str) -> bool:
    """Whether a file or folder is one that file managers hide or make.

    >>> is_hidden("._one.jpg"), is_hidden("Thumbs.db"), is_hidden("one.jpg")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini")


def is_picture_name(name: str) -> bool:
    """Whether `name` ends as a picture that kerasdl reads does, and is not hidden.

    >>> is_picture_name("ants/0013035.JPG"), is_picture_name("imageNotFound.gif")
    (True, False)
    """
    path = PurePath(name)
    return path.suffix.lower() in PICTURE_SUFFIXES and not is_hidden(path.name)


def read_picture_bytes(path: str | os.PathLike) -> bytes:
    """The encoded picture in a file.

    Raises:
        InputError: The file cannot be read, is not a regular one, or is too large.
    """
    try:
        with open_regular(path, MAX_FILE_BYTES) as file:
            return file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from error


@dataclasses.dataclass(frozen=True)
class EncodedPicture:
    """A picture as a data set holds it: in a file, or in memory.

    Attributes:
        name: What the data set calls it.
        path: Where the encoded picture lies, if it is a file.
        data: The encoded picture, if it is in memory.
    """

    name: str
    path: str = dataclasses.field(default="", kw_only=True)
    data: bytes = dataclasses.field(default=b"", repr=False, kw_only=True)

    @property
    def where(self) -> str:
        """What a message calls it."""
        return self.path or self.name

    def bytes(self) -> bytes:
        """The encoded picture.

        Raises:
            InputError: As `read_picture_bytes`.
        """
        return read_picture_bytes(self.path) if self.path else self.data


@dataclasses.dataclass
class PictureFiles:
    """The files of a folder and the folders below it, hidden ones left out.

    Attributes:
        pictures: Those that are pictures by their names.
        others: The others.
    """

    pictures: list[Path] = dataclasses.field(default_factory=list)
    others: list[Path] = dataclasses.field(default_factory=list)

    def note(self, root: Path) -> list[str]:
        """One line on the files that are no pictures, if there are any."""
        names = [os.path.relpath(path, root) for path in self.others]
        if not names:
            return []
        return [
            f"{root}: {len(names)} left out, no pictures by their endings: "
            f"{listed(names)}"
        ]


def find_pictures(folder: Path, deep: bool = True) -> PictureFiles:
    """The pictures in a folder, in the order of their names, a folder's own files first.

    Links to files and folders are followed, each folder being entered once; a link that
    leads nowhere is a picture by its name, which is broken when it is read.

    Args:
        folder: Where to look.
        deep: Whether to look in the folders below it too.

    Raises:
        InputError: A folder cannot be read.
    """
    found = PictureFiles()
    entered: set[tuple[int, int]] = set()
    folders, links = [folder], []
    while folders or links:
        here = folders.pop() if folders else links.pop()
        try:
            status = os.stat(here)
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            entries = list(os.scandir(here))
        except OSError as error:
            raise InputError(f"{here}: cannot be read: {error.strerror}.") from error
        for entry in entries:
            path = here / entry.name
            if is_hidden(entry.name):
                continue
            if entry.is_dir():
                # The real folder gives a picture its name, not a link to it.
                (links if entry.is_symlink() else folders).append(path)
            else:
                is_picture = is_picture_name(entry.name)
                (found.pictures if is_picture else found.others).append(path)
        if not deep:
            break
    for paths in (found.pictures, found.others):
        paths.sort(key=lambda path: (path.parent.parts, path.name))
    return found
