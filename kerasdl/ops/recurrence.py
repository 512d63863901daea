"""What all recurrent networks share: how a sequence is run and differentiated.

A network is a hashable object with the two sweeps over time that are its equations:

    forward(x, states, weights, counts, dropout, keep, sequence, unroll,
            from_zero=False)
        -> (states after the last step, saved): `saved` starts with the sequence of
        hidden states (T, N, H) where `keep` or `sequence` is true, and is all that
        `backward` needs where `keep` is.
    backward(x, states, weights, counts, dropout, saved, d_sequence, d_states, unroll,
             norms=False, from_zero=False)
        -> (d_x (T, N, D), d_states, d_weights, norms): the last a list of (T, N) with
        the norms of what reaches each state at every step, empty unless asked for.

Inside, time leads. `states` is [h] or [h, c], each (N, H); `weights` [kernel, recurrent
kernel] or those and the bias; `counts` None or bool (T, N, 1); `dropout` the factors for
inputs and states, None or (N, ·) or (gates, N, ·) each; `d_sequence` None, (T, N, H) or a
function t -> (N, H). `from_zero` says that T is known, that the states before the first
step are zero and that nobody asks for their gradient (`d_states` is then not it): that
step has no recurrent product, forward or backward.
"""

import functools
from typing import Any, NamedTuple

import tensorflow as tf

from kerasdl.ops.compilation import (
    compiled,
    compiles,
    in_xla,
    part_lengths,
    split_point,
)
from kerasdl.ops.custom_gradients import with_backward
from kerasdl.ops.segments import backward_in_segments, forward_in_segments
from kerasdl.ops.sequences import step_count, swap_batch_and_time, time_major_mask


class Plan(NamedTuple):
    """How a sequence is run, apart from its tensors.

    Attributes:
        network: the network; see the module.
        return_sequences: whether the sequence of hidden states is an output.
        unroll: write the steps out instead of a loop.
        recompute: None, "sqrt" or "all"; see `kerasdl.ops.lstm`.
        from_zero: as for the network; see the module.
    """

    network: Any
    return_sequences: bool
    unroll: bool
    recompute: str | None
    from_zero: bool = False


def run_sequence(plan, x, states, weights, mask=None, dropout=(None, None)):
    """Runs a network over a batch of sequences, with its hand-derived gradient.

    Args:
        plan: a `Plan`.
        x: (N, T, D).
        states: list of (N, H), the states before the first step; None in the place of
            any for zero.
        weights: list of the network's weights.
        mask: (N, T) or None.
        dropout: factors for x_t and for h_{t-1}, constants.

    Returns:
        [sequence (N, T, H) where the plan asks for it, *states after the last step].
    """
    dropout = [
        None if factors is None else tf.convert_to_tensor(factors, dtype=x.dtype)
        for factors in dropout
    ]
    batch, steps = x.shape[0], step_count(x)
    units = weights[1].shape[0]
    plan = plan._replace(
        from_zero=all(state is None for state in states)
        and (isinstance(steps, int) and steps > 0)
        and plan.recompute != "sqrt"  # its segments are all alike
    )
    states = _given(states, x, units)
    on_its_own = compiles(steps, plan.unroll)
    half = split_point(x, units, on_its_own, plan.unroll)
    if half is not None:
        sizes = [half, (tf.shape(x)[0] if batch is None else batch) - half]
        parts = functools.partial(_split, sizes=sizes)
        halves = [
            _run_parts(plan, on_its_own, x, states, weights, mask, dropout)
            for x, states, mask, dropout in zip(
                parts(x),
                zip(*map(parts, states), strict=True),
                parts(mask),
                zip(*(parts(factors, axis=-2) for factors in dropout), strict=True),
                strict=True,
            )
        ]
        outputs = [tf.concat(pair, axis=0) for pair in zip(*halves, strict=True)]
    else:
        outputs = _run_parts(plan, on_its_own, x, states, weights, mask, dropout)
    if plan.return_sequences:
        outputs[0].set_shape([batch, x.shape[1], units])
    return outputs


def _given(states, x, units):
    """The states, with zeros in the place of None."""
    batch = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
    zeros = tf.zeros((batch, units), x.dtype)
    return [zeros if state is None else state for state in states]


def _run_parts(plan, on_its_own, x, states, weights, mask, dropout):
    """`_run` on one part of the steps after another, each from the last one's states."""
    lengths = part_lengths(step_count(x), on_its_own)
    # "sqrt" frees as it goes already; "all" is what inference runs, which keeps nothing.
    if len(lengths) == 1 or plan.recompute is not None:
        return _run(plan, on_its_own, x, states, weights, mask, dropout)
    sequences = []
    # Two parts of a length share a compilation.
    plan = plan._replace(from_zero=False)
    for x_part, mask_part in zip(
        *(_split(tensor, lengths, 1) for tensor in (x, mask)), strict=True
    ):
        outputs = _run(plan, on_its_own, x_part, states, weights, mask_part, dropout)
        states = outputs[plan.return_sequences :]
        sequences += outputs[: plan.return_sequences]
    return [tf.concat(sequences, axis=1), *states] if sequences else list(states)


