"""What sequence operations share: axis order, masks and the checks of their arguments.

Callers see batch-first tensors (N, T, ·). Inside, time leads, so that the slice of one
step is contiguous.
"""

import tensorflow as tf

from kerasdl.ops.compilation import in_xla
from kerasdl.ops.time_loop import in_buffers


def swap_batch_and_time(sequence):
    """Swaps the two leading axes, (N, T, ·) <-> (T, N, ·)."""
    return tf.transpose(sequence, (1, 0, 2))


def step_count(x):
    """Returns T of x (N, T, D): an integer where it is known, else a scalar tensor."""
    return tf.shape(x)[1] if x.shape[1] is None else x.shape[1]


def step_count_of(x):
    """Returns the same of x (T, N, D)."""
    return tf.shape(x)[0] if x.shape[0] is None else x.shape[0]


def states_before(initial, states):
    """Returns h_0 ... h_{T-1} (T, N, H), from h_0 (N, H) and h_1 ... h_T (T, N, H)."""
    return tf.concat([initial[tf.newaxis], states[:-1]], axis=0)


def state_before(initial, states, t):
    """Returns row t of `states_before`, without forming the others."""
    return tf.where(tf.equal(t, 0), initial, states[tf.maximum(t - 1, 0)])


def sum_of_rows(gradients):
    """Returns Σ_t Σ_n of gradients (T, N, ·), the gradient of a bias (·)."""
    if in_xla():
        return tf.reduce_sum(gradients, axis=[0, 1])
    # A tenth of the time of `tf.reduce_sum` over one axis after the other.
    rows = tf.reshape(gradients, (-1, gradients.shape[-1]))
    return tf.raw_ops.BiasAddGrad(out_backprop=rows)


def select_rows(chosen, rows, others):
    """Returns the rows of one tensor where `chosen`, of another elsewhere.

    Args:
        chosen: bool (..., 1), or None for all rows.
        rows: (..., H), for instance states that a step has changed.
        others: of the same shape.
    """
    if chosen is None:
        return rows
    if in_xla() or in_buffers():
        return tf.where(chosen, rows, others)
    # `tf.where` would broadcast `chosen` element by element: up to nine times as long.
    selected = tf.raw_ops.Select(
        condition=tf.reshape(chosen, [-1]),
        x=tf.reshape(rows, (-1, rows.shape[-1])),
        y=tf.reshape(others, (-1, others.shape[-1])),
    )
    return tf.ensure_shape(tf.reshape(selected, tf.shape(rows)), rows.shape)


def time_major_mask(mask):
    """Returns mask (N, T) as bool (T, N, 1); None stays None."""
    if mask is None:
        return None
    return tf.expand_dims(tf.transpose(tf.cast(mask, tf.bool)), axis=-1)


def outputs_from_states(states, mask, zero_output_for_mask=False):
    """Turns the states h_1 ... h_T into the outputs y_1 ... y_T.

    Without a mask they are equal. A masked step repeats the output before it; before the
    first true step of a sample there is none to repeat, and the output is zero (whereas
    the state is h_0).

    Args:
        states: (N, T, H).
        mask: (N, T) or None.
        zero_output_for_mask: make the output of every masked step zero.

    Returns:
        The outputs (N, T, H).
    """
    if mask is None:
        return states
    counts = tf.cast(mask, tf.bool)
    if not zero_output_for_mask:
        counts = tf.cumsum(tf.cast(counts, tf.int32), axis=1) > 0
    return select_rows(tf.expand_dims(counts, axis=-1), states, tf.zeros_like(states))


def last_output_from_state(state, mask, zero_output_for_mask=False):
    """Turns h_T (N, H) into the last output y_T (N, H), as `outputs_from_states` does."""
    if mask is None:
        return state
    counts = tf.cast(mask, tf.bool)
    counts = counts[:, -1] if zero_output_for_mask else tf.reduce_any(counts, axis=1)
    return select_rows(tf.expand_dims(counts, axis=-1), state, tf.zeros_like(state))


def to_tensors(x, **others):
    """Converts arguments to tensors of x's type, None staying None.

    Returns:
        A list, x first, then the others in the order given.
    """
    x = tf.convert_to_tensor(x)
    return [x] + [
        None if value is None else tf.convert_to_tensor(value, dtype=x.dtype)
        for value in others.values()
    ]


def check_shape(argument, tensor, expected):
    """Checks the shape of an argument as far as it is known while tracing.

    Args:
        argument: its name, for the message.
        tensor: a tensor.
        expected: tuple with an integer for an axis that has to have that length, and a
            string, its symbol, for one that may have any.

    Raises:
        ValueError: naming the argument, the rule and the shape received.
    """
    wanted = [axis if isinstance(axis, int) else None for axis in expected]
    if not tensor.shape.is_compatible_with(wanted):
        symbols = ", ".join(str(axis) for axis in expected)
        raise ValueError(
            f"Received an invalid value for argument `{argument}`, expected a tensor of "
            f"shape ({symbols}), got one of shape {tuple(tensor.shape)}."
        )


def check_recompute(recompute, modes=(None, "sqrt", "all")):
    """Raises ValueError for a `recompute` that is none of `modes`."""
    if recompute not in modes:
        raise ValueError(
            "Received an invalid value for argument `recompute`, expected one of "
            f"{', '.join(map(repr, modes))}, got {recompute!r}."
        )


def check_unroll(unroll, steps):
    """Raises ValueError where `unroll` is asked for and the steps are not known."""
    if unroll and not isinstance(steps, int):
        raise ValueError(
            "Received an invalid value for argument `unroll`, expected False for x of "
            f"unknown length, got {unroll}."
        )
