"""Reads the HDF5 weight files that Keras wrote before version 3."""

from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.errors import InputError
from kerasdl.weights.hdf5 import check_hdf5


def read_legacy_h5(path: str | Path) -> dict[str, list[np.ndarray]]:
    """Reads the weights of each layer, in the layer's order.

    Args:
        path: What `Model.save_weights` of Keras 1 or 2 wrote: one group per layer, named
            in the attributes `layer_names` and, within a layer, `weight_names`.

    Returns:
        Layer name -> arrays; layers without weights are left out.

    Raises:
        InputError: If the file cannot be read, has another layout, or holds anything that
            `kerasdl.weights.hdf5.check_hdf5` refuses.
    """
    import h5py  # here, because it takes a third of a second

    check_hdf5(path)
    try:
        with open(path, "rb") as stream, h5py.File(stream, "r") as file:
            weights = {}
            for layer in _names(file.attrs["layer_names"]):
                names = _names(file[layer].attrs["weight_names"])
                if names:
                    weights[layer] = [_floats(file[layer][name]) for name in names]
            return weights
    except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not Keras weights in HDF5: {error}.") from error


def _floats(dataset: Any) -> np.ndarray:
    if dataset.dtype.kind != "f":
        raise TypeError(f"{dataset.name} is of type {dataset.dtype}, expected floats")
    return dataset[()]


def _names(attribute: np.ndarray) -> list[str]:
    """An empty list was written as an empty array of floats."""
    return [name.decode() if isinstance(name, bytes) else str(name) for name in attribute]
