"""Labelled pictures as a training run reads them: checked, decoded, in minibatches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerasdl.data.batches import EpochBatches, processors
from kerasdl.data.pictures.augmentation import Augmentation
from kerasdl.data.pictures.class_folders import LabelledPicture, content_digest
from kerasdl.data.pictures.decoding import decode_picture

# Decoded pictures are kept up to so many bytes in all; the rest are decoded each time.
DECODED_BYTES = 512 * 2**20


class PictureSplit:
    """Pictures of a split, decoded when they are needed.

    Args:
        pictures: N pictures.

    Attributes:
        pictures: As above.
        labels: int32 (N,); of several labels each 0 or 1, (N, K).
        digests: For each picture, the number that its bytes determine.
    """

    def __init__(self, pictures: Sequence[LabelledPicture]) -> None:
        self.pictures = list(pictures)
        self.labels = np.array([picture.label for picture in pictures], np.int32)
        self.digests = [content_digest(picture.bytes()) for picture in pictures]
        self._decoded: dict[int, np.ndarray] = {}
        self._room = DECODED_BYTES

    def __len__(self) -> int:
        return len(self.pictures)

    def image(self, index: int) -> np.ndarray:
        """One picture, uint8 (H, W, 3).

        Raises:
            InputError: It is broken.
        """
        image = self._decoded.get(index)
        if image is None:
            picture = self.pictures[index]
            image = decode_picture(picture.bytes(), picture.where)
            if image.nbytes <= self._room:
                self._decoded[index] = image
                self._room -= image.nbytes
        return image

    def copies_in(self, other: PictureSplit) -> int:
        """How many of these pictures are, byte for byte, also in another split."""
        known = set(other.digests)
        return sum(digest in known for digest in self.digests)


class PictureBatches(EpochBatches):
    """Minibatches of augmented pictures, read ahead on all processors.

    Args:
        split: The training split.
        augmentation: How its pictures are varied.
        batch_size, seed, shard: As in `EpochBatches`.
        variants: How many ways each picture is varied in all, epochs taking turns; 0 for
            a new one each epoch.
    """

    def __init__(
        self,
        split: PictureSplit,
        augmentation: Augmentation,
        batch_size: int,
        seed: int,
        variants: int = 0,
        shard: slice = slice(None),
    ) -> None:
        super().__init__(len(split), batch_size, seed, shard)
        self._split = split
        self._augmentation = augmentation
        self._variants = variants
        self.threads = processors()

    def read(self, epoch: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 (N, S, S, 3) and labels int32 (N,)."""
        variant = epoch % self._variants if self._variants else epoch
        size = self._augmentation.size
        images = np.zeros((len(rows), size, size, 3), np.uint8)
        for image, index in zip(images, map(int, rows), strict=True):
            picture, digest = self._split.image(index), self._split.digests[index]
            image[:] = self._augmentation(picture, self._seed, variant, digest)
        return images, self._split.labels[rows]


class FeatureBatches(EpochBatches):
    """Minibatches of features computed beforehand, in the order of `PictureBatches`.

    Args:
        features: float32 (V, N, F): of each of the V variants of N pictures.
        labels: int32 (N,).
        batch_size, seed, shard: As in `EpochBatches`.
    """

    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        seed: int,
        shard: slice = slice(None),
    ) -> None:
        super().__init__(len(labels), batch_size, seed, shard)
        self._features = features
        self._labels = labels

    def read(self, epoch: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features float32 (N, F) and labels int32 (N,)."""
        return self._features[epoch % len(self._features)][rows], self._labels[rows]
