"""The losses of style transfer as pure functions of tensors.

Source: Gatys, Ecker and Bethge, 2016, Image Style Transfer Using Convolutional Neural
Networks, equations 1 to 5; total variation as Mahendran and Vedaldi, 2015, equation 3
with beta = 2. Differences from Gatys et al.: the Gram matrix is divided by C·H·W, and
sums are not halved or divided further.

The Gram matrix and total variation carry their gradients: TensorFlow's own take two
matrix products although one does, and fill an array of the size of the picture with zeros
for each of four slices.
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


def gram_matrix(features: tf.Tensor, size: tf.Tensor | float | None = None) -> tf.Tensor:
    """G_ij = Σ_k F_ki F_kj / (C·H·W), k over the H·W places.

    Args:
        features: (N, H, W, C).
        size: Divides instead of C·H·W: that of the whole map if `features` are a part
            of it (the Gram matrices of the parts then add up to the map's), or C Σ_k m_k
            if they were multiplied by √m_k, a weight of each place.

    Returns:
        (N, C, C), symmetric, positive semi-definite. With D the gradient that reaches
        G, ∂F = F (D + Dᵀ) / (C·H·W), (N, H, W, C).
    """

    @tf.custom_gradient
    def gram(features):
        shape = tf.shape(features)
        flat = tf.reshape(features, (shape[0], -1, features.shape[-1]))  # (N, H·W, C)
        divisor = shape[1] * shape[2] * shape[3] if size is None else size
        divisor = tf.cast(divisor, features.dtype)

        def gradient(upstream):
            both = (upstream + tf.linalg.matrix_transpose(upstream)) / divisor
            return tf.reshape(tf.matmul(flat, both), shape)

        return tf.matmul(flat, flat, transpose_a=True) / divisor, gradient

    return gram(tf.convert_to_tensor(features))


def style_loss(
    grams: Sequence[tf.Tensor],
    targets: Sequence[tf.Tensor],
    weights: Sequence[tf.Tensor | float],
) -> tf.Tensor:
    """Σ_l Σ w_l Σ (G_l − A_l)², the inner sum over each matrix.

    Args:
        grams: G_l of each layer, (..., C_l, C_l): of pictures, or regions of them.
        targets: A_l, (..., C_l, C_l), whose leading axes broadcast with those of G_l.
        weights: w_l, scalars, or one for each matrix, (...).

    Returns:
        A scalar.
    """
    losses = []
    for gram, target, weight in zip(grams, targets, weights, strict=True):
        squares = tf.math.squared_difference(gram, target)
        losses.append(tf.reduce_sum(weight * tf.reduce_sum(squares, (-2, -1))))
    return tf.add_n(losses)


def total_variation(images: tf.Tensor) -> tf.Tensor:
    """Σ (x_{i+1,j} − x_{i,j})² + Σ (x_{i,j+1} − x_{i,j})² over the channels.

    Args:
        images: (N, H, W, 3).

    Returns:
        A scalar. A difference d of two neighbours adds 2 d to the gradient of the later
        one and takes it from that of the earlier.
    """

    @tf.custom_gradient
    def variation(images):
        down = images[:, 1:] - images[:, :-1]
        right = images[:, :, 1:] - images[:, :, :-1]

        def gradient(upstream):
            later = tf.pad(down, [(0, 0), (1, 0), (0, 0), (0, 0)])
            later += tf.pad(right, [(0, 0), (0, 0), (1, 0), (0, 0)])
            earlier = tf.pad(down, [(0, 0), (0, 1), (0, 0), (0, 0)])
            earlier += tf.pad(right, [(0, 0), (0, 0), (0, 1), (0, 0)])
            return 2 * upstream * (later - earlier)

        # 2 · l2_loss is one pass over the array, squares and sums.
        return 2 * (tf.nn.l2_loss(down) + tf.nn.l2_loss(right)), gradient

    return variation(tf.convert_to_tensor(images))
