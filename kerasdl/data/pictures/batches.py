"""Labelled pictures as a training run reads them: checked, decoded, in minibatches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kerasdl.data.pictures.augmentation import Augmentation
from kerasdl.data.pictures.class_folders import LabelledPicture, content_digest
from kerasdl.data.pictures.decoding import decode_picture

# Decoded pictures are kept up to so many bytes in all; the rest are decoded each time.
DECODED_BYTES = 512 * 2**20
# Minibatches prepared ahead of the one in training, and the threads that do it.
AHEAD = 3
THREADS = 2


class PictureSplit:
    """Pictures of a split, decoded when they are needed.

    Args:
        pictures: N pictures.

    Attributes:
        pictures: As above.
        labels: int32 (N,).
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


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order in which an epoch takes its examples: int (count,)."""
    return np.random.default_rng([seed, epoch]).permutation(count)


class PictureBatches:
    """Minibatches of augmented pictures; each epoch's a function of seed and epoch.

    Args:
        split: The training split.
        augmentation: How its pictures are varied.
        batch_size: How many a step takes; the last step of an epoch takes the rest.
        seed: The run's.
        variants: How many ways each picture is varied in all, epochs taking turns; 0 for
            a new one each epoch.
        shard: The rows of each minibatch that this process takes.
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
        self._shard = shard
        self._split = split
        self._augmentation = augmentation
        self._size = batch_size
        self._seed = seed
        self._variants = variants

    def __len__(self) -> int:
        return -(-len(self._split) // self._size)

    def __call__(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Images uint8 (N, S, S, 3) and labels int32 (N,) of each step of `epoch`."""
        order = epoch_order(self._seed, epoch, len(self._split))
        variant = epoch % self._variants if self._variants else epoch
        chosen = deque(
            order[start : start + self._size][self._shard]
            for start in range(0, len(order), self._size)
        )
        with ThreadPoolExecutor(THREADS) as threads:
            waiting: deque[tuple[np.ndarray, list]] = deque()
            while chosen or waiting:
                while chosen and len(waiting) < AHEAD:
                    batch = chosen.popleft()
                    views = [threads.submit(self._view, int(i), variant) for i in batch]
                    waiting.append((batch, views))
                batch, views = waiting.popleft()
                size = self._augmentation.size
                images = np.zeros((len(batch), size, size, 3), np.uint8)
                for image, view in zip(images, views, strict=True):
                    image[:] = view.result()
                yield images, self._split.labels[batch]

    def _view(self, index: int, variant: int) -> np.ndarray:
        image = self._split.image(index)
        return self._augmentation(image, self._seed, variant, self._split.digests[index])


class FeatureBatches:
    """Minibatches of features computed beforehand, in the order of `PictureBatches`.

    Args:
        features: float32 (V, N, F): of each of the V variants of N pictures.
        labels: int32 (N,).
        batch_size: As in `PictureBatches`.
        seed: The run's.
        shard: As in `PictureBatches`.
    """

    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        seed: int,
        shard: slice = slice(None),
    ) -> None:
        self._shard = shard
        self._features = features
        self._labels = labels
        self._size = batch_size
        self._seed = seed

    def __len__(self) -> int:
        return -(-len(self._labels) // self._size)

    def __call__(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Features float32 (N, F) and labels int32 (N,) of each step of `epoch`."""
        order = epoch_order(self._seed, epoch, len(self._labels))
        features = self._features[epoch % len(self._features)]
        for start in range(0, len(order), self._size):
            batch = order[start : start + self._size][self._shard]
            yield features[batch], self._labels[batch]
