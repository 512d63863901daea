"""The fixed network of a style job: what it answers of a picture, layer by layer."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.style.features import STYLE_LAYERS, FeatureExtractor
from kerasdl.style.losses import content_loss, gram_matrix
from kerasdl.style.options import StyleOptions, named_numbers, words


class Regions(NamedTuple):
    """Where on a layer's map each of R styles holds.

    Attributes:
        roots: √m of each, (1, H_l, W_l, 1), m being the share of a style at a place.
        sizes: C Σ m of each: what the Gram matrix of its region is divided by.
    """

    roots: tuple[tf.Tensor, ...]
    sizes: tuple[np.float32, ...]


class Reading(NamedTuple):
    """What the network answers of N pictures; dictionaries by layer.

    Attributes:
        content: P_l of the content layers, undivided, (N, H_l, W_l, C_l).
        sums: ΣF and ΣF² over each map of the content layers, undivided, (2, N, C_l).
        grams: G_l of the style layers, of divided features, (N, R, C_l, C_l); R is 1 if
            there are no regions.
    """

    content: dict[str, tf.Tensor]
    sums: dict[str, tf.Tensor]
    grams: dict[str, tf.Tensor]


class StyleNetwork:
    """The fixed network of `options` with its content and style layers.

    Args:
        options: Names the network, its weights and the layers.

    Attributes:
        content_layers: Names, as given.
        style_layers: Names, as given.
        extractor: Computes the features.

    Raises:
        InputError: If there is no such network, layer or file of weights, or the layers
            of a network without usual ones are not named.
    """

    def __init__(self, options: StyleOptions) -> None:
        usual = STYLE_LAYERS.get(options.backbone)
        self.content_layers = words(options.content_layers)
        self.style_layers = words(options.style_layers)
        if usual is not None:
            self.content_layers = self.content_layers or usual.content
            self.style_layers = self.style_layers or usual.style
        if not (self.content_layers and self.style_layers):
            raise InputError(
                f"`content_layers` and `style_layers` must be named for "
                f"{options.backbone}; only {', '.join(STYLE_LAYERS)} have usual ones."
            )
        names = dict.fromkeys((*self.content_layers, *self.style_layers))
        self.extractor = FeatureExtractor(
            options.backbone,
            tuple(names),
            weights=options.weights,
            pooling=options.pooling,
            precision=options.precision,
        )
        divisors = named_numbers("feature_divisors", options.feature_divisors)
        for name in divisors:
            if name not in names:
                raise InputError(
                    f"`feature_divisors` must name layers among {', '.join(names)}, "
                    f"got {name!r}."
                )
        self._scales = {name: 1 / divisors.get(name, 1.0) for name in names}
        self._read = tf.function(self._read_once, reduce_retracing=True)

    def features(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Layer -> (N, H_l, W_l, C_l), undivided, of normalised pictures (N, H, W, 3)."""
        return self.extractor(images)

    def content_features(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """P_l of the content layers, undivided."""
        features = self.features(images)
        return {name: features[name] for name in self.content_layers}

    def content_loss(
        self, features: Mapping[str, tf.Tensor], name: str, target: tf.Tensor
    ) -> tf.Tensor:
        """Σ (F − P)² of a layer's divided features, from undivided ones."""
        return self._scales[name] ** 2 * content_loss(features[name], target)

    def grams(
        self,
        features: Mapping[str, tf.Tensor],
        regions: Mapping[str, Regions] | None = None,
        sizes: Mapping[str, tf.Tensor] | None = None,
    ) -> dict[str, tf.Tensor]:
        """G_l of the style layers, (N, R, C_l, C_l), of divided features.

        The C x C matrix is divided by the square instead of the larger features.

        Args:
            features: Undivided, (N, H_l, W_l, C_l).
            regions: Of each layer; None for one region, the picture.
            sizes: C·H·W of each layer's whole map, if `features` are a part of it.
        """
        grams = {}
        for name in self.style_layers:
            if regions is None:
                size = None if sizes is None else sizes[name]
                parts = [gram_matrix(features[name], size)]
            else:
                parts = [
                    gram_matrix(features[name] * root, size)
                    for root, size in zip(*regions[name], strict=True)
                ]
            grams[name] = self._scales[name] ** 2 * tf.stack(parts, axis=1)
        return grams

    def read(
        self, images: tf.Tensor, regions: Mapping[str, Regions] | None = None
    ) -> Reading:
        """The targets and statistics of normalised pictures (N, H, W, 3)."""
        return self._read(images, regions)

    def _read_once(self, images, regions) -> Reading:
        features = self.features(images)
        content = {name: features[name] for name in self.content_layers}
        sums = {name: channel_sums(value) for name, value in content.items()}
        return Reading(content, sums, self.grams(features, regions))

    def flat_loss(self, reading: Reading) -> tuple[float, float]:
        """Content losses of flat features and of none, summed over pictures and layers.

        Returns:
            Σ (F − F̄)² with F̄ the mean over each map, and Σ F².
        """
        flat = energy = 0.0
        for name, sums in reading.sums.items():
            first, second = np.asarray(sums, np.float64)
            places = np.prod(reading.content[name].shape[1:3])
            around = np.maximum(second - first**2 / places, 0)
            flat += self._scales[name] ** 2 * around.sum()
            energy += self._scales[name] ** 2 * second.sum()
        return float(flat), float(energy)

    def regions(self, masks: tf.Tensor | None) -> dict[str, Regions] | None:
        """Masks at the size of each style layer's map; None for none.

        Args:
            masks: The share of each style at each pixel, float32 (1, H, W, R).
        """
        if masks is None:
            return None
        regions = {}
        for name, shape in self.extractor.shapes(tuple(masks.shape[1:3])).items():
            if name in self.style_layers:
                shares = tf.image.resize(masks, shape[:2], "area")
                sizes = shape[2] * tf.reduce_sum(shares, (0, 1, 2)).numpy()
                roots = tf.split(tf.sqrt(shares), len(sizes), axis=-1)
                regions[name] = Regions(tuple(roots), tuple(sizes))
        return regions


def channel_sums(features: tf.Tensor) -> tf.Tensor:
    """ΣF and ΣF² over each map, (2, N, C), of (N, H, W, C)."""
    squares = tf.reduce_sum(features**2, (1, 2))
    return tf.stack([tf.reduce_sum(features, (1, 2)), squares])
