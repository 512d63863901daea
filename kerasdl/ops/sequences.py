"""Batches of sequences: order of axes, direction, and the meaning of masks."""

from typing import Any, NamedTuple

import tensorflow as tf

from kerasdl.ops import execution


class Inputs(NamedTuple):
    """All tensors that a recurrent network is run on.

    Callers see batch-first tensors (N, T, ·). In the loops time leads (T, N, ·), so that
    the slice of one step is contiguous.

    Attributes:
        x: (N, T, D), or (T, N, D) in the loops.
        states: the states before the first step, a list of (N, H): [h_0] or [h_0, c_0].
        weights: [kernel, recurrent kernel] or those and the bias.
        mask: bool (N, T), or (T, N, 1) in the loops, true where a step counts; or None.
        dropout: (factors for x_t, factors for h_{t-1}), the same at every step: (N, ·)
            or one for each gate (gates, N, ·), or None. Constants.
    """

    x: Any
    states: list
    weights: list
    mask: Any = None
    dropout: tuple = (None, None)

    def with_all_states(self):
        """Returns the same with zeros in the place of a state that is None."""
        batch = tf.shape(self.x)[0] if self.x.shape[0] is None else self.x.shape[0]
        zeros = tf.zeros((batch, self.weights[1].shape[0]), self.x.dtype)
        return self._replace(
            states=[zeros if state is None else state for state in self.states]
        )

    def copied(self):
        """Returns the same for a branch of `tf.cond`, whose gradient looks no further."""
        return tf.nest.map_structure(lambda t: t if t is None else tf.identity(t), self)

    def time_first(self):
        """Returns the same with time as the leading axis."""
        mask = self.mask
        if mask is not None:
            mask = tf.expand_dims(tf.transpose(mask), axis=-1)
        return self._replace(x=swap_batch_and_time(self.x), mask=mask)

    @property
    def steps(self):
        """T of x (T, N, D): an integer if it is known, else a scalar tensor."""
        return tf.shape(self.x)[0] if self.x.shape[0] is None else self.x.shape[0]

    def split_batch(self, sizes):
        """Returns one `Inputs` for each of the sizes of parts of the batch."""
        columns = zip(
            _split(self.x, sizes),
            zip(*(_split(state, sizes) for state in self.states), strict=True),
            _split(self.mask, sizes),
            zip(*(_split(factors, sizes, -2) for factors in self.dropout), strict=True),
            strict=True,
        )
        return [
            Inputs(x, list(states), self.weights, mask, dropout)
            for x, states, mask, dropout in columns
        ]

    def split_time(self, lengths):
        """Returns one `Inputs` for each of the lengths, with the states of the whole."""
        parts = (_split(self.x, lengths, 1), _split(self.mask, lengths, 1))
        return [self._replace(x=x, mask=mask) for x, mask in zip(*parts, strict=True)]


def _split(tensor, sizes, axis=0):
    if tensor is None:
        return [None] * len(sizes)
    if tensor.dtype == tf.bool:  # a GPU has no kernel that splits booleans
        parts = tf.split(tf.cast(tensor, tf.float32), sizes, axis)
        return [tf.cast(part, tf.bool) for part in parts]
    # The gradient of `tf.split` is one concatenation; slices would each be padded.
    return tf.split(tensor, sizes, axis)


def swap_batch_and_time(sequence):
    """Swaps the two leading axes, (N, T, ·) <-> (T, N, ·)."""
    return tf.transpose(sequence, (1, 0, 2))


def states_before(initial, states):
    """Returns h_0 ... h_{T-1} (T, N, H), from h_0 (N, H) and h_1 ... h_T (T, N, H)."""
    return tf.concat([initial[tf.newaxis], states[:-1]], axis=0)


def state_before(initial, states, t):
    """Returns row t of `states_before`, without forming the others."""
    return tf.where(tf.equal(t, 0), initial, states[tf.maximum(t - 1, 0)])


def rows_by_gate(stack, gates):
    """Returns a stack of all gates (T, N, gates·H) in the form in which `scan` reads it.

    In XLA that is a function t -> row t that slices each gate on its own. If several
    expressions read one slice at different offsets, XLA's code for CPUs forms it in each
    of them by a call that keeps the loop from being vectorised: the forward pass of a GRU
    took twice the time.
    """
    if not execution.fused():
        return stack
    size = [1, stack.shape[1] or tf.shape(stack)[1], stack.shape[2] // gates]

    def row(t):
        starts = range(0, stack.shape[2], size[2])
        slices = [tf.slice(stack, [t, 0, start], size)[0] for start in starts]
        return tf.concat(slices, axis=-1)  # XLA undoes it when the step splits the row

    return row


def select_rows(chosen, rows, others):
    """Returns the rows of one tensor where `chosen`, of another elsewhere.

    Args:
        chosen: bool (..., 1), or None for all rows.
        rows: (..., H), for instance states that a step has changed.
        others: of the same shape.
    """
    if chosen is None:
        return rows
    if execution.fused() or execution.in_buffers():
        return tf.where(chosen, rows, others)
    # `tf.where` would broadcast `chosen` element by element: up to nine times as long.
    selected = tf.raw_ops.Select(
        condition=tf.reshape(chosen, [-1]),
        x=tf.reshape(rows, (-1, rows.shape[-1])),
        y=tf.reshape(others, (-1, others.shape[-1])),
    )
    selected = tf.reshape(selected, tf.shape(rows))
    selected.set_shape(rows.shape)
    return selected


def outputs_from_states(states, mask, zero_output_for_mask=False):
    """Turns the states h_1 ... h_T into the outputs y_1 ... y_T.

    Without a mask they are equal. A masked step repeats the output before it; before the
    first true step of a sample there is none to repeat, and the output is zero (whereas
    the state is h_0).

    Args:
        states: (N, T, H).
        mask: bool (N, T) or None.
        zero_output_for_mask: make the output of every masked step zero.

    Returns:
        The outputs (N, T, H).
    """
    if mask is None:
        return states
    if not zero_output_for_mask:
        mask = tf.cumsum(tf.cast(mask, tf.int32), axis=1) > 0
    return select_rows(tf.expand_dims(mask, axis=-1), states, tf.zeros_like(states))


def last_output_from_state(state, mask, zero_output_for_mask=False):
    """Turns h_T (N, H) into the last output y_T (N, H), as `outputs_from_states` does."""
    if mask is None:
        return state
    counts = mask[:, -1] if zero_output_for_mask else tf.reduce_any(mask, axis=1)
    return select_rows(tf.expand_dims(counts, axis=-1), state, tf.zeros_like(state))
