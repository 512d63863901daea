"""How a recurrent network runs over a sequence, and how that is differentiated.

Here the two sweeps of `kerasdl.ops.sweeps` become one differentiable function
(`run_sequence`), in the form that `recompute` asks for: the activations of all steps are
kept for the backward pass, or those of about √T steps at a time, or none.
"""

import functools
import math
from typing import NamedTuple

import tensorflow as tf

from kerasdl.ops import execution
from kerasdl.ops.checks import check_recompute, check_unroll
from kerasdl.ops.cudnn import cudnn_passes, right_padded
from kerasdl.ops.gradients import with_backward
from kerasdl.ops.scan import scan
from kerasdl.ops.sequences import outputs_from_states, swap_batch_and_time
from kerasdl.ops.sweeps import Cell, backward_sweep, forward_sweep
from kerasdl.tensorflow_private import has_tangent


class Plan(NamedTuple):
    """How a sequence is run, apart from its tensors.

    Attributes:
        cell: a `Cell`.
        return_sequences: whether the sequence of hidden states is an output.
        unroll: write the steps out instead of a loop.
        recompute: None, "sqrt" or "all"; see `run_sequence`.
    """

    cell: Cell
    return_sequences: bool
    unroll: bool
    recompute: str | None

    @property
    def keeps_its_output(self):
        """Whether the outputs hold the hidden states that the backward pass needs."""
        return self.return_sequences and self.recompute is None


@tf.autograph.experimental.do_not_convert
def run_sequence(
    cell,
    inputs,
    *,
    return_sequences=True,
    zero_output_for_mask=False,
    unroll=False,
    recompute=None,
    use_cudnn="auto",
):
    """Runs a network over a batch of sequences, with its hand-derived gradient.

    Args:
        cell: a `Cell`.
        inputs: `Inputs`, batch first; None in the place of a state is zero.
        return_sequences: whether the sequence of outputs is wanted.
        zero_output_for_mask: make the output of masked steps zero.
        unroll: write the steps out instead of a loop; T must be known.
        recompute: None to keep what the backward pass needs. "sqrt" to keep the states
            of about every √T-th step, and have the backward pass run the forward pass
            again between them: memory O(√T) for about a third more time. "all" to keep
            nothing and have it run all of it again (for inference, in which a backward
            pass is possible but not expected).
        use_cudnn: "auto" for cuDNN's kernels if `kerasdl.ops.execution.cudnn_mode`
            finds that they can run; True to insist on them; False for none.

    Returns:
        (sequence of outputs (N, T, H) or None, *states after the last step).

    Raises:
        ValueError: an unknown `recompute`, `unroll` with an unknown number of steps, or
            `use_cudnn=True` for what it cannot run.
    """
    check_recompute(recompute)
    check_unroll(unroll, inputs.x)
    inputs = inputs.with_all_states()
    plan = Plan(cell, return_sequences, unroll, recompute)

    def ours(inputs):
        return execution.in_pieces(
            functools.partial(_run, plan),
            inputs,
            unroll,
            # "sqrt" frees as it goes already; "all" is what inference runs, which keeps
            # nothing.
            whole_time=recompute is not None,
        )

    mode = execution.cudnn_mode(plan, inputs) if use_cudnn else None
    if use_cudnn is True and mode is None:
        raise ValueError(  # in Keras's words
            "use_cudnn=True was specified, but cuDNN is not supported for this layer "
            "configuration with this backend. Pass use_cudnn='auto' to fallback to a "
            "non-cuDNN implementation."
        )
    theirs = functools.partial(_run_cudnn, mode, plan)
    if mode is None or inputs.mask is None:
        sequence, states = (ours if mode is None else theirs)(inputs)
    else:
        sequence, states = tf.cond(
            right_padded(inputs.mask),
            lambda: theirs(inputs.copied()),
            lambda: ours(inputs.copied()),
        )
    if not return_sequences:
        return None, *states
    sequence[0].set_shape([*inputs.x.shape[:2], states[0].shape[1]])
    return outputs_from_states(sequence[0], inputs.mask, zero_output_for_mask), *states


def _run(plan, inputs, compiled):
    """Returns [sequence (N, T, H)] or [], and the list of the last states."""
    return _joint(plan, inputs, _passes(plan, inputs, compiled))


def _run_cudnn(mode, plan, inputs):
    """Returns the same; the factors for x_t are multiplied into x beforehand."""
    on_x, _ = inputs.dropout
    if on_x is not None:
        x = inputs.x * on_x[:, tf.newaxis]
        inputs = inputs._replace(x=x, dropout=(None, None))
    return _joint(plan, inputs, cudnn_passes(mode, inputs, plan.return_sequences))


def _joint(plan, inputs, passes):
    tensors = [inputs.x, *inputs.states, *inputs.weights]
    # TensorFlow differentiates no loop that stacks what it emits in XLA or forward mode.
    no_loop = execution.fused() or (has_tangent(tensors) and not tf.executing_eagerly())
    written_out = plan.unroll or (no_loop and inputs.x.shape[1] is not None)
    plain = plan._replace(unroll=written_out, recompute=None)
    equations = _passes(plain, inputs, compiled=False)
    outputs = with_backward(*passes, equations)(*tensors)
    count = int(plan.return_sequences)
    return outputs[:count], outputs[count:]


