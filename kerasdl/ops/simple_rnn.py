"""The vanilla recurrent network, one step and whole sequences, with its backward pass
derived by hand.

    h_t = φ(x_t W + h_{t-1} U + b)

W is `kernel` (D, H), U `recurrent_kernel` (H, H), b `bias` (H), φ `activation` (tanh), as
in `keras.layers.SimpleRNN`. Reference: Elman, Finding Structure in Time, 1990. The
derivation of every gradient is in docs/derivations.md, whose symbols are the names used
here.
"""

from typing import NamedTuple

import tensorflow as tf

from kerasdl.ops.activations import get_activation
from kerasdl.ops.compilation import in_xla
from kerasdl.ops.custom_gradients import with_backward
from kerasdl.ops.gate_products import (
    gate_product,
    gate_product_input_gradient,
    gate_product_kernel_gradient,
    recurrent_kernel_gradient,
    recurrent_product_gradient,
)
from kerasdl.ops.recurrence import Plan, gradient_norms, run_sequence
from kerasdl.ops.sequences import (
    check_recompute,
    check_shape,
    check_unroll,
    outputs_from_states,
    select_rows,
    step_count,
    step_count_of,
    sum_of_rows,
    to_tensors,
)
from kerasdl.ops.time_loop import time_loop


def simple_rnn_step(
    x,
    h,
    kernel,
    recurrent_kernel,
    bias=None,
    *,
    activation="tanh",
    dropout_mask=None,
    recurrent_dropout_mask=None,
):
    """Runs one step of a vanilla recurrent network.

    Args:
        x: (N, D), the input of the step.
        h: (N, H), the state before it.
        kernel: (D, H).
        recurrent_kernel: (H, H).
        bias: (H,) or None for no bias.
        activation: name of φ, one of `kerasdl.ops.activations.ACTIVATIONS`.
        dropout_mask: factors for x, (N, D).
        recurrent_dropout_mask: factors for h, (N, H).

    Returns:
        h after the step, (N, H). Gradients flow to x, h, kernel, recurrent_kernel and
        bias, each of the shape of its argument; none flows to the dropout masks.

    Raises:
        ValueError: an unknown activation, or an argument of the wrong shape.
    """
    x, h, kernel, recurrent_kernel, bias, dropout_mask, recurrent_dropout_mask = (
        to_tensors(
            x,
            h=h,
            kernel=kernel,
            recurrent_kernel=recurrent_kernel,
            bias=bias,
            dropout_mask=dropout_mask,
            recurrent_dropout_mask=recurrent_dropout_mask,
        )
    )
    check_shape("x", x, ("N", "D"))
    _check_shapes(x, kernel, recurrent_kernel, bias, h=h)
    phi = get_activation(activation)

    def forward(x, h, kernel, recurrent_kernel, *bias):
        a = gate_product(x, kernel, dropout_mask)
        a += gate_product(h, recurrent_kernel, recurrent_dropout_mask)
        if bias:
            a = tf.nn.bias_add(a, bias[0])
        new_h = phi.function(a)
        return [new_h], new_h

    def backward(inputs, new_h, gradients):
        x, h, kernel, recurrent_kernel, *bias = inputs
        z = gradients[0] * phi.slope(new_h)
        result = [
            gate_product_input_gradient(z, kernel, dropout_mask),
            gate_product_input_gradient(z, recurrent_kernel, recurrent_dropout_mask),
            gate_product_kernel_gradient(z, x, dropout_mask),
            gate_product_kernel_gradient(z, h, recurrent_dropout_mask),
        ]
        return result + [tf.reduce_sum(z, axis=0)] * len(bias)

    arguments = [x, h, kernel, recurrent_kernel]
    if bias is not None:
        arguments.append(bias)
    return with_backward(forward, backward)(*arguments)[0]


