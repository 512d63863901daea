"""Reads NumPy's `.npz` archives, comparing every size with the file's first."""

import zipfile
from pathlib import Path

import numpy as np

from kerasdl.errors import InputError
from kerasdl.files import open_regular
from kerasdl.weights.archives import open_archive
from kerasdl.weights.damage import Damaged, element_count, shown

_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(path: str | Path, kinds: str = "biuf") -> dict[str, np.ndarray]:
    """Reads every array of an archive that `numpy.savez` wrote.

    Args:
        path: The `.npz` file, compressed or not.
        kinds: The types of array that are expected, as letters of `numpy.dtype.kind`;
            the default is truth values and real numbers. Objects are never read.

    Returns:
        Name -> read-only array, in file order.

    Raises:
        InputError: If the file cannot be read, is truncated or damaged, holds an array of
            another type, or its arrays are larger than the file's size allows.
    """
    with open_regular(path) as file:
        try:
            with open_archive(file) as archive:
                return {
                    entry.filename.removesuffix(".npy"): _array(archive, entry, kinds)
                    for entry in archive.infolist()
                }
        except Damaged as error:
            raise InputError(f"{path}: not a whole NumPy archive: {error}.") from error


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, kinds: str) -> np.ndarray:
    name = shown(entry.filename)
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _READ_HEADER:
            raise Damaged(f"{name} is an array of version {version}, which is not read")
        shape, fortran, dtype = _READ_HEADER[version](stream)
        if dtype.kind not in kinds:
            raise Damaged(f"{name} is of type {dtype}, which is not read")
        numbers = stream.read()  # no more than `open_archive` allows
    if element_count(shape) * dtype.itemsize != len(numbers):
        raise Damaged(
            f"{name} of shape {shape} and type {dtype} has {len(numbers)} bytes"
        )
    order = "F" if fortran else "C"
    return np.frombuffer(numbers, dtype).reshape(shape, order=order)