def _split(tensor, sizes, axis=0):
    """The parts of a tensor; as many times None of None."""
    # The gradient of `tf.split` is one concatenation, that of slices pads each.
    return [None] * len(sizes) if tensor is None else tf.split(tensor, sizes, axis)


def _run(plan, on_its_own, x, states, weights, mask, dropout):
    def unpacked(inputs):
        inputs = list(inputs)
        return inputs[0], inputs[1 : 1 + len(states)], inputs[1 + len(states) :]

    def passes(plan, on_its_own):
        prepared = compiled if on_its_own else functools.partial
        run_forward, run_backward = prepared(_forward, plan), prepared(_backward, plan)

        def forward(*inputs):
            outputs, saved = run_forward(*unpacked(inputs), mask, dropout)
            # The hidden states are an output already: keeping that takes no memory.
            return outputs, outputs[:1] + saved if _keeps_its_output(plan) else saved

        def backward(inputs, saved, gradients):
            return run_backward(*unpacked(inputs), mask, dropout, saved, gradients)

        return forward, backward

    # XLA does not compile the derivative of a loop that stacks what it emits.
    written_out = plan.unroll or (in_xla() and isinstance(step_count(x), int))
    second_plan = plan._replace(unroll=written_out, recompute=None, from_zero=False)
    second_order = passes(second_plan, False)
    run = with_backward(*passes(plan, on_its_own), second_order)
    return run(x, *states, *weights)


def _keeps_its_output(plan):
    return plan.return_sequences and plan.recompute is None


def _forward(plan, x, states, weights, mask, dropout):
    x, counts = swap_batch_and_time(x), time_major_mask(mask)
    options = {"sequence": plan.return_sequences, "unroll": plan.unroll}
    if plan.recompute == "sqrt":
        states, sequence, saved = forward_in_segments(
            plan.network, x, states, weights, counts, dropout, **options
        )
    else:
        options["from_zero"] = plan.from_zero
        keep = plan.recompute is None
        states, saved = plan.network.forward(
            x, states, weights, counts, dropout, keep=keep, **options
        )
        sequence = saved[:1]
        if not keep:
            saved = []
        elif _keeps_its_output(plan):
            saved = saved[1:]
    outputs = list(states)
    if plan.return_sequences:
        outputs.insert(0, swap_batch_and_time(sequence[0]))
    return outputs, saved


def _backward(plan, x, states, weights, mask, dropout, saved, gradients):
    counts = time_major_mask(mask)
    d_sequence = None
    if plan.return_sequences:
        d_outputs, *gradients = gradients
        if in_xla() and plan.recompute != "sqrt":
            # Compiled, a step reads its rows where they lie: a copy of the array less.
            def d_sequence(t):
                return d_outputs[:, t]

        else:
            d_sequence = swap_batch_and_time(d_outputs)
    options = {"unroll": plan.unroll}
    if plan.recompute == "sqrt":
        d_x, d_states, d_weights = backward_in_segments(
            plan.network,
            swap_batch_and_time(x),
            weights,
            counts,
            dropout,
            saved,
            d_sequence,
            gradients,
            **options,
        )
    else:
        options["from_zero"] = plan.from_zero
        x = swap_batch_and_time(x)
        if _keeps_its_output(plan):
            saved = [swap_batch_and_time(saved[0]), *saved[1:]]
        elif not saved:
            _, saved = plan.network.forward(
                x, states, weights, counts, dropout, keep=True, sequence=False, **options
            )
        d_x, d_states, d_weights, _ = plan.network.backward(
            x,
            states,
            weights,
            counts,
            dropout,
            saved,
            d_sequence,
            gradients,
            **options,
        )
    return [swap_batch_and_time(d_x), *d_states, *d_weights]


def gradient_norms(network, x, states, weights, d_sequence, mask=None):
    """Returns the norms of what reaches each state at every step, (N, T) each.

    Args:
        network: the network; see the module.
        x: (N, T, D).
        states: list of (N, H); None in the place of any for zero.
        weights: list of the network's weights.
        d_sequence: ∂L/∂h_t at every step, from outside, (N, T, H).
        mask: (N, T) or None.
    """
    states = _given(states, x, weights[1].shape[0])
    x, counts = swap_batch_and_time(x), time_major_mask(mask)
    arguments = (x, states, weights, counts, (None, None))
    options = {"unroll": False}
    _, saved = network.forward(*arguments, keep=True, sequence=False, **options)
    *_, norms = network.backward(
        *arguments,
        saved,
        swap_batch_and_time(d_sequence),
        [tf.zeros_like(state) for state in states],
        norms=True,
        **options,
    )
    return [tf.transpose(norm) for norm in norms]
