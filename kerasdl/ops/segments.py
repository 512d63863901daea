"""Training with less memory: the sequence in about √T segments of about √T steps.

The forward pass keeps the states at the start of each segment alone. The backward pass
goes through the segments from the last to the first, runs each one's forward pass again
and then its backward pass, so that the activations of one segment exist at a time: memory
O(√T) for one more forward pass of time. Reference: Chen et al., Training Deep Nets with
Sublinear Memory Cost, 2016, on time instead of depth (as in Gruslys et al.,
Memory-Efficient Backpropagation Through Time, 2016).
"""

import math

import tensorflow as tf

from kerasdl.ops.time_loop import time_loop


def forward_in_segments(
    network, x, states, weights, counts, dropout, sequence, unroll=False
):
    """Runs the forward pass; arguments as in `kerasdl.ops.recurrence`.

    Returns:
        (states after the last step, [sequence (T, N, H)] or [], the states at the start
        of each segment, (S, N, H) each).
    """
    segments = _Segments(x, counts)

    def segment(carry, slices):
        x, counts = slices
        new_states, saved = network.forward(
            x, carry, weights, counts, dropout, False, sequence, unroll
        )
        return new_states, [*carry, *saved[:1]] if sequence else list(carry)

    like = [tf.TensorSpec((x.shape[1], s.shape[1]), s.dtype) for s in states]
    emitted = list(like)
    if sequence:
        emitted.append(
            tf.TensorSpec((segments.static_length, *like[0].shape), like[0].dtype)
        )
    states, stacks = time_loop(
        segment, states, [segments.x, segments.counts], emitted, segments.number
    )
    starts = stacks[: len(states)]
    return states, [segments.joined(stack) for stack in stacks[len(states) :]], starts


def backward_in_segments(
    network, x, weights, counts, dropout, starts, d_sequence, d_states, unroll=False
):
    """Runs the backward pass; arguments as in `kerasdl.ops.recurrence`.

    Returns:
        (d_x (T, N, D), d_states, d_weights).
    """
    segments = _Segments(x, counts)
    number = len(d_states)

    def segment(carry, slices):
        d_states, d_weights = carry[:number], carry[number:]
        x, counts, *rest = slices
        states = rest[:number]
        arguments = (x, states, weights, counts, dropout)
        _, saved = network.forward(*arguments, True, False, unroll)
        upstream = rest[number] if d_sequence is not None else None
        d_x, d_states, more, _ = network.backward(
            *arguments, saved, upstream, d_states, unroll=unroll
        )
        sums = [total + term for total, term in zip(d_weights, more, strict=True)]
        return [*d_states, *sums], [d_x]

    elements = [segments.x, segments.counts, *starts]
    if d_sequence is not None:
        elements.append(segments.cut(d_sequence))
    carry, (d_x,) = time_loop(
        segment,
        [*d_states, *map(tf.zeros_like, weights)],
        elements,
        [tf.TensorSpec((segments.static_length, *x.shape[1:]), x.dtype)],
        segments.number,
        reverse=True,
    )
    return segments.joined(d_x), carry[:number], carry[number:]


class _Segments:
    """A sequence (T, N, ·) cut into S segments of L steps, padded by masked steps."""

    def __init__(self, x, counts):
        self._steps = x.shape[0]
        if self._steps is None:
            self._steps = tf.shape(x)[0]
            root = tf.math.ceil(tf.sqrt(tf.cast(self._steps, tf.float32)))
            self._length = tf.maximum(tf.cast(root, tf.int32), 1)
            self.static_length = None
        else:
            self._length = self.static_length = max(math.ceil(math.sqrt(self._steps)), 1)
        self.number = -(-self._steps // self._length)
        self._missing = self.number * self._length - self._steps
        self.x = self.cut(x)
        if counts is None:
            counts = tf.ones(tf.concat([tf.shape(x)[:2], [1]], axis=0), tf.bool)
            counts.set_shape([*x.shape[:2], 1])
        self.counts = self.cut(counts)

    def cut(self, sequence):
        """Returns (S, L, N, ·) of (T, N, ·)."""
        padded = tf.pad(sequence, [[0, self._missing], [0, 0], [0, 0]])
        shape = tf.concat([[self.number, self._length], tf.shape(sequence)[1:]], axis=0)
        segments = tf.reshape(padded, shape)
        number = self.number if self.static_length else None
        segments.set_shape([number, self.static_length, *sequence.shape[1:]])
        return segments

    def joined(self, segments):
        """Returns (T, N, ·) of (S, L, N, ·)."""
        shape = tf.concat([[-1], tf.shape(segments)[2:]], axis=0)
        joined = tf.reshape(segments, shape)[: self._steps]
        joined.set_shape([None, *segments.shape[2:]])
        return joined
