"""Features of pictures by a fixed network, computed once and kept on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf

from kerasdl.data.pictures.feature_cache import FeatureCache, default_cache_folder


class EncodedPicture(Protocol):
    """A picture as a data set gives it."""

    where: str

    def bytes(self) -> bytes:
        """The encoded picture."""


class PictureFeatures:
    """Features of views of pictures, found again by the picture's content.

    Args:
        network: Maps float32 (1, S, S, 3) in 0..255 to (1, F), as it stands at each call.
        key: What the features depend on besides the picture and its view.
        size: F.
        cache: The folder of features of pictures seen before; "" for the usual one.
    """

    def __init__(
        self, network: Callable[[tf.Tensor], tf.Tensor], key: str, size: int, cache: str
    ) -> None:
        self._network = tf.function(network)
        self._key, self._size, self._folder = key, size, cache or None
        self._caches: dict[str, FeatureCache] = {}

    def of(
        self,
        picture: EncodedPicture,
        view: str,
        prepare: Callable[[bytes, str], np.ndarray],
    ) -> np.ndarray:
        """The features of a view of a picture, float32 (F,).

        Args:
            picture: The picture.
            view: What tells this view from others of the picture.
            prepare: Gives the view from the encoded picture and its name, as the network
                takes it, (S, S, 3); called only if the features are not there yet.

        Raises:
            InputError: The picture is broken.
        """
        if view not in self._caches:
            key = f"{self._key} {view}".rstrip()
            self._caches[view] = FeatureCache(self._folder, key, (self._size,))

        def extract(data: bytes, name: str) -> np.ndarray:
            image = prepare(data, name)[np.newaxis].astype(np.float32)
            return self._network(image).numpy()[0]

        return self._caches[view].get(picture.bytes(), picture.where, extract)

    def rows(self) -> FeatureRows:
        """An empty table for features, on the disk of the cache."""
        folder = Path(self._folder) if self._folder else default_cache_folder()
        return FeatureRows(self._size, folder)


class FeatureRows:
    """Rows of features in a file without a name, which goes when nobody uses it.

    They are mapped into memory: the system keeps what is read often, and a data set that
    is larger than memory works.

    Args:
        width: F.
        folder: On which disk; made if it is not there.
    """

    def __init__(self, width: int, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Closed with the last array that maps it.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._width = width

    def append(self, row: np.ndarray) -> None:
        """Adds float32 (F,)."""
        self._file.write(np.ascontiguousarray(row, np.float32).data)

    def array(self) -> np.ndarray:
        """All rows, float32 (N, F), to be read only."""
        self._file.flush()
        count = self._file.tell() // (4 * self._width)
        if not count:
            return np.zeros((0, self._width), np.float32)
        shape = (count, self._width)
        return np.asarray(np.memmap(self._file, np.float32, "r", shape=shape))
