"""Minibatches of captions with the features of their pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.data.captions.dataset import CaptionedPicture
from kerasdl.data.captions.vocabulary import NULL, CaptionVocabulary
from kerasdl.training.distribution import shard

if TYPE_CHECKING:
    from kerasdl.models.caption_model import CaptionModel
    from kerasdl.training.caption_features import Split


def chosen_captions(picture: CaptionedPicture, config: ConfigDict) -> Sequence[str]:
    """The captions of a picture that are trained on, the first in file order."""
    return picture.captions[: config.data.captions_per_picture or None]


class CaptionBatches:
    """Minibatches of captions with the features of their pictures.

    Each epoch's order, and the view of each picture, are a function of the seed and the
    epoch alone. With scheduled sampling or self-critical training a batch also says what
    `kerasdl.training.caption_losses.make_caption_loss` has to know.

    Args:
        split: The training split.
        vocabulary: Encodes its captions.
        config: The run's config.
    """

    def __init__(
        self, split: Split, vocabulary: CaptionVocabulary, config: ConfigDict
    ) -> None:
        pairs = [
            (index, caption)
            for index, picture in enumerate(split.pictures)
            for caption in chosen_captions(picture, config)
        ]
        self._features, self._views = split.features, split.views
        self._picture = np.array([index for index, _ in pairs], np.int32)
        self._inputs, self._targets = vocabulary.encode_captions(
            [caption for _, caption in pairs], config.data.max_words
        )
        self._seed = config.seed
        self._size = config.batch_size
        self._shard = shard()
        self._epochs = config.epochs
        self._own_words = config.scheduled_sampling
        self._informed = bool(config.scheduled_sampling or config.self_critical.epochs)

    @property
    def signature(self) -> tuple[tf.TensorSpec, ...]:
        """Of a batch's tensors."""
        captions = tf.TensorSpec((None, None), tf.int32)
        tensors = (tf.TensorSpec((None, None), tf.float32), captions, captions)
        if not self._informed:
            return tensors
        kinds = (tf.int32, tf.float32, tf.int32)
        return (*tensors, *(tf.TensorSpec((None,), kind) for kind in kinds))

    def teach(self, decoder: CaptionModel) -> None:
        """Gives a decoder a memory of the training captions."""
        decoder.remember(self._features[:], self._picture, self._targets)

    def __len__(self) -> int:
        return -(-len(self._picture) // self._size)

    def __call__(self, epoch: int) -> Iterator[tuple[tf.Tensor, ...]]:
        """Features (N, F), inputs (N, T) and targets (N, T) of each step of `epoch`.

        If batches are informed, these follow, each (N,): the picture that is rewarded or
        −1, the share of the model's own words, and a seed.
        """
        draw = np.random.default_rng([self._seed, epoch])
        order = draw.permutation(len(self._picture))
        views = 1 if self._views is None else self._views.shape[1]
        view = draw.integers(0, views, len(order))
        rewarded = epoch >= self._epochs
        rate = self._own_words * min(1.0, epoch / max(self._epochs - 1, 1))
        for start in range(0, len(order), self._size):
            chosen = order[start : start + self._size][self._shard]
            targets = self._targets[chosen]
            longest = int((targets != NULL).sum(axis=1).max(initial=1))
            picture = self._picture[chosen]
            if self._views is None:
                features = self._features[picture]
            else:
                of_batch = view[start : start + self._size][self._shard]
                rows, place = np.unique(picture, return_inverse=True)
                features = self._views[rows][place, of_batch]
            batch = [features, self._inputs[chosen, :longest], targets[:, :longest]]
            if self._informed:
                batch += [
                    picture if rewarded else np.full_like(picture, -1),
                    np.full(len(chosen), rate, np.float32),
                    np.full_like(picture, draw.integers(2**31 - 1)),
                ]
            yield tuple(map(tf.constant, batch))
