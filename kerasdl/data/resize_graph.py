"""Pillow's bilinear resize in TensorFlow operations, bit for bit.

TensorFlow's own antialiased resize rounds once, where Pillow rounds after each of its
two passes: a sixth of the pixels of a photograph come out one grey level off, and one
caption in ten changes. So this is Pillow's arithmetic (src/libImaging/Resample.c): rows
first, then columns, weights as whole multiples of 2⁻²², a rounding to uint8 after each
pass. The products and sums stay below 2⁵³, so float64 holds them exactly.
"""

import tensorflow as tf

# Pillow's PRECISION_BITS for 8-bit pixels.
_ONE = 2.0**22
# Rows resized at once: bounds the memory of the float64 copy.
_BLOCK = 256


def resize_exactly(image: tf.Tensor, box: tf.Tensor, size: int) -> tf.Tensor:
    """What Pillow's `resize((size, size), BILINEAR, box=box)` gives.

    Args:
        image: uint8 (H, W, C), C known.
        box: float64 (4,): left, top, right, bottom of the part that is shown, in pixels.
        size: Side of the result, in pixels.

    Returns:
        uint8 (size, size, C).
    """
    shape = tf.shape(image)
    channels = image.shape[2]
    box = tf.cast(box, tf.float32)  # as Pillow takes it
    across = _weights(shape[1], box[0], box[2], size)  # (size, W)
    down = _weights(shape[0], box[1], box[3], size)  # (size, H)

    padding = -shape[0] % _BLOCK
    blocks = tf.reshape(
        tf.pad(image, [[0, padding], [0, 0], [0, 0]]), [-1, _BLOCK, shape[1], channels]
    )

    def narrow(block):
        columns = tf.transpose(block, [1, 0, 2])  # (W, _BLOCK, C)
        narrowed = _average(across, tf.reshape(columns, [-1, _BLOCK * channels]))
        return tf.reshape(narrowed, [size, _BLOCK, channels])

    narrowed = tf.map_fn(
        narrow,
        blocks,
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec((size, _BLOCK, channels), tf.uint8),
    )  # (blocks, size, _BLOCK, C)
    rows = tf.reshape(tf.transpose(narrowed, [0, 2, 1, 3]), [-1, size * channels])
    return tf.reshape(_average(down, rows[: shape[0]]), [size, size, channels])


def _weights(length, start, end, size) -> tf.SparseTensor:
    """Pillow's `precompute_coeffs`: float64 (size, length), whole multiples of 2⁻²²."""
    scale = tf.cast(end - start, tf.float64) / size
    # The triangle is one source pixel wide on each side, wider where pixels are lost.
    support = tf.maximum(scale, 1.0)
    centre = tf.cast(start, tf.float64) + (tf.range(size, dtype=tf.float64) + 0.5) * scale
    first = tf.maximum(tf.cast(centre - support + 0.5, tf.int32), 0)
    last = tf.minimum(tf.cast(centre + support + 0.5, tf.int32), length)
    taps = tf.range(tf.reduce_max(last - first))
    column = first[:, tf.newaxis] + taps  # (size, K)
    distance = tf.cast(column, tf.float64) - centre[:, tf.newaxis] + 0.5
    weight = tf.maximum(1.0 - tf.abs(distance / support), 0.0)
    weight = tf.where(column < last[:, tf.newaxis], weight, 0.0)
    weight /= tf.reduce_sum(weight, axis=1, keepdims=True)
    row = tf.broadcast_to(tf.range(size)[:, tf.newaxis], tf.shape(column))
    # Past the end the weight is 0, whichever column it is given.
    indices = tf.stack([row, tf.minimum(column, length - 1)], axis=-1)
    return tf.SparseTensor(
        tf.cast(tf.reshape(indices, [-1, 2]), tf.int64),
        tf.reshape(tf.floor(weight * _ONE + 0.5), [-1]),
        tf.cast(tf.stack([size, length]), tf.int64),
    )


def _average(weights: tf.SparseTensor, pixels: tf.Tensor) -> tf.Tensor:
    """uint8 (size, M) from uint8 (length, M)."""
    total = tf.sparse.sparse_dense_matmul(weights, tf.cast(pixels, tf.float64))
    rounded = tf.floor(total / _ONE + 0.5)
    return tf.cast(tf.clip_by_value(rounded, 0.0, 255.0), tf.uint8)
