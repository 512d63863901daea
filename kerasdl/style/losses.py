"""The losses of style transfer as pure functions of tensors.

Source: Gatys, Ecker and Bethge, 2016, Image Style Transfer Using Convolutional Neural
Networks, equations 1 to 5; total variation as Mahendran and Vedaldi, 2015, equation 3
with beta = 2. Differences from Gatys et al.: the Gram matrix is divided by C·H·W, and
sums are not halved or divided further.
"""

from collections.abc import Sequence

import tensorflow as tf


def content_loss(features: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Σ (F − P)².

    Args:
        features: F, (N, H, W, C).
        target: P, (N, H, W, C).

    Returns:
        A scalar. Its gradient at F is 2 (F − P), (N, H, W, C).
    """
    return tf.reduce_sum(tf.math.squared_difference(features, target))


def gram_matrix(features: tf.Tensor) -> tf.Tensor:
    """G_ij = Σ_k F_ki F_kj / (C·H·W), k over the H·W places.

    Args:
        features: (N, H, W, C).

    Returns:
        (N, C, C), symmetric, positive semi-definite.
    """
    shape = tf.shape(features)
    batch, channels = features.shape[0] or shape[0], features.shape[-1]
    places = _static(features.shape[1], shape[1]) * _static(features.shape[2], shape[2])
    flat = tf.reshape(features, (batch, places, channels))  # (N, H·W, C)
    size = tf.cast(places * channels, features.dtype)
    return tf.matmul(flat, flat, transpose_a=True) / size


def style_loss(
    grams: Sequence[tf.Tensor], targets: Sequence[tf.Tensor], weights: Sequence[float]
) -> tf.Tensor:
    """Σ_l w_l Σ (G_l − A_l)².

    Args:
        grams: G_l of each layer, (N, C_l, C_l).
        targets: A_l, (N, C_l, C_l) or (1, C_l, C_l).
        weights: w_l.

    Returns:
        A scalar.
    """
    return tf.add_n(
        [
            weight * content_loss(gram, target)
            for gram, target, weight in zip(grams, targets, weights, strict=True)
        ]
    )


def total_variation(images: tf.Tensor) -> tf.Tensor:
    """Σ (x_{i+1,j} − x_{i,j})² + Σ (x_{i,j+1} − x_{i,j})² over the channels.

    Args:
        images: (N, H, W, 3).

    Returns:
        A scalar.
    """
    down = tf.math.squared_difference(images[:, 1:], images[:, :-1])
    right = tf.math.squared_difference(images[:, :, 1:], images[:, :, :-1])
    return tf.reduce_sum(down) + tf.reduce_sum(right)


def _static(known: int | None, at_run_time: tf.Tensor) -> int | tf.Tensor:
    return at_run_time if known is None else known
