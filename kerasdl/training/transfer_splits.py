"""Splits of labelled pictures as the transfer job reads and scores them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict
from scipy.special import expit

from kerasdl.data.broken import BrokenInputs
from kerasdl.data.pictures.augmentation import Augmentation
from kerasdl.data.pictures.batches import PictureSplit
from kerasdl.data.pictures.class_folders import LabelledPicture
from kerasdl.data.pictures.decoding import decode_picture, prepare_picture
from kerasdl.metrics.classification import (
    classification_scores,
    multi_label_scores,
    ordinal_scores,
)
from kerasdl.models.backbones import weights_digest
from kerasdl.models.classifier import BACKBONE, HEAD, image_size
from kerasdl.training.calibration import scaled_probabilities
from kerasdl.training.features import PictureFeatures
from kerasdl.training.progress import say, track

# Pictures scored at once.
SCORE_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Split:
    """Pictures that could be read, and their features if the backbone is frozen.

    Attributes:
        pictures: N pictures.
        features: float32 (N, V, F) of the pictures as they are evaluated, the picture as
            it is first, then its mirror image if that counts too; or None.
    """

    pictures: PictureSplit
    features: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    def as_is(self) -> np.ndarray:
        """The features of the pictures, not of their mirror images: float32 (N, F)."""
        return self.features[:, 0]


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
        self._views = evaluated_views(classifier)
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

        def prepared(data: bytes, name: str, mirror: bool) -> np.ndarray:
            image = decode_picture(data, name)
            image = prepare_picture(image, self._size, self._preparation)
            return image[:, ::-1] if mirror else image

        rows = self._features.rows()

        def read(picture: LabelledPicture) -> None:
            if not with_features:
                decode_picture(picture.bytes(), picture.where)
                return
            views = [
                self._features.of(
                    picture,
                    self._preparation + " mirrored" * mirror,
                    functools.partial(prepared, mirror=mirror),
                )
                for mirror in range(self._views)
            ]
            for view in views:
                rows.append(view)

        kept, _ = self.broken.readable(pictures, read, f"{what} pictures", say, track)
        if not with_features:
            return Split(PictureSplit(kept))
        array = rows.array()
        shape = (len(kept), self._views, array.shape[-1])
        return Split(PictureSplit(kept), array.reshape(shape))

    def variants(
        self, split: Split, augmentation: Augmentation, seed: int, count: int
    ) -> np.ndarray:
        """Features of `count` augmented views of each picture: float32 (count, N, F).

        If the augmentation changes nothing, those of the pictures as they are:
        (1, N, F).
        """
        if not augmentation.is_random:
            return split.as_is()[None]
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


def evaluated_views(classifier: keras.Model) -> int:
    """V, how many views of a picture the classifier's answer is the mean of."""
    return 2 if classifier.mirrored else 1


class Scorer:
    """Classifies pictures as they are evaluated, and scores the answers.

    Args:
        classifier: The model to score, as it stands at each call.
        preparation: Of the pictures.
        target: What the pictures are labelled with; see `classification_loss`.
    """

    def __init__(
        self, classifier: keras.Model, preparation: str, target: str = "classes"
    ) -> None:
        self._target, self._decision = target, classifier.decision
        self._head = tf.function(
            lambda x: classifier.get_layer(HEAD)(x, training=False), reduce_retracing=True
        )
        self._whole = tf.function(
            lambda x: classifier(tf.cast(x, tf.float32), training=False),
            reduce_retracing=True,
        )
        self._views = evaluated_views(classifier)
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

    def logits(self, split: Split) -> np.ndarray:
        """float32 (N, V, K) of V views of each picture; from features if there are."""
        rows = [np.zeros((0, self._views, self._classes), np.float32)]
        for start in range(0, len(split), SCORE_BATCH):
            stop = min(start + SCORE_BATCH, len(split))
            if split.features is None:
                images = self.prepared(split, range(start, stop))
                views = [images, images[:, :, ::-1]][: self._views]
                batch = [self._whole(view) for view in views]
            else:
                features = split.features[start:stop]
                batch = [self._head(features[:, v]) for v in range(self._views)]
            rows.append(np.stack(batch, axis=1))
        return np.concatenate(rows)

    def probabilities(self, split: Split) -> np.ndarray:
        """float32 (N, K), the mean over the views."""
        logits = self.logits(split)
        if self._decision.multi_label:
            return expit(logits).mean(axis=1)
        return scaled_probabilities(logits).astype(np.float32)

    def scores(self, split: Split, name: str) -> dict[str, float]:
        """`name/accuracy`, `f1_macro`, `loss`, `ece`; empty if the split is.

        Of several labels each, a picture is right if all are, and `f1_micro` comes too;
        of classes in an order `mae` and `kappa` do.
        """
        if not len(split):
            return {}
        labels, probabilities = split.pictures.labels, self.probabilities(split)
        chosen = self._decision.chosen(probabilities)
        if self._target == "multi_label":
            figures = multi_label_scores(labels, probabilities, chosen)
        else:
            figures = classification_scores(labels, probabilities)
        if self._target == "ordinal":
            figures |= ordinal_scores(labels, chosen, self._classes)
        return {f"{name}/{metric}": value for metric, value in figures.items()}
