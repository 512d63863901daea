"""Splits of labelled pictures as the transfer job reads and scores them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.data.broken import BrokenInputs
from kerasdl.data.pictures.augmentation import Augmentation
from kerasdl.data.pictures.batches import PictureSplit
from kerasdl.data.pictures.class_folders import LabelledPicture
from kerasdl.data.pictures.decoding import decode_picture, prepare_picture
from kerasdl.metrics.classification import classification_scores
from kerasdl.models.backbones import weights_digest
from kerasdl.models.classifier import BACKBONE, HEAD, image_size
from kerasdl.training.features import PictureFeatures
from kerasdl.training.progress import say, track

# Pictures scored at once.
SCORE_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Split:
    """Pictures that could be read, and their features if the backbone is frozen.

    Attributes:
        pictures: N pictures.
        features: float32 (N, F) of the pictures as they are evaluated, or None.
    """

    pictures: PictureSplit
    features: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pictures)


class SplitReader:
    """Checks pictures and, for a frozen backbone, gives their features.

    Args:
        classifier: Its backbone computes the features, as it stands at each call.
        config: The run's config.

    Attributes:
        broken: The pictures that could not be read.
    """

    def __init__(self, classifier: keras.Model, config: ConfigDict) -> None:
        backbone = classifier.get_layer(BACKBONE)
        self._size = image_size(classifier)
        self._preparation = config.data.preparation
        self._features = PictureFeatures(
            lambda images: backbone(images, training=False),
            f"{config.model.backbone} {self._size} pooled {weights_digest(backbone)}",
            backbone.output_shape[-1],
            config.data.cache,
        )
        self.broken = BrokenInputs()

    def read(
        self, pictures: Sequence[LabelledPicture], what: str, with_features: bool
    ) -> Split:
        """The split `what` less its broken pictures.

        Raises:
            InputError: More of them are broken than a run tolerates.
        """

        def prepared(data: bytes, name: str) -> np.ndarray:
            return prepare_picture(
                decode_picture(data, name), self._size, self._preparation
            )

        rows = self._features.rows()

        def read(picture: LabelledPicture) -> None:
            if with_features:
                rows.append(self._features.of(picture, self._preparation, prepared))
            else:
                decode_picture(picture.bytes(), picture.where)

        kept, _ = self.broken.readable(pictures, read, f"{what} pictures", say, track)
        return Split(PictureSplit(kept), rows.array() if with_features else None)

    def variants(
        self, split: Split, augmentation: Augmentation, seed: int, count: int
    ) -> np.ndarray:
        """Features of `count` augmented views of each picture: float32 (count, N, F).

        If the augmentation changes nothing, those of the pictures as they are:
        (1, N, F).
        """
        if not augmentation.is_random:
            return split.features[None]
        pictures, fields = split.pictures, dataclasses.asdict(augmentation)
        work = [(v, index) for v in range(count) for index in range(len(pictures))]
        rows = self._features.rows()
        for variant, index in track(work, len(work), "features of augmented pictures"):

            def augmented(data: bytes, name: str, variant=variant, index=index):
                digest = pictures.digests[index]
                return augmentation(pictures.image(index), seed, variant, digest)

            view = f"{fields} {seed} {variant}"
            rows.append(self._features.of(pictures.pictures[index], view, augmented))
        return rows.array().reshape(count, len(pictures), -1)


class Scorer:
    """Classifies pictures as they are evaluated, and scores the answers.

    Args:
        classifier: The model to score, as it stands at each call.
        preparation: Of the pictures.
    """

    def __init__(self, classifier: keras.Model, preparation: str) -> None:
        self._head = tf.function(
            lambda x: tf.nn.softmax(classifier.get_layer(HEAD)(x, training=False)),
            reduce_retracing=True,
        )
        self._whole = tf.function(
            lambda x: tf.nn.softmax(classifier(tf.cast(x, tf.float32), training=False)),
            reduce_retracing=True,
        )
        self._classes = classifier.output_shape[-1]
        self._size = image_size(classifier)
        self._preparation = preparation

    def prepared(self, split: Split, indices: Sequence[int]) -> np.ndarray:
        """Some pictures of a split as the network sees them: uint8 (N, S, S, 3)."""
        return np.stack(
            [
                prepare_picture(split.pictures.image(i), self._size, self._preparation)
                for i in indices
            ]
        )

    def probabilities(self, split: Split) -> np.ndarray:
        """float32 (N, K); from the features if the split has them."""
        rows = [np.zeros((0, self._classes), np.float32)]
        for start in range(0, len(split), SCORE_BATCH):
            stop = min(start + SCORE_BATCH, len(split))
            if split.features is None:
                batch = self._whole(self.prepared(split, range(start, stop)))
            else:
                batch = self._head(split.features[start:stop])
            rows.append(batch.numpy())
        return np.concatenate(rows)

    def scores(self, split: Split, name: str) -> dict[str, float]:
        """`name/accuracy`, `f1_macro`, `loss`, `ece`; empty if the split is."""
        if not len(split):
            return {}
        figures = classification_scores(split.pictures.labels, self.probabilities(split))
        return {f"{name}/{metric}": value for metric, value in figures.items()}
