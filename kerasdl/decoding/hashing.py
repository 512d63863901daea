"""A hash of 32-bit integers that every runtime computes alike.

TensorFlow's random generators and string hashes do not convert to TFLite. Products,
exclusive ors and shifts of integers do, and are exact everywhere. The mixer is that of
Wellons 2018, "lowbias32".
"""

import tensorflow as tf

_ROUNDS = ((16, 0x7FEB352D), (15, 0x846CA68B - (1 << 32)), (16, 1))


def mixed(x):
    """int32 tensor to int32 tensor of the same shape, one to one, as if at random."""
    for shift, factor in _ROUNDS:
        # The remainder drops the copies of the sign that a shift brings in.
        high = tf.math.floormod(tf.bitwise.right_shift(x, shift), 1 << (32 - shift))
        x = tf.bitwise.bitwise_xor(x, high) * factor
    return x


def uniform(shape, seed, t):
    """Numbers in (0, 1), a function of row, column, `seed` and `t` alone.

    Args:
        shape: (N, V).
        seed, t: int32 scalars.

    Returns:
        float32 (N, V).
    """
    key = mixed(tf.cast(seed, tf.int32) * 668265263 + t * 374761393 + 1)
    rows = mixed(tf.range(shape[0]) * 1274126177 + key)
    columns = tf.range(shape[1]) * 196314165
    x = mixed(tf.bitwise.bitwise_xor(rows[:, None], columns[None]))
    return (tf.cast(tf.math.floormod(x, 1 << 23), tf.float32) + 0.5) / (1 << 23)