def simple_rnn(
    x,
    h0,
    kernel,
    recurrent_kernel,
    bias=None,
    mask=None,
    *,
    activation="tanh",
    return_sequences=True,
    zero_output_for_mask=False,
    dropout_mask=None,
    recurrent_dropout_mask=None,
    unroll=False,
    recompute=None,
):
    """Runs a vanilla recurrent network over a batch of sequences.

    Args:
        x: (N, T, D), the inputs.
        h0: (N, H), the state before the first step; None for zero, which saves the first
            step's recurrent product where T is known.
        kernel: (D, H).
        recurrent_kernel: (H, H).
        bias: (H,) or None for no bias.
        mask: (N, T), true where a step counts, or None. A masked step leaves the state
            alone and repeats the output before it (zero before the first true step).
        activation: name of φ, one of `kerasdl.ops.activations.ACTIVATIONS`.
        return_sequences: whether the sequence of outputs is wanted.
        zero_output_for_mask: make the output of masked steps zero.
        dropout_mask: factors for x_t, the same at every step, (N, D).
        recurrent_dropout_mask: factors for h_{t-1}, likewise, (N, H).
        unroll: write the steps out instead of a loop; T must be known.
        recompute: None to keep what the backward pass needs. "sqrt" to keep the state of
            about every √T-th step, and have the backward pass run the forward pass again
            between them: memory O(√T) for about a third more time. "all" to keep nothing
            and have it run all of it again (for inference, where a backward pass is
            possible but not expected).

    Returns:
        (sequence (N, T, H) or None, h_T (N, H)). Gradients flow from both to x, h0,
        kernel, recurrent_kernel and bias, each gradient of the shape of its argument;
        none flows to the masks.

    Raises:
        ValueError: an unknown activation or `recompute`, an argument of the wrong shape,
            or `unroll` with an unknown number of steps.
    """
    x, h0, kernel, recurrent_kernel, bias = to_tensors(
        x, h0=h0, kernel=kernel, recurrent_kernel=recurrent_kernel, bias=bias
    )
    check_shape("x", x, ("N", "T", "D"))
    _check_shapes(x, kernel, recurrent_kernel, bias, h0=h0)
    check_recompute(recompute)
    steps = step_count(x)
    check_unroll(unroll, steps)
    if mask is not None:
        mask = tf.convert_to_tensor(mask)
        check_shape("mask", mask, ("N", "T"))
    network = SimpleRNNNetwork(get_activation(activation).name)
    weights = [kernel, recurrent_kernel] + ([] if bias is None else [bias])
    *sequence, h = run_sequence(
        Plan(network, return_sequences, unroll, recompute),
        x,
        [h0],
        weights,
        mask,
        (dropout_mask, recurrent_dropout_mask),
    )
    if not return_sequences:
        return None, h
    return outputs_from_states(sequence[0], mask, zero_output_for_mask), h


def simple_rnn_gradient_norms(
    x,
    h0,
    kernel,
    recurrent_kernel,
    bias=None,
    mask=None,
    *,
    d_sequence,
    activation="tanh",
):
    """Returns how much gradient reaches the state at every step.

    Args:
        x, h0, kernel, recurrent_kernel, bias, mask, activation: as in `simple_rnn`.
        d_sequence: ∂L/∂h_t (N, T, H), what reaches each h_t from outside.

    Returns:
        (‖δ_t‖,), the Euclidean norm for each sample and step, (N, T). δ_t is the whole
        gradient that reaches h_t; docs/derivations.md.

    Raises:
        ValueError: an unknown activation, or an argument of the wrong shape.
    """
    x, h0, kernel, recurrent_kernel, bias, d_sequence = to_tensors(
        x,
        h0=h0,
        kernel=kernel,
        recurrent_kernel=recurrent_kernel,
        bias=bias,
        d_sequence=d_sequence,
    )
    check_shape("x", x, ("N", "T", "D"))
    _check_shapes(x, kernel, recurrent_kernel, bias, h0=h0)
    check_shape("d_sequence", d_sequence, ("N", "T", recurrent_kernel.shape[0]))
    network = SimpleRNNNetwork(get_activation(activation).name)
    weights = [kernel, recurrent_kernel] + ([] if bias is None else [bias])
    return tuple(gradient_norms(network, x, [h0], weights, d_sequence, mask))


