"""Training states on disk, each a file with a checksum; the previous one is kept.

A file is written whole before it takes its name. The checksum covers every value, so that
a flipped bit is seen; training then goes on from the state before, and so ends with the
same bits, a little later.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np

from kerasdl.errors import InputError
from kerasdl.files import atomic_path
from kerasdl.training.progress import say
from kerasdl.weights.npz import read_npz

T = TypeVar("T")

LATEST, PREVIOUS, BEST = "latest.npz", "previous.npz", "best.npz"
_PROGRESS, _CHECKSUM = "progress", "checksum"


def write_arrays(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    progress: dict[str, Any],
    previous: Path | None = None,
) -> None:
    """Writes arrays and `progress` (JSON values) to one `.npz` file, whole or not at all.

    Args:
        path: The file.
        arrays: Values by name.
        progress: Where the run stands.
        previous: What the file so far is kept as.

    Raises:
        InputError: The file cannot be written.
    """
    content = {**arrays, _PROGRESS: np.array(json.dumps(progress))}
    size = sum(array.nbytes for array in content.values())
    with atomic_path(path, size) as temporary:
        # savez would append .npz to a name, but not to an open file.
        with open(temporary, "wb") as file:
            np.savez(file, **content, **{_CHECKSUM: np.array(_checksum(content))})
        if previous is not None and path.exists():
            os.replace(path, previous)


def write_latest(
    folder: Path, arrays: Mapping[str, np.ndarray], progress: dict[str, Any]
) -> None:
    """Writes the latest state of a run and keeps the one before; see `write_arrays`."""
    write_arrays(folder / LATEST, arrays, progress, previous=folder / PREVIOUS)


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the progress that `write_arrays` wrote.

    Raises:
        InputError: The file is missing or damaged, or holds values that are not finite.
    """
    try:
        content = read_npz(path, kinds="biufU")
        if str(content.pop(_CHECKSUM)) != _checksum(content):
            raise ValueError("its checksum does not match")
        progress = json.loads(str(content.pop(_PROGRESS)))
    except (ValueError, KeyError, RecursionError) as error:
        why = str(error).removeprefix(f"{path}: ").removesuffix(".")
        raise InputError(f"{path}: not a checkpoint of kerasdl: {why}.") from error
    for name, array in content.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"{path}: {name!r} has values that are not finite.")
    return content, progress


def _checksum(content: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(content.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def restore_latest(folder: Path, restore: Callable[[Path], T]) -> T | None:
    """The state to go on from: the latest, or the one before if that is damaged.

    Args:
        folder: The run's checkpoints.
        restore: Reads a file; raises `InputError` if it cannot be gone on from.

    Returns:
        What `restore` made of the file; None if there is none.

    Raises:
        InputError: There are files, and all of them are damaged.
    """
    failures = []
    for name in (LATEST, PREVIOUS):
        if not (folder / name).exists():
            continue
        try:
            state = restore(folder / name)
        except InputError as error:
            failures.append(str(error))
            continue
        if failures:
            say(f"{failures[0]} Going on from the state before, {folder / name}.")
        return state
    if failures:
        raise InputError(
            f"{failures[0]} There is no other state to go on from: restore the file or "
            "name a new --workdir."
        )
    return None


def values_of(variables: Sequence[keras.Variable]) -> dict[str, np.ndarray]:
    """The values of variables by name.

    The seed generators of dropout layers are among a model's `variables` (not among its
    `weights`): without them a resumed run would drop other units.

    Args:
        variables: Model and optimizer variables, in an order that the code determines.
    """
    return {
        _key(index, variable): keras.ops.convert_to_numpy(variable)
        for index, variable in enumerate(variables)
    }


def assign_values(
    path: Path, arrays: Mapping[str, np.ndarray], variables: Sequence[keras.Variable]
) -> None:
    """Gives variables the values that `values_of` took.

    Args:
        path: The file that they come from, for messages.
        arrays: By name.
        variables: In the same order.

    Raises:
        InputError: The values are of other variables; none is assigned then.
    """
    expected = {
        _key(index, variable): variable for index, variable in enumerate(variables)
    }
    unmatched = sorted(arrays.keys() ^ expected.keys()) + [
        f"{name} of shape {arrays[name].shape}"
        for name, variable in expected.items()
        if name in arrays and arrays[name].shape != tuple(variable.shape)
    ]
    if unmatched:
        raise InputError(
            f"{path}: the checkpoint is of another model, at {unmatched[0]!r}."
        )
    for name, variable in expected.items():
        variable.assign(arrays[name])


def _key(index: int, variable: keras.Variable) -> str:
    # Names need not be unique: the index leads, and the last part of the path (kernel,
    # bias, ...) guards against a mix-up, less the numbers that Keras counts a process's
    # layers by.
    name = variable.path.rsplit("/", 1)[-1]
    return f"{index:04d}.{re.sub(r'_[0-9]+', '', name)}"
