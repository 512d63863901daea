"""Training states on disk: one file each, so that no kill leaves half of one."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np

from kerasdl.errors import InputError
from kerasdl.training.workdir import atomic_path

_PROGRESS = "progress"


def save_checkpoint(
    path: Path, variables: Sequence[keras.Variable], progress: dict[str, Any]
) -> None:
    """Writes the variables' values and `progress` (JSON values) to one `.npz` file.

    The seed generators of dropout layers are among a model's `variables` (not among its
    `weights`): without them a resumed run would drop other units.

    Args:
        path: The file, replaced in one step.
        variables: Model and optimizer variables, in an order that the code determines.
        progress: Where the run stands.
    """
    arrays = {
        _key(index, variable): keras.ops.convert_to_numpy(variable)
        for index, variable in enumerate(variables)
    }
    # savez would append .npz to a name, but not to an open file.
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays, **{_PROGRESS: np.array(json.dumps(progress))})


def restore_checkpoint(path: Path, variables: Sequence[keras.Variable]) -> dict[str, Any]:
    """Reads what `save_checkpoint` wrote into `variables` and returns `progress`.

    Raises:
        InputError: Where the file is damaged or holds other variables.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        progress = json.loads(str(arrays.pop(_PROGRESS)))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: not a checkpoint of kerasdl: {error}.") from error
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
    return progress


def _key(index: int, variable: keras.Variable) -> str:
    # Names need not be unique: the index leads, and the last part of the path (kernel,
    # bias, ...) guards against a mix-up, less the numbers that Keras counts a process's
    # layers by.
    name = variable.path.rsplit("/", 1)[-1]
    return f"{index:04d}.{re.sub(r'_[0-9]+', '', name)}"
