"""Files that appear together or not at all, and what killed exports have left."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kerasdl.errors import InputError

_PREFIX = ".export-"


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yields a hidden folder inside `folder`, to write into and to move files from.

    It carries the number of its process; those of processes that are gone are removed.
    `folder` is made, and removed again if nothing was put into it.

    Raises:
        InputError: `folder` cannot be written.
    """
    created = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{_PREFIX}*"):
            if not _is_running(left.name.removeprefix(_PREFIX).partition("-")[0]):
                shutil.rmtree(left, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix=f"{_PREFIX}{os.getpid()}-"))
    except OSError as error:
        raise InputError(
            f"--output cannot be written: {error.strerror}, got {str(folder)!r}."
        ) from error
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if created and not any(folder.iterdir()):
            folder.rmdir()


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass  # another user's
    return True
