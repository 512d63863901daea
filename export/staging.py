"""Makes files appear together or not at all; removes the remains of killed exports."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerasdl.errors import InputError
from kerasdl.export.manifest import described, read_entries
from kerasdl.export.proof import MANIFEST
from kerasdl.files import explained, full_disk, is_full, sync, write_json

_PREFIX = ".export-"


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yields a hidden folder inside `folder`, to write into and to move files from.

    It carries the number of its process; those of processes that are gone are removed.
    `folder` is made, and removed again if nothing was put into it.

    Raises:
        InputError: `folder` cannot be written, or the disk is full.
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
    except InputError:
        raise
    except Exception as error:  # of a full disk TensorFlow and NumPy each raise their own
        if is_full(error, temporary):
            raise InputError(full_disk(folder)) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if created and not any(folder.iterdir()):
            folder.rmdir()


def publish(folder: Path, path: Path, entry: dict[str, Any]) -> None:
    """Moves a `.tflite` file and its proof to their place, with their manifest's entry.

    No call renames two files at once, so the manifest is written first, with an entry for
    what the file is about to be and, in that entry as `before`, one for what it still is.
    Whenever the process is killed, the file that is there is one that the manifest
    describes. Exports into one folder wait for each other here.

    Args:
        folder: Where the two files are now.
        path: Where the `.tflite` file is to be.
        entry: What describes it; `proof` and `files` may be given another name of the
            proof, because the file that is replaced keeps its own until it is gone.

    Raises:
        InputError: The files cannot be written.
    """
    manifest = path.parent / MANIFEST
    with explained(path), _alone(path.parent):
        entries = read_entries(manifest)
        entries = {n: e for n, e in entries.items() if (path.parent / n).is_file()}
        before = described(entries, path)
        staged = proof = entry["proof"]
        if before and before["proof"] == proof:
            proof = entry["proof"] = f"{path.name}.other.proof.npz"
            entry["files"][proof] = entry["files"].pop(staged)
        for name in (staged, path.name):
            sync(folder / name)
        between = {**entry, "before": before} if before else entry
        write_json(manifest, {**entries, path.name: between})
        os.replace(folder / staged, path.parent / proof)
        os.replace(folder / path.name, path)
        sync(path.parent)
        write_json(manifest, {**entries, path.name: entry})
        if before and before["proof"] != proof:
            (path.parent / before["proof"]).unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits until no other process is in this function for this folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass  # another user's
    return True
