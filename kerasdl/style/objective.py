"""The style objective at one scale: targets computed once, then loss and gradient."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.style.features import STYLE_LAYERS, FeatureExtractor
from kerasdl.style.losses import (
    content_loss,
    gram_matrix,
    style_loss,
    total_variation,
)
from kerasdl.style.options import INITS, StyleOptions, named_numbers, numbers, words

# What a normalised term is divided by has a floor, or a content picture without a detail,
# and an initial picture that has the style already, would give one term all the weight.
# Photographs and paintings are well above: a style layer's loss is 0.07 to 1.7 times the
# energy of its target, features differ from flat ones by 0.9 of theirs, and the total
# variation is 0.3 a pixel.
LEAST_STYLE, LEAST_CONTENT, LEAST_VARIATION = 0.05, 0.03, 0.02


class StyleNetwork:
    """The fixed network of `options` with its content and style layers.

    Args:
        options: Names the network, its weights and the layers.

    Attributes:
        content_layers: Names, as given.
        style_layers: Names, as given.

    Raises:
        InputError: Where there is no such network, layer or file of weights, or the
            layers of a network without usual ones are not named.
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
        self._extract = FeatureExtractor(
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

    def features(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Layer -> (N, H_l, W_l, C_l), undivided, of normalised pictures (N, H, W, 3)."""
        return self._extract(images)

    def content_features(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """P_l of the content layers, undivided."""
        features = self.features(images)
        return {name: features[name] for name in self.content_layers}

    def style_grams(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """A_l of the style layers, of features divided as the options say."""
        return self.grams(self.features(images))

    def content_loss(
        self, features: Mapping[str, tf.Tensor], name: str, target: tf.Tensor
    ) -> tf.Tensor:
        """Σ (F − P)² of a layer's divided features, from undivided ones."""
        return self._scales[name] ** 2 * content_loss(features[name], target)

    def flat_losses(
        self, features: Mapping[str, tf.Tensor], images: tf.Tensor
    ) -> tuple[float, float]:
        """What content loss and total variation are divided by, with their floors.

        Args:
            features: Undivided, of the content layers at least.
            images: (N, H, W, 3), normalised units, whose features they are.

        Returns:
            The content loss of the mean over each map in the place of the features, and
            the total variation, both summed over the pictures.
        """
        flat = energy = 0.0
        for name in self.content_layers:
            mean = tf.reduce_mean(features[name], (1, 2), keepdims=True)
            flat += float(self.content_loss(features, name, mean))
            zero = tf.zeros_like(mean)
            energy += float(self.content_loss(features, name, zero))
        pixels = float(np.prod(images.shape[:3]))
        variation = max(float(total_variation(images)), LEAST_VARIATION * pixels)
        return max(flat, LEAST_CONTENT * energy, 1e-12), variation

    def grams(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """G_l of the style layers, of divided features, from undivided ones.

        The C x C matrix is divided by the square instead of the larger features.
        """
        return {
            name: self._scales[name] ** 2 * gram_matrix(features[name])
            for name in self.style_layers
        }


def style_start(gram: tf.Tensor, target: tf.Tensor) -> float:
    """What the loss of a style layer is divided by: its value for `gram`, with a floor.

    Args:
        gram: G of the reference picture, or of N of them, (N, C, C).
        target: A, (1, C, C).

    Returns:
        The mean over the pictures.
    """
    start = float(content_loss(gram, target)) / len(gram)
    return max(start, LEAST_STYLE * float(tf.reduce_sum(target**2)), 1e-12)


class StyleObjective:
    """w_c Σ (F − P)² + Σ_l w_l Σ (G_l − A_l)² + w_tv TV, of one picture.

    Where several styles are mixed, A_l is the weighted mean of theirs: the gradient is
    that of the weighted mean of the losses, from which it differs by a constant.

    Args:
        network: Computes the features.
        options: The weights of the terms.
        content: The content picture, float32 (1, H, W, 3), normalised units.
        styles: The style pictures, each (1, H_s, W_s, 3).
        initial: What the optimisation starts from, (1, H, W, 3): normalised weights are
            relative to its losses.

    Attributes:
        terms: The names of what `losses` gives, in order.
    """

    def __init__(
        self,
        network: StyleNetwork,
        options: StyleOptions,
        content: tf.Tensor,
        styles: Sequence[tf.Tensor],
        initial: tf.Tensor,
    ) -> None:
        self._network = network
        self._content = tf.function(network.content_features)(content)
        grams = tf.function(network.style_grams, reduce_retracing=True)
        shares = np.array(numbers("style_mix", options.style_mix, len(styles)))
        shares = shares / shares.sum()
        mixed: dict[str, tf.Tensor] = {}
        for share, style in zip(shares, styles, strict=True):
            for name, gram in grams(style).items():
                mixed[name] = mixed.get(name, 0.0) + share * gram
        self._style = mixed
        layers = network.style_layers
        raw = numbers("layer_weights", options.layer_weights, len(layers))
        self._layer_weights = [options.style_weight * weight for weight in raw]
        self._content_weight = options.content_weight
        self._tv_weight = options.tv_weight
        if options.weighting == "normalised":
            # A picture of the caller's may have the style already: then the loss to be
            # lowered is the content's, and style losses are those at the content.
            is_own = options.init not in INITS
            self._normalise(content, grams(content if is_own else initial), sum(raw))
            if is_own:
                features = tf.function(network.features)(initial)
                start = float(tf.add_n(self._content_losses(features)))
                self._content_weight /= max(
                    1.0, start / max(options.content_weight, 1e-12)
                )
        self.terms = (
            "loss/total",
            "loss/content",
            "loss/style",
            "loss/tv",
            *(f"loss/content/{name}" for name in network.content_layers),
            *(f"loss/style/{name}" for name in network.style_layers),
        )

    def _normalise(
        self, content: tf.Tensor, grams: Mapping[str, tf.Tensor], total: float
    ) -> None:
        content_start, tv_start = self._network.flat_losses(self._content, content)
        self._content_weight /= content_start
        self._tv_weight /= tv_start
        for index, (name, target) in enumerate(self._style.items()):
            self._layer_weights[index] /= total * style_start(grams[name], target)

    def _content_losses(self, features: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
        """The weighted content loss of each layer."""
        return [
            self._content_weight * self._network.content_loss(features, name, target)
            for name, target in self._content.items()
        ]

    def losses(self, image: tf.Tensor) -> tf.Tensor:
        """The weighted terms in the order of `terms`, (len(terms),), of (1, H, W, 3)."""
        features = self._network.features(image)
        content = self._content_losses(features)
        grams = self._network.grams(features)
        style = [
            style_loss([grams[name]], [target], [weight])
            for (name, target), weight in zip(
                self._style.items(), self._layer_weights, strict=True
            )
        ]
        variation = self._tv_weight * total_variation(image)
        sums = [tf.add_n(content), tf.add_n(style), variation]
        return tf.stack([tf.add_n(sums), *sums, *content, *style])

    def losses_and_gradient(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`losses`, and the gradient of the total, (1, H, W, 3)."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(image)
            losses = self.losses(image)
            total = losses[0]
        return losses, tape.gradient(total, image)
