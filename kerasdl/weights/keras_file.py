"""Checks the contents of a `.keras` file before Keras opens it.

It is a zip of `config.json`, which Keras reads with its safe mode on, and of the weights
as HDF5, which a stranger may have made to crash or hang the process.
"""

import shutil
import tempfile
from pathlib import Path

from kerasdl.errors import InputError
from kerasdl.files import open_regular
from kerasdl.weights.archives import open_archive
from kerasdl.weights.damage import Damaged
from kerasdl.weights.hdf5 import check_hdf5

_WEIGHTS = "model.weights.h5"


def check_keras_file(path: str | Path) -> None:
    """Refuses a `.keras` file whose archive or weights are not plain ones.

    Args:
        path: The file.

    Raises:
        InputError: If the file cannot be read, is no whole archive, swells (see
            `kerasdl.weights.archives`), or holds weights that
            `kerasdl.weights.hdf5.check_hdf5` refuses.
    """
    with open_regular(path) as file, tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / _WEIGHTS
        try:
            with open_archive(file) as archive:
                if _WEIGHTS not in archive.namelist():
                    raise Damaged(f"it holds no {_WEIGHTS}")
                with archive.open(_WEIGHTS) as stored, open(weights, "wb") as copy:
                    shutil.copyfileobj(stored, copy)
            check_hdf5(weights)
        except Damaged as error:
            raise InputError(f"{path}: not a Keras model that loads: {error}.") from error
        except InputError as error:
            why = str(error).removeprefix(f"{weights}: ")
            raise InputError(f"{path}: {_WEIGHTS}: {why}") from error
