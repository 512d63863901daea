"""The LSTM, one step and whole sequences, with its backward pass derived by hand.

    a_t = x_t W + h_{t-1} U + b,  split into the gates (i, f, c̃, o) in this order
    i_t, f_t, o_t = φ(a^i), φ(a^f), φ(a^o)        φ the recurrent activation (sigmoid)
    c̃_t = ψ(a^c)                                  ψ the activation (tanh)
    c_t = f_t ∗ c_{t-1} + i_t ∗ c̃_t
    h_t = o_t ∗ ψ(c_t)

W is `kernel` (D, 4H), U `recurrent_kernel` (H, 4H), b `bias` (4H), as in
`keras.layers.LSTM`. Reference: Hochreiter and Schmidhuber, Long Short-Term Memory, 1997,
with the forget gate of Gers et al., Learning to Forget, 2000. docs/derivations.md derives
every gradient, in the symbols used here; `kerasdl.ops.lstm_network` has the loops over
time, `kerasdl.ops.lstm_gates` what is pointwise.
"""

import tensorflow as tf

from kerasdl.ops.custom_gradients import with_backward
from kerasdl.ops.gate_products import (
    gate_product,
    gate_product_input_gradient,
    gate_product_kernel_gradient,
)
from kerasdl.ops.lstm_gates import advance, gate_gradient, local_derivatives, make_gates
from kerasdl.ops.lstm_network import LSTMNetwork
from kerasdl.ops.recurrence import Plan, gradient_norms, run_sequence
from kerasdl.ops.sequences import (
    check_recompute,
    check_shape,
    check_unroll,
    outputs_from_states,
    step_count,
    to_tensors,
)


def lstm_step(
    x,
    h,
    c,
    kernel,
    recurrent_kernel,
    bias=None,
    *,
    activation="tanh",
    recurrent_activation="sigmoid",
    dropout_mask=None,
    recurrent_dropout_mask=None,
):
    """Runs one step of an LSTM.

    Args:
        x: (N, D), the input of the step.
        h: (N, H), the hidden state before it.
        c: (N, H), the cell state before it.
        kernel: (D, 4H).
        recurrent_kernel: (H, 4H).
        bias: (4H,) or None for no bias.
        activation: name of ψ, one of `kerasdl.ops.activations.ACTIVATIONS`.
        recurrent_activation: name of φ, likewise.
        dropout_mask: factors for x, (N, D) or one for each gate (4, N, D).
        recurrent_dropout_mask: factors for h, (N, H) or one for each gate (4, N, H).

    Returns:
        (h, c) after the step, (N, H) each. Gradients flow from both to x, h, c, kernel,
        recurrent_kernel and bias, each gradient of the shape of its argument; none flows
        to the dropout masks.

    Raises:
        ValueError: an unknown activation, or an argument of the wrong shape.
    """
    x, h, c, kernel, recurrent_kernel, bias, dropout_mask, recurrent_dropout_mask = (
        to_tensors(
            x,
            h=h,
            c=c,
            kernel=kernel,
            recurrent_kernel=recurrent_kernel,
            bias=bias,
            dropout_mask=dropout_mask,
            recurrent_dropout_mask=recurrent_dropout_mask,
        )
    )
    check_shape("x", x, ("N", "D"))
    _check_weights(x, kernel, recurrent_kernel, bias)
    _check_states(recurrent_kernel, h=h, c=c)
    gates = make_gates(activation, recurrent_activation, recurrent_kernel)

    def forward(x, h, c, kernel, recurrent_kernel, *bias):
        z = gate_product(x, gates.scaled(kernel), dropout_mask)
        z += gate_product(h, gates.scaled(recurrent_kernel), recurrent_dropout_mask)
        if bias:
            z = tf.nn.bias_add(z, gates.scaled(bias[0]))
        values = gates.values(z)  # (N, 4H)
        new_h, new_c, squashed_c = advance(gates, values, c)
        return [new_h, new_c], (values, squashed_c)

    def backward(inputs, saved, gradients):
        x, h, c, kernel, recurrent_kernel, *bias = inputs
        values, squashed_c = saved
        delta, d_c = gradients
        factors, from_h, f = local_derivatives(gates, values, c, squashed_c)
        gamma = d_c + delta * from_h
        a = gate_gradient(delta, gamma, factors)  # (N, 4H)
        result = [
            gate_product_input_gradient(a, kernel, dropout_mask),
            gate_product_input_gradient(a, recurrent_kernel, recurrent_dropout_mask),
            gamma * f,
            gate_product_kernel_gradient(a, x, dropout_mask),
            gate_product_kernel_gradient(a, h, recurrent_dropout_mask),
        ]
        return result + [tf.reduce_sum(a, axis=0)] * len(bias)

    arguments = [x, h, c, kernel, recurrent_kernel]
    if bias is not None:
        arguments.append(bias)
    new_h, new_c = with_backward(forward, backward)(*arguments)
    return new_h, new_c


