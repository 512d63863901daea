"""Captioned pictures with their features, by the backbone of a captioner."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kerasdl.data.broken import BrokenInputs
from kerasdl.data.captions.dataset import CaptionedPicture
from kerasdl.data.pictures.decoding import decode_picture, prepare_picture
from kerasdl.data.pictures.feature_shards import FeatureRows, FeatureShards
from kerasdl.models.backbones import weights_digest
from kerasdl.models.captioner import ImageCaptioner
from kerasdl.training.progress import say, track

# Training pictures that principal components are measured on, and the statistics of
# features: more change them little, and would have to fit into memory.
MEASURED_MAPS = 1000
MEASURED = 5000


@dataclasses.dataclass(frozen=True)
class Split:
    """Pictures that could be read, with their features.

    Attributes:
        pictures: N pictures with their captions.
        features: float32 (N, F), an array or `FeatureRows`: what captions are made from.
        views: float32 (N, V, F), likewise: one of these is drawn in training. None for
            `features` alone.
    """

    pictures: Sequence[CaptionedPicture]
    features: np.ndarray | FeatureRows
    views: np.ndarray | FeatureRows | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def references(self) -> list[list[str]]:
        """Each picture's captions, in file order."""
        return [list(picture.captions) for picture in self.pictures]

    def first(self, count: int) -> Split:
        """The first `count` pictures."""
        return Split(self.pictures[:count], self.features[:count])

    def measured(self) -> np.ndarray:
        """Features of pictures evenly through the split, up to `MEASURED` of them."""
        return self.features[_evenly(len(self), MEASURED)]


class FeatureExtractor:
    """Splits of pictures with their features by a captioner's backbone.

    Args:
        captioner: The model; with `components` it is adapted to the first split.
        cache: The folder of features of pictures seen before; "" for the usual one.

    Attributes:
        broken: The pictures that could not be read.
    """

    def __init__(self, captioner: ImageCaptioner, cache: str = "") -> None:
        self._captioner, self._cache = captioner, cache or None
        self._key = (
            f"{captioner.backbone.name} {captioner.image_size} squash "
            f"grid={captioner.grid} {weights_digest(captioner.backbone)}"
        )
        self._adapted = not captioner.components
        self.broken = BrokenInputs()

    def split(
        self, pictures: Sequence[CaptionedPicture], what: str, views: int = 1
    ) -> Split:
        """`pictures` with their features, less those that are broken.

        Args:
            pictures: The pictures of a split.
            what: The split, for messages.
            views: How many views of each training draws from.

        Raises:
            InputError: More of them are broken than a run tolerates.
        """
        if not self._adapted:
            self._adapt(pictures)
        captioner = self._captioner
        count = max(views, captioner.views)
        kept, rows = self._rows(
            f"{self._key}{self._components()} views={count}",
            (count, captioner.decoder.feature_dim),
            lambda images: captioner.features_of_views(images, count),
            pictures,
            what,
        )
        if not rows:
            return Split(kept, np.zeros((0, captioner.decoder.feature_dim), np.float32))
        of_views = FeatureRows(rows, lambda rows: rows[:, :views])
        return Split(kept, FeatureRows(rows, captioner.combine), of_views)

    def _rows(self, key, shape, network, pictures, what, broken=None):
        size, broken = self._captioner.image_size, broken or self.broken
        spec = tf.TensorSpec((None, size, size, 3), tf.float32)
        compiled = tf.function(network, input_signature=[spec])
        shards = FeatureShards(
            self._cache,
            key,
            shape,
            lambda data, name: prepare_picture(decode_picture(data, name), size),
            lambda images: compiled(images).numpy(),
        )
        found = shards.rows(pictures)

        def read(_):
            row = next(found)
            if isinstance(row, Exception):
                raise row
            return row

        return broken.readable(pictures, read, f"{what} pictures", say, track)

    def _adapt(self, pictures):
        """Measures the captioner's principal components."""
        captioner = self._captioner
        some = [pictures[n] for n in _evenly(len(pictures), MEASURED_MAPS)]
        shape = captioner.backbone.output_shape[1:]
        _, rows = self._rows(
            f"{self._key} maps",
            (1, int(np.prod(shape))),
            lambda images: tf.reshape(
                captioner.backbone(images, training=False), (-1, 1, np.prod(shape))
            ),
            some,
            "components of",
            BrokenInputs(),
        )
        captioner.adapt(np.asarray(FeatureRows(rows)).reshape(-1, *shape))
        self._adapted = True

    def _components(self) -> str:
        captioner = self._captioner
        if not captioner.components:
            return ""
        measured = [np.asarray(captioner.centre), np.asarray(captioner.principal)]
        digest = hashlib.sha256(b"".join(one.tobytes() for one in measured))
        return f" components={captioner.components} {digest.hexdigest()[:16]}"


def _evenly(total: int, most: int) -> np.ndarray:
    """Up to `most` indices below `total`, evenly spread."""
    return np.linspace(0, max(total - 1, 0), min(total, most)).round().astype(int)
