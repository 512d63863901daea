"""Features of pictures by a fixed network, computed once and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import tensorflow as tf

from kerasdl.data.pictures.feature_cache import FeatureCache


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