def lstm(
    x,
    h0,
    c0,
    kernel,
    recurrent_kernel,
    bias=None,
    mask=None,
    *,
    activation="tanh",
    recurrent_activation="sigmoid",
    return_sequences=True,
    zero_output_for_mask=False,
    dropout_mask=None,
    recurrent_dropout_mask=None,
    unroll=False,
    recompute=None,
):
    """Runs an LSTM over a batch of sequences.

    Args:
        x: (N, T, D), the inputs.
        h0: (N, H), the hidden state before the first step; None for zero, which saves
            the first step's recurrent product where T is known and c0 is None too.
        c0: (N, H), the cell state before the first step; None for zero.
        kernel: (D, 4H).
        recurrent_kernel: (H, 4H).
        bias: (4H,) or None for no bias.
        mask: (N, T), true where a step counts, or None. A masked step changes neither
            state and repeats the output before it (zero before the first true step).
        activation: name of ψ, one of `kerasdl.ops.activations.ACTIVATIONS`.
        recurrent_activation: name of φ, likewise.
        return_sequences: whether the sequence of outputs is wanted.
        zero_output_for_mask: make the output of masked steps zero.
        dropout_mask: factors for x_t, the same at every step, (N, D) or one for each
            gate (4, N, D).
        recurrent_dropout_mask: factors for h_{t-1}, likewise, (N, H) or (4, N, H).
        unroll: write the steps out instead of a loop; T must be known.
        recompute: None to keep what the backward pass needs. "sqrt" to keep the states
            of about every √T-th step, and have the backward pass run the forward pass
            again between them: memory O(√T) for about a third more time. "all" to keep
            nothing and have it run all of it again (for inference, where a backward pass
            is possible but not expected).

    Returns:
        (sequence (N, T, H) or None, h_T (N, H), c_T (N, H)). Gradients flow from each of
        them to x, h0, c0, kernel, recurrent_kernel and bias, each gradient of the shape
        of its argument; none flows to the masks.

    Raises:
        ValueError: an unknown activation or `recompute`, an argument of the wrong shape,
            or `unroll` with an unknown number of steps.
    """
    x, h0, c0, kernel, recurrent_kernel, bias = to_tensors(
        x, h0=h0, c0=c0, kernel=kernel, recurrent_kernel=recurrent_kernel, bias=bias
    )
    check_shape("x", x, ("N", "T", "D"))
    _check_weights(x, kernel, recurrent_kernel, bias)
    _check_states(recurrent_kernel, h0=h0, c0=c0)
    check_recompute(recompute)
    steps = step_count(x)
    check_unroll(unroll, steps)
    if mask is not None:
        mask = tf.convert_to_tensor(mask)
        check_shape("mask", mask, ("N", "T"))
    network = LSTMNetwork(activation, recurrent_activation)
    network.gates(recurrent_kernel)  # an unknown activation is named before all else
    weights = [kernel, recurrent_kernel] + ([] if bias is None else [bias])
    *sequence, h, c = run_sequence(
        Plan(network, return_sequences, unroll, recompute),
        x,
        [h0, c0],
        weights,
        mask,
        (dropout_mask, recurrent_dropout_mask),
    )
    if not return_sequences:
        return None, h, c
    return outputs_from_states(sequence[0], mask, zero_output_for_mask), h, c


def lstm_gradient_norms(
    x,
    h0,
    c0,
    kernel,
    recurrent_kernel,
    bias=None,
    mask=None,
    *,
    d_sequence,
    activation="tanh",
    recurrent_activation="sigmoid",
):
    """Returns how much gradient reaches the states at every step.

    Args:
        x, h0, c0, kernel, recurrent_kernel, bias, mask, activation,
        recurrent_activation: as in `lstm`.
        d_sequence: ∂L/∂h_t (N, T, H), what reaches each h_t from outside.

    Returns:
        (‖δ_t‖, ‖γ_t‖), Euclidean norms for each sample and step, (N, T) each. δ_t and
        γ_t are the whole gradients that reach h_t and c_t; docs/derivations.md.

    Raises:
        ValueError: an unknown activation, or an argument of the wrong shape.
    """
    x, h0, c0, kernel, recurrent_kernel, bias, d_sequence = to_tensors(
        x,
        h0=h0,
        c0=c0,
        kernel=kernel,
        recurrent_kernel=recurrent_kernel,
        bias=bias,
        d_sequence=d_sequence,
    )
    check_shape("x", x, ("N", "T", "D"))
    _check_weights(x, kernel, recurrent_kernel, bias)
    _check_states(recurrent_kernel, h0=h0, c0=c0)
    check_shape("d_sequence", d_sequence, ("N", "T", recurrent_kernel.shape[0]))
    network = LSTMNetwork(activation, recurrent_activation)
    network.gates(recurrent_kernel)
    weights = [kernel, recurrent_kernel] + ([] if bias is None else [bias])
    return tuple(gradient_norms(network, x, [h0, c0], weights, d_sequence, mask))


def _check_weights(x, kernel, recurrent_kernel, bias):
    check_shape("recurrent_kernel", recurrent_kernel, ("H", "4H"))
    units = recurrent_kernel.shape[0]
    check_shape("recurrent_kernel", recurrent_kernel, (units, 4 * units))
    check_shape("kernel", kernel, (x.shape[-1] or "D", 4 * units))
    if bias is not None:
        check_shape("bias", bias, (4 * units,))


def _check_states(recurrent_kernel, **states):
    for argument, state in states.items():
        if state is not None:
            check_shape(argument, state, ("N", recurrent_kernel.shape[0]))
