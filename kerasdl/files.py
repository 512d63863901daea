"""Opens regular files only; a power cut in a write leaves the old file or the new one.

A file is written under a temporary name beside its own, flushed to the disk and renamed;
then the folder that holds its name is flushed too (the order of Pillai et al., All File
Systems Are Not Created Equal, OSDI 2014). A kill at any moment leaves the old file or the
new one, and at most a temporary file that `sweep` removes.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from kerasdl.errors import InputError

# With less room than this, a library's vague error is taken for a full disk.
FULL_BELOW = 2**20
_TEMPORARY = re.compile(r"\.([0-9]+)\..+")


def open_regular(path: str | Path, max_bytes: int | None = None) -> BinaryIO:
    """Opens a regular file for reading.

    A FIFO would block, and `/dev/zero` never ends, so both are refused before a byte is
    read. A link to a regular file is followed.

    Args:
        path: The file.
        max_bytes: The largest size accepted; `None` accepts any.

    Raises:
        InputError: If the file cannot be opened, is not a regular one, or is larger.
    """
    try:
        # Without O_NONBLOCK, the opening of a FIFO waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read: {reason}.") from error
    status = os.fstat(descriptor)
    refusal = None
    if stat.S_ISDIR(status.st_mode):
        refusal = "cannot be read: Is a directory."
    elif not stat.S_ISREG(status.st_mode):
        refusal = "cannot be read: expected a regular file."
    elif max_bytes is not None and status.st_size > max_bytes:
        refusal = f"expected at most {max_bytes:,} bytes, got {status.st_size:,}."
    if refusal:
        os.close(descriptor)
        raise InputError(f"{path}: {refusal}")
    return os.fdopen(descriptor, "rb")


def sync(path: Path) -> None:
    """Flushes a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it that are missing, so that a power cut keeps them.

    Raises:
        InputError: It cannot be made.
    """
    made = [path, *path.parents]
    made = made[: next((k for k, p in enumerate(made) if p.is_dir()), len(made))]
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)
        for folder in made:
            sync(folder.parent)


@contextlib.contextmanager
def explained(path: Path, size: int = 0) -> Iterator[None]:
    """Turns an error of writing `path` into one line that a user can act on.

    Args:
        path: What is being written.
        size: How many bytes it takes, if that is known.

    Raises:
        InputError: Writing failed; of a full disk it says how much room is needed.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # h5py answers a full disk with either
        if isinstance(error, RuntimeError) and not is_full(error, path):
            raise
        raise InputError(_explanation(error, path, size)) from error


def is_full(error: Exception, path: Path) -> bool:
    """Whether an error of writing `path` comes from a disk that is full."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    vague = getattr(error, "errno", None) is None
    return vague and _free(path) < FULL_BELOW


def _free(path: Path) -> int:
    """Bytes free where `path` is to be, or a large number if nobody can tell."""
    for folder in (path, *path.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(folder).free
    return 2**63


def _explanation(error: Exception, path: Path, size: int) -> str:
    if is_full(error, path):
        return full_disk(path, size)
    return f"{path} cannot be written: {getattr(error, 'strerror', None) or error}."


def full_disk(path: Path, size: int = 0) -> str:
    """The line on a full disk on which `path` was to be written."""
    needs = f"it takes {size:,} bytes" if size else "it takes more"
    return (
        f"{path} cannot be written: the disk is full; {needs}, and {_free(path):,} "
        "bytes are free. Make room and start the same command again."
    )


@contextlib.contextmanager
def atomic_path(path: Path, size: int = 0) -> Iterator[Path]:
    """Yields a temporary path of the same ending, which becomes `path` on success.

    Args:
        path: The file to write or to replace.
        size: How many bytes it takes, if that is known; said when the disk is full.

    Raises:
        InputError: The file cannot be written; `path` is as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with explained(path, size):
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
            sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Removes what killed processes left in a folder; those still running keep theirs."""
    for path in folder.glob(".[0-9]*.*"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and not _is_running(int(match[1])):
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all."""
    data = text.encode("utf-8")
    with atomic_path(path, len(data)) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def append_line(path: Path, line: str) -> None:
    """Adds a line to a file, made if it is missing, and flushes it to the disk.

    Raises:
        InputError: The line cannot be written.
    """
    data = (line + "\n").encode("utf-8")
    with explained(path, len(data)), open(path, "ab") as file:
        before = file.tell()
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, before)  # no half of a line, and its room is free again
            raise
        if not before:
            sync(path.parent)