def _passes(plan, inputs, compiled):
    """Returns the forward and the backward pass for `with_backward`."""
    prepare = execution.compiled_pass if compiled else functools.partial
    forward_pass, backward_pass = prepare(_forward, plan), prepare(_backward, plan)

    def with_tensors(tensors):
        x, *rest = tensors
        count = len(inputs.states)
        return inputs._replace(x=x, states=rest[:count], weights=rest[count:])

    def forward(*tensors):
        outputs, saved = forward_pass(with_tensors(tensors))
        # The hidden states are an output already: keeping that takes no memory.
        return outputs, outputs[:1] + saved if plan.keeps_its_output else saved

    def backward(tensors, saved, gradients):
        return backward_pass(with_tensors(tensors), saved, gradients)

    return forward, backward


def _forward(plan, inputs):
    inputs = inputs.time_first()
    if plan.recompute == "sqrt":
        states, sequence, saved = _forward_in_segments(plan, inputs)
    else:
        keep = plan.recompute is None
        states, saved = forward_sweep(
            plan.cell, inputs, keep, plan.return_sequences, plan.unroll
        )
        sequence = saved[:1] if plan.return_sequences else []
        saved = saved[len(sequence) :] if keep else []
    return [*map(swap_batch_and_time, sequence), *states], saved


def _backward(plan, inputs, saved, gradients):
    d_sequence = None
    if plan.return_sequences:
        d_outputs, *gradients = gradients
        if execution.fused() and plan.recompute != "sqrt":
            # Compiled, a step reads its rows where they lie: a copy of the array less.
            def d_sequence(t):
                return d_outputs[:, t]

        else:
            d_sequence = swap_batch_and_time(d_outputs)
    inputs = inputs.time_first()
    if plan.recompute == "sqrt":
        d_x, d_states, d_weights = _backward_in_segments(
            plan, inputs, saved, d_sequence, gradients
        )
    else:
        if plan.keeps_its_output:
            saved = [swap_batch_and_time(saved[0]), *saved[1:]]
        elif not saved:
            _, saved = forward_sweep(plan.cell, inputs, True, False, plan.unroll)
        d_x, d_states, d_weights, _ = backward_sweep(
            plan.cell, inputs, saved, d_sequence, gradients, plan.unroll
        )
    return [swap_batch_and_time(d_x), *d_states, *d_weights]


# Training with less memory: the sequence in about √T segments of about √T steps ---------
#
# The forward pass keeps the states at the start of each segment alone. The backward pass
# goes through the segments from the last to the first, runs each one's forward pass again
# and then its backward pass, so that the activations of one segment exist at a time:
# memory O(√T) for one more forward pass of time. Reference: Chen et al., Training Deep
# Nets with Sublinear Memory Cost, 2016, on time instead of depth (as in Gruslys et al.,
# Memory-Efficient Backpropagation Through Time, 2016).


class _Segments:
    """A sequence (T, N, ·) cut into S segments of L steps, padded by masked steps."""

    def __init__(self, inputs):
        self._steps = inputs.steps
        if isinstance(self._steps, int):
            self._length = self.static_length = max(math.ceil(math.sqrt(self._steps)), 1)
        else:
            root = tf.math.ceil(tf.sqrt(tf.cast(self._steps, tf.float32)))
            self._length = tf.maximum(tf.cast(root, tf.int32), 1)
            self.static_length = None
        self.number = -(-self._steps // self._length)
        mask = inputs.mask
        if mask is None:
            mask = tf.ones(tf.concat([tf.shape(inputs.x)[:2], [1]], axis=0), tf.bool)
            mask.set_shape([*inputs.x.shape[:2], 1])
        self.elements = [self.cut(inputs.x), self.cut(mask)]

    def cut(self, sequence):
        """Returns (S, L, N, ·) of (T, N, ·)."""
        missing = self.number * self._length - self._steps
        padded = tf.pad(sequence, [[0, missing], [0, 0], [0, 0]])
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


def _forward_in_segments(plan, inputs):
    """Returns (last states, [sequence] or [], states at the start of each segment)."""
    segments = _Segments(inputs)
    count = len(inputs.states)

    def segment(states, slices):
        x, mask = slices
        part = inputs._replace(x=x, mask=mask, states=states)
        new_states, sequence = forward_sweep(
            plan.cell, part, False, plan.return_sequences, plan.unroll
        )
        return new_states, [*states, *sequence]

    units, dtype = inputs.weights[1].shape[0], inputs.x.dtype
    row = (inputs.x.shape[1], units)
    emitted = [tf.TensorSpec(row, dtype)] * count
    if plan.return_sequences:
        emitted.append(tf.TensorSpec((segments.static_length, *row), dtype))
    states, stacks = scan(
        segment, inputs.states, segments.elements, emitted, segments.number
    )
    return states, [segments.joined(s) for s in stacks[count:]], stacks[:count]


def _backward_in_segments(plan, inputs, starts, d_sequence, d_states):
    """Returns (d_x (T, N, D), d_states, d_weights)."""
    segments = _Segments(inputs)
    count = len(starts)

    def segment(carry, slices):
        d_states, d_weights = carry[:count], carry[count:]
        x, mask, *rest = slices
        part = inputs._replace(x=x, mask=mask, states=rest[:count])
        _, saved = forward_sweep(plan.cell, part, True, False, plan.unroll)
        d_x, d_states, more, _ = backward_sweep(
            plan.cell, part, saved, *rest[count:] or [None], d_states, plan.unroll
        )
        sums = [total + term for total, term in zip(d_weights, more, strict=True)]
        return [*d_states, *sums], [d_x]

    x = inputs.x
    carry, (d_x,) = scan(
        segment,
        [*d_states, *map(tf.zeros_like, inputs.weights)],
        [*segments.elements, *starts]
        + ([] if d_sequence is None else [segments.cut(d_sequence)]),
        [tf.TensorSpec((segments.static_length, *x.shape[1:]), x.dtype)],
        segments.number,
        reverse=True,
    )
    return segments.joined(d_x), carry[:count], carry[count:]
