"""Word embedding: a row of a table for each word."""

import tensorflow as tf

from kerasdl.ops.checks import check_shape


def word_embedding(ids, table):
    """Returns the rows of `table` that `ids` name.

    The gradient of row v of the table is the sum of the upstream gradients of all places
    where v occurs; TensorFlow gives it as `tf.IndexedSlices`, without the rows that no
    word names.

    Args:
        ids: integers (N, T) or (N,), in [0, V).
        table: (V, W).

    Returns:
        (N, T, W) or (N, W).

    Raises:
        ValueError: `ids` are not integers, or `table` is not a matrix.
        tf.errors.InvalidArgumentError: when run on a CPU, an id outside [0, V).
    """
    ids = tf.convert_to_tensor(ids)
    if not ids.dtype.is_integer:
        raise ValueError(
            "Received an invalid value for argument `ids`, expected integers, got "
            f"{ids.dtype.name}."
        )
    table = tf.convert_to_tensor(table)
    check_shape("table", table, ("V", "W"))
    return tf.gather(table, ids)