class SimpleRNNNetwork(NamedTuple):
    """The two sweeps of the network; see `kerasdl.ops.recurrence` for their arguments.

    Attributes:
        activation: name of φ.
    """

    activation: str

    def forward(
        self,
        x,
        states,
        weights,
        counts,
        dropout,
        keep,
        sequence,
        unroll,
        from_zero=False,
    ):
        """Runs forward. `saved` is [h (T, N, H)]."""
        kernel, recurrent_kernel, *bias = weights
        phi = get_activation(self.activation)
        a = gate_product(x, kernel, dropout[0])  # (T, N, H)
        # XLA adds the bias in passing inside the loop; without it that is an operation
        # more in each step.
        fused = in_xla()
        if bias and not fused:
            a = tf.nn.bias_add(a, bias.pop())

        def step(carry, slices, at_start=False):
            (h,) = carry
            a = slices[0]
            if not at_start:
                a += gate_product(h, recurrent_kernel, dropout[1])
            new_h = phi.function(a + bias[0] if bias else a)
            new_h = select_rows(None if counts is None else slices[1], new_h, h)
            return [new_h], [new_h] if keep or sequence else []

        row = states[0].shape[0] or x.shape[1]
        emitted = [tf.TensorSpec((row, recurrent_kernel.shape[0]), x.dtype)]
        return time_loop(
            step,
            states,
            [a] if counts is None else [a, counts],
            emitted if keep or sequence else [],
            step_count_of(x),
            unroll=unroll,
            overwrite=fused and (keep or sequence),
            start_apart=from_zero,
        )

    def backward(
        self,
        x,
        states,
        weights,
        counts,
        dropout,
        saved,
        d_sequence,
        d_states,
        unroll,
        norms=False,
        from_zero=False,
    ):
        """Runs backward; the norms are those of δ."""
        kernel, recurrent_kernel, *bias = weights
        (h,) = saved
        slopes = get_activation(self.activation).slope(h)
        to_h = recurrent_product_gradient(recurrent_kernel, x.shape[1], dropout[1])
        nothing = tf.zeros_like(states[0])

        def step(carry, slices, at_start=False):
            (delta,) = carry
            slope, *rest = slices
            if d_sequence is not None:
                delta += rest[0]
            z = delta * slope
            # A masked step hands on what it receives.
            counted = None if counts is None else rest[-1]
            previous = delta if at_start else select_rows(counted, to_h(z), delta)
            z = select_rows(counted, z, nothing)
            return [previous], [z] + ([tf.norm(delta, axis=-1)] if norms else [])

        elements = [slopes]
        if d_sequence is not None:
            elements.append(d_sequence)
        if counts is not None:
            elements.append(counts)
        row = tf.TensorSpec(x.shape[1:2], x.dtype)
        d_states, (z, *measured) = time_loop(
            step,
            d_states,
            elements,
            [tf.TensorSpec(slopes.shape[1:], x.dtype)] + [row] * norms,
            step_count_of(x),
            reverse=True,
            unroll=unroll,
            overwrite=in_xla(),
            start_apart=from_zero,
        )
        d_weights = [
            gate_product_kernel_gradient(z, x, dropout[0]),
            recurrent_kernel_gradient(z, states[0], h, dropout[1], from_zero),
        ]
        if bias:
            d_weights.append(sum_of_rows(z))
        d_x = gate_product_input_gradient(z, kernel, dropout[0])
        return d_x, d_states, d_weights, measured


def _check_shapes(x, kernel, recurrent_kernel, bias, **states):
    check_shape("recurrent_kernel", recurrent_kernel, ("H", "H"))
    units = recurrent_kernel.shape[0]
    check_shape("recurrent_kernel", recurrent_kernel, (units, units))
    check_shape("kernel", kernel, (x.shape[-1] or "D", units))
    if bias is not None:
        check_shape("bias", bias, (units,))
    for argument, state in states.items():
        if state is not None:
            check_shape(argument, state, ("N", units))
