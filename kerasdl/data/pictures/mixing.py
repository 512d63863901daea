"""Minibatches whose pictures are mixed by pairs, and their labels in the same shares.

Sources: Zhang et al., mixup, 2018; Yun et al., CutMix, 2019. The mixing is that of
`keras.layers.MixUp` and `keras.layers.CutMix`.
"""

from __future__ import annotations

import keras
import numpy as np

from kerasdl.data.batches import EpochBatches
from kerasdl.data.pictures.batches import PictureBatches


class MixedBatches(EpochBatches):
    """The minibatches of `PictureBatches`, mixed as a function of seed, epoch and rows.

    Args:
        batches: What is mixed.
        classes: K.
        mixup: The shares are drawn from Beta(mixup, mixup); 0 for none of this kind.
        cutmix: The same of a rectangle's share of the area; if both are positive, each
            minibatch is mixed by one of them, drawn at random.
    """

    def __init__(
        self, batches: PictureBatches, classes: int, mixup: float, cutmix: float
    ) -> None:
        super().__init__(batches._count, batches._size, batches._seed, batches._shard)
        self._batches = batches
        self._classes = classes
        self._layers = [keras.layers.MixUp(mixup)] if mixup else []
        if cutmix:
            self._layers.append(keras.layers.CutMix((cutmix, cutmix)))
        self.threads = batches.threads

    def read(self, epoch: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 (N, S, S, 3) and the share of each class, float32 (N, K)."""
        images, labels = self._batches.read(epoch, rows)
        if labels.ndim == 1:
            labels = np.eye(self._classes)[labels]
        shares = labels.astype(np.float32)
        if not len(rows):
            return images, shares
        rng = np.random.default_rng([self._seed, epoch, int(rows[0]), len(rows)])
        layer = self._layers[rng.integers(len(self._layers))]
        # Not a number: CutMix would draw the rectangle's x and y alike from it.
        seed = keras.random.SeedGenerator(int(rng.integers(2**31)))
        pixels = images.astype(np.float32)
        mix = layer.get_random_transformation(pixels, training=True, seed=seed)
        pixels = np.asarray(layer.transform_images(pixels, mix, training=True))
        shares = np.asarray(layer.transform_labels(shares, mix, training=True))
        return np.rint(pixels).astype(np.uint8), shares.astype(np.float32)
