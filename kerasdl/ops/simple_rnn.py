"""The vanilla recurrent network, one step and whole sequences, with its backward pass
derived by hand.

    h_t = φ(x_t W + h_{t-1} U + b)

W is `kernel` (D, H), U `recurrent_kernel` (H, H), b `bias` (H), φ `activation` (tanh), as
in `keras.layers.SimpleRNN`. Reference: Elman, Finding Structure in Time, 1990. The
derivation of every gradient is in docs/derivations.md, whose symbols are the names used
here.
"""

import tensorflow as tf

from kerasdl.ops.activations import get_activation
from kerasdl.ops.custom_gradients import with_backward
from kerasdl.ops.gate_products import (
    gate_product,
    gate_product_input_gradient,
    gate_product_kernel_gradient,
)
from kerasdl.ops.sequences import (
    check_recompute,
    check_shape,
    check_unroll,
    outputs_from_states,
    step_count,
    swap_batch_and_time,
    time_major_mask,
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
    x, h, kernel, recurrent_kernel, bias = to_tensors(
        x, h=h, kernel=kernel, recurrent_kernel=recurrent_kernel, bias=bias
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
        h0: (N, H), the state before the first step.
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
        recompute: None to keep what the backward pass needs; "all" to keep nothing and
            have the backward pass run the forward pass again (for inference, where a
            backward pass is possible but not expected).

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
    phi = get_activation(activation)
    units = recurrent_kernel.shape[0]
    counts = time_major_mask(mask)

    def run(keep, x, h0, kernel, recurrent_kernel, *bias):
        x = swap_batch_and_time(x)
        a = gate_product(x, kernel, dropout_mask)  # (T, N, H)
        if bias:
            a = tf.nn.bias_add(a, bias[0])

        def step(carry, slices):
            (h,) = carry
            product = gate_product(h, recurrent_kernel, recurrent_dropout_mask)
            new_h = phi.function(slices[0] + product)
            if counts is not None:
                new_h = tf.where(slices[1], new_h, h)
            return [new_h], [new_h] if keep or return_sequences else []

        emitted = tf.TensorSpec((h0.shape[0] or x.shape[1], units), x.dtype)
        (h,), stacks = time_loop(
            step,
            [h0],
            [a] if counts is None else [a, counts],
            [emitted] if keep or return_sequences else [],
            steps,
            unroll=unroll,
        )
        outputs = [swap_batch_and_time(stacks[0]), h] if return_sequences else [h]
        return outputs, (x, *stacks)

    def forward(*inputs):
        outputs, saved = run(recompute is None, *inputs)
        return outputs, saved if recompute is None else None

    def backward(inputs, saved, gradients):
        x, h0, kernel, recurrent_kernel, *bias = inputs
        if saved is None:
            _, saved = run(True, *inputs)
        x, h = saved
        *d_sequence, d_h = gradients
        slopes = phi.slope(h)
        if counts is not None:
            slopes = tf.where(counts, slopes, tf.zeros_like(slopes))

        def step(carry, slices):
            (delta,) = carry
            slope, *rest = slices
            if d_sequence:
                delta += rest[0]
            z = delta * slope
            previous = gate_product_input_gradient(
                z, recurrent_kernel, recurrent_dropout_mask
            )
            if counts is not None:
                previous = tf.where(rest[-1], previous, delta)
            return [previous], [z]

        elements = [slopes, *map(swap_batch_and_time, d_sequence)]
        if counts is not None:
            elements.append(counts)
        (d_h0,), (z,) = time_loop(
            step,
            [d_h],
            elements,
            [tf.TensorSpec(slopes.shape[1:], slopes.dtype)],
            steps,
            reverse=True,
            unroll=unroll,
        )
        d_recurrent = gate_product_kernel_gradient(
            z[:1], h0[tf.newaxis], recurrent_dropout_mask
        ) + gate_product_kernel_gradient(z[1:], h[:-1], recurrent_dropout_mask)
        result = [
            swap_batch_and_time(gate_product_input_gradient(z, kernel, dropout_mask)),
            d_h0,
            gate_product_kernel_gradient(z, x, dropout_mask),
            d_recurrent,
        ]
        return result + [tf.reduce_sum(z, axis=(0, 1))] * len(bias)

    arguments = [x, h0, kernel, recurrent_kernel]
    if bias is not None:
        arguments.append(bias)
    *sequence, h = with_backward(forward, backward)(*arguments)
    if not return_sequences:
        return None, h
    sequence[0].set_shape([x.shape[0], x.shape[1], units])
    return outputs_from_states(sequence[0], mask, zero_output_for_mask), h


def _check_shapes(x, kernel, recurrent_kernel, bias, **states):
    check_shape("recurrent_kernel", recurrent_kernel, ("H", "H"))
    units = recurrent_kernel.shape[0]
    check_shape("recurrent_kernel", recurrent_kernel, (units, units))
    check_shape("kernel", kernel, (x.shape[-1] or "D", units))
    if bias is not None:
        check_shape("bias", bias, (units,))
    for argument, state in states.items():
        check_shape(argument, state, ("N", units))
