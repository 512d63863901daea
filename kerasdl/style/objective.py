"""The style objective at one scale: targets computed once, then loss and gradient."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from kerasdl.style.losses import style_loss, total_variation
from kerasdl.style.network import Reading, StyleNetwork
from kerasdl.style.options import INITS, StyleOptions, numbers

# What a normalised term is divided by has a floor, or a content picture without a detail,
# and an initial picture that has the style already, would give one term all the weight.
# Photographs and paintings are well above: a style layer's loss is 0.07 to 1.7 times the
# energy of its target, features differ from flat ones by 0.9 of theirs, and the total
# variation is 0.3 a pixel.
LEAST_STYLE, LEAST_CONTENT, LEAST_VARIATION = 0.05, 0.03, 0.02

TERMS = ("loss/total", "loss/content", "loss/style", "loss/tv")


class StyleObjective:
    """The mean over N pictures of

        w_c Σ (F − P)² + Σ_l Σ_r s_r w_lr Σ (G_lr − A_lr)² + w_tv TV.

    Several styles are mixed, each has a region of the picture, or each picture has its
    own. Mixed: there is one region, the picture, and A_l is the weighted mean of the
    styles' Gram matrices; the gradient is that of the weighted mean of the losses, from
    which it differs by a constant. A region a style: G_lr is the Gram matrix of region r,
    with P_k = m_rk the share of style r at place k, Σ_k m_k F_ki F_kj / (C Σ_k m_k), and
    s_r the region's share of the picture (Gatys et al., 2017, Controlling Perceptual
    Factors in Neural Style Transfer, section 4). A style a picture: `losses` is told the
    shares s of the styles in each.

    Args:
        network: Computes the features.
        options: The weights of the terms.
        content: The content pictures, float32 (N, H, W, 3), normalised units. Normalised
            weights are relative to what their losses are before anything has happened.
        styles: The style pictures, each (1, H_s, W_s, 3).
        initial: What the optimisation starts from, if it is not `content`.
        masks: The share of each style at each pixel, float32 (1, H, W, styles).
        apart: Whether the styles are kept apart, one a picture; with `masks` they are.
        anchor: Of a video's frame, what it is held to, ω (1, H, W, 3), and how far, c
            (1, H, W, 1) in 0..1: adds w_t Σ c (x − ω)², divided as the content loss is
            by that of a flat picture.

    Attributes:
        terms: The names of what `losses` gives, in order.
        traceable: Whether `losses_and_gradient` is to be a part of one TensorFlow graph.
    """

    traceable = True

    def __init__(
        self,
        network: StyleNetwork,
        options: StyleOptions,
        content: tf.Tensor,
        styles: Sequence[tf.Tensor],
        initial: tf.Tensor | None = None,
        *,
        masks: tf.Tensor | None = None,
        apart: bool = False,
        anchor: tuple[tf.Tensor, tf.Tensor] | None = None,
    ) -> None:
        self.network = network
        self.terms = (
            *TERMS,
            *(f"loss/content/{name}" for name in network.content_layers),
            *(f"loss/style/{name}" for name in network.style_layers),
            *(("loss/temporal",) if anchor is not None else ()),
        )
        self._anchor = anchor
        self._temporal_weight = options.temporal_weight
        self._regions = network.regions(masks)
        reading = network.read(content, self._regions)
        self._content = reading.content
        shares = np.array(numbers("style_mix", options.style_mix, len(styles)))
        shares = shares / shares.sum()
        self._targets = _targets(network, styles, shares, masks is not None or apart)
        # (1, R): of each style in the picture.
        self._shares = np.ones((1, 1), np.float32)
        if apart or masks is not None:
            self._shares = np.float32(len(styles) * shares[np.newaxis])
        if masks is not None:
            self._shares = self._shares * tf.reduce_mean(masks, (1, 2)).numpy()
        raw = numbers("layer_weights", options.layer_weights, len(network.style_layers))
        self._style_weights = {
            name: np.float32(options.style_weight * weight)
            for name, weight in zip(network.style_layers, raw, strict=True)
        }
        self._content_weight = options.content_weight
        self._tv_weight = options.tv_weight
        if options.weighting == "normalised":
            # A picture of the caller's may have the style already: then the loss to be
            # lowered is the content's, and style losses are those at the content.
            is_own = options.init not in INITS
            start = reading
            if initial is not None and initial is not content and not is_own:
                start = network.read(initial, self._regions)
            self._normalise(content, reading, start.grams, sum(raw))
            if is_own and initial is not None:
                first = float(self.losses(initial)[1])
                self._content_weight /= max(
                    1.0, first / max(options.content_weight, 1e-12)
                )

    def _normalise(
        self,
        content: tf.Tensor,
        reading: Reading,
        grams: Mapping[str, tf.Tensor],
        total: float,
    ) -> None:
        count = len(content)
        pixels = float(np.prod(content.shape[:3]))
        mean = tf.reduce_mean(content, (1, 2), keepdims=True)
        around = float(tf.reduce_sum(tf.math.squared_difference(content, mean)))
        self._temporal_weight *= count / max(around, LEAST_VARIATION * pixels)
        flat, energy = self.network.flat_loss(reading)
        self._content_weight *= count / max(flat, LEAST_CONTENT * energy, 1e-12)
        variation = float(self._variation(content))
        self._tv_weight *= count / max(variation, LEAST_VARIATION * pixels)
        for name, target in self._targets.items():
            squares = tf.math.squared_difference(grams[name], target)
            start = tf.reduce_mean(tf.reduce_sum(squares, (-2, -1)), 0).numpy()  # (R,)
            floor = LEAST_STYLE * tf.reduce_sum(target**2, (0, -2, -1)).numpy()
            start = np.maximum(np.maximum(start, floor), 1e-12)
            self._style_weights[name] /= total * start

    def _variation(self, images: tf.Tensor) -> tf.Tensor:
        return total_variation(images)

    def _content_losses(
        self, features: Mapping[str, tf.Tensor], wanted: Mapping[str, tf.Tensor]
    ) -> list[tf.Tensor]:
        """The weighted content loss of each layer, summed over the pictures."""
        return [
            self._content_weight * self.network.content_loss(features, name, target)
            for name, target in wanted.items()
        ]

    def _style_losses(
        self, grams: Mapping[str, tf.Tensor], shares: tf.Tensor | None = None
    ) -> list[tf.Tensor]:
        """The weighted style loss of each layer, summed over the pictures."""
        shares = self._shares if shares is None else self._shares * shares
        return [
            style_loss([grams[name]], [target], [shares * self._style_weights[name]])
            for name, target in self._targets.items()
        ]

    def _temporal_losses(self, image: tf.Tensor) -> list[tf.Tensor]:
        """The weighted temporal loss, if there is an anchor."""
        if self._anchor is None:
            return []
        target, trust = self._anchor
        squares = trust * tf.math.squared_difference(image, target)
        return [self._temporal_weight * tf.reduce_sum(squares)]

    @staticmethod
    def _together(
        content: list[tf.Tensor],
        style: list[tf.Tensor],
        variation: tf.Tensor,
        temporal: Sequence[tf.Tensor] = (),
    ) -> tf.Tensor:
        """The losses in the order of `terms`."""
        sums = [tf.add_n(content), tf.add_n(style), variation]
        total = tf.add_n([*sums, *temporal])
        return tf.stack([total, *sums, *content, *style, *temporal])

    def losses(
        self,
        images: tf.Tensor,
        wanted: Mapping[str, tf.Tensor] | None = None,
        shares: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The weighted terms in the order of `terms`, (len(terms),).

        Args:
            images: (N, H, W, 3), normalised units.
            wanted: P_l of the content layers, if they are not those of `content`.
            shares: Of each style in each picture, (N, styles), if styles are kept apart.
        """
        features = self.network.features(images)
        content = self._content_losses(features, wanted or self._content)
        style = self._style_losses(self.network.grams(features, self._regions), shares)
        variation = self._tv_weight * self._variation(images)
        temporal = self._temporal_losses(images)
        losses = self._together(content, style, variation, temporal)
        count = images.shape[0]
        if count == 1:
            return losses
        return losses / tf.cast(tf.shape(images)[0], losses.dtype)

    def losses_and_gradient(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`losses`, and the gradient of the total, (1, H, W, 3)."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(image)
            losses = self.losses(image)
            total = losses[0]
        return losses, tape.gradient(total, image)


def _targets(
    network: StyleNetwork,
    styles: Sequence[tf.Tensor],
    shares: np.ndarray,
    apart: bool,
) -> dict[str, tf.Tensor]:
    """A_l, (1, R, C_l, C_l): of each style, or of the one that is their mixture."""
    grams = [network.read(style).grams for style in styles]
    targets = {}
    for name in network.style_layers:
        each = tf.concat([gram[name] for gram in grams], axis=1)  # (1, styles, C, C)
        if not apart:
            each = tf.einsum("s,nsij->nij", np.float32(shares), each)[:, tf.newaxis]
        targets[name] = each
    return targets
