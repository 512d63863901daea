"""Pillow's bilinear resize in TensorFlow operations, bit for bit.

TensorFlow's own antialiased resize rounds once, while Pillow rounds after each of its
two passes: a sixth of the pixels of a photograph come out one grey level off, and one
caption in ten changes. So this is Pillow's arithmetic (src/libImaging/Resample.c): one
side, then the other, weights as whole multiples of 2⁻²², a rounding to uint8 after each
pass. The weights of a pixel sum to 2²², so its sum of products fits into int32.
"""

import tensorflow as tf

# Pillow's PRECISION_BITS for 8-bit pixels.
_PRECISION_BITS = 22


def resize_exactly(image: tf.Tensor, box: tf.Tensor, size: int) -> tf.Tensor:
    """What `kerasdl.data.pictures.decoding.prepare_picture` gives for the same box.

    Args:
        image: uint8 (H, W, C), C known.
        box: float64 (4,): left, top, right, bottom of the part that is shown, in pixels.
        size: Side of the result, in pixels.

    Returns:
        uint8 (size, size, C).
    """
    left, top, right, bottom = tf.unstack(tf.cast(box, tf.float32))  # as Pillow takes it
    shape = tf.shape(image)
    is_tall = shape[0] > shape[1]

    def columns_first():
        narrowed = _resize_rows(image, top, bottom, size)  # (size, W, C)
        flipped = tf.transpose(narrowed, (1, 0, 2))  # (W, size, C)
        return tf.transpose(_resize_rows(flipped, left, right, size), (1, 0, 2))

    def rows_first():
        flipped = tf.transpose(image, (1, 0, 2))  # (W, H, C)
        narrowed = _resize_rows(flipped, left, right, size)  # (size, H, C)
        return _resize_rows(tf.transpose(narrowed, (1, 0, 2)), top, bottom, size)

    resized = tf.cond(is_tall, columns_first, rows_first)
    return tf.ensure_shape(resized, (size, size, image.shape[2]))


def _resize_rows(image, start, end, size) -> tf.Tensor:
    """One pass: uint8 (L, M, C) to (size, M, C), of the rows from `start` to `end`.

    The weights are Pillow's `precompute_coeffs`. Float64 where it has double, float32
    where it has float.
    """
    length = tf.shape(image)[0]
    scale = tf.cast(end - start, tf.float64) / size
    # The triangle is one source pixel wide on each side, wider where pixels are lost.
    support = tf.maximum(scale, 1.0)
    centre = tf.cast(start, tf.float64) + (tf.range(size, dtype=tf.float64) + 0.5) * scale
    first = tf.maximum(tf.cast(centre - support + 0.5, tf.int32), 0)  # (size,)
    last = tf.minimum(tf.cast(centre + support + 0.5, tf.int32), length)
    taps = tf.reduce_max(last - first)
    row = first[:, tf.newaxis] + tf.range(taps)  # (size, K)
    distance = tf.cast(row, tf.float64) - centre[:, tf.newaxis] + 0.5
    weight = tf.maximum(1.0 - tf.abs(distance / support), 0.0)
    weight = tf.where(row < last[:, tf.newaxis], weight, 0.0)
    weight /= tf.reduce_sum(weight, axis=1, keepdims=True)
    weight = tf.cast(weight * 2.0**_PRECISION_BITS + 0.5, tf.int32)
    row = tf.minimum(row, length - 1)  # past the end, where the weight is 0

    def add_tap(tap, total):
        pixels = tf.cast(tf.gather(image, row[:, tap]), tf.int32)  # (size, M, C)
        return tap + 1, total + pixels * weight[:, tap, tf.newaxis, tf.newaxis]

    half = tf.fill([size, tf.shape(image)[1], image.shape[2]], 1 << (_PRECISION_BITS - 1))
    _, total = tf.while_loop(lambda tap, _: tap < taps, add_tap, (0, half))
    levels = tf.bitwise.right_shift(total, _PRECISION_BITS)
    return tf.cast(tf.minimum(levels, 255), tf.uint8)
