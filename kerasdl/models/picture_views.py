"""Several views of one picture: its mirror image, and parts of it."""

from __future__ import annotations

import tensorflow as tf


def view_of(images, view: int):
    """One of several views of pictures, (..., H, W, 3) to (..., h, w, 3).

    0 is the whole picture, 1 its mirror image; then come seven eighths of each side, cut
    from the middle and from each corner in turn, every second one mirrored.

    Args:
        images: An array or tensor whose height and width are known.
        view: Which view, from 0 on; from 12 on they repeat.
    """
    if view >= 2:
        height, width = images.shape[-3:-1]
        down, right = ((4, 4), (0, 0), (0, 8), (8, 0), (8, 8))[(view - 2) // 2 % 5]
        top, left = height * down // 64, width * right // 64
        bottom, end = top + -(-height * 7 // 8), left + -(-width * 7 // 8)
        images = images[..., top:bottom, left:end, :]
    if view % 2 == 0:
        return images
    return images[..., ::-1, :] if not tf.is_tensor(images) else tf.reverse(images, [-2])


def views_of(images: tf.Tensor, count: int) -> tf.Tensor:
    """The first `count` views of each picture, all of the pictures' own size.

    Args:
        images: float32 (N, S, S, 3).
        count: V.

    Returns:
        float32 (V·N, S, S, 3): the first view of all pictures, then the second, and so
        on. Parts are enlarged bilinearly.
    """
    if count == 1:
        return images
    size = images.shape[1:3]
    views = [view_of(images, view) for view in range(count)]
    views = [v if v.shape[1:3] == size else tf.image.resize(v, size) for v in views]
    return tf.concat(views, axis=0)
