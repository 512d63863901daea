"""The LSTM, one step and whole sequences, with its backward pass derived by hand.

    a_t = x_t W + h_{t-1} U + b,  split into the gates (i, f, c̃, o) in this order
    i_t, f_t, o_t = φ(a^i), φ(a^f), φ(a^o)        φ the recurrent activation (sigmoid)
    c̃_t = ψ(a^c)                                  ψ the activation (tanh)
    c_t = f_t ∗ c_{t-1} + i_t ∗ c̃_t
    h_t = o_t ∗ ψ(c_t)

W is `kernel` (D, 4H), U `recurrent_kernel` (H, 4H), b `bias` (4H), as in
`keras.layers.LSTM`. Reference: Hochreiter and Schmidhuber, Long Short-Term Memory, 1997,
with the forget gate of Gers et al., Learning to Forget, 2000. The derivation of every
gradient is in docs/derivations.md, whose symbols are the names used here.
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
    x, h, c, kernel, recurrent_kernel, bias = to_tensors(
        x, h=h, c=c, kernel=kernel, recurrent_kernel=recurrent_kernel, bias=bias
    )
    check_shape("x", x, ("N", "D"))
    _check_weights(x, kernel, recurrent_kernel, bias)
    _check_states(recurrent_kernel, h=h, c=c)
    gates = _gates(activation, recurrent_activation, recurrent_kernel)

    def forward(x, h, c, kernel, recurrent_kernel, *bias):
        z = gate_product(x, gates.scaled(kernel), dropout_mask)
        z += gate_product(h, gates.scaled(recurrent_kernel), recurrent_dropout_mask)
        if bias:
            z = tf.nn.bias_add(z, gates.scaled(bias[0]))
        values = gates.values(z)  # (N, 4H)
        new_h, new_c, squashed_c = _advance(gates, values, c)
        return [new_h, new_c], (values, squashed_c)

    def backward(inputs, saved, gradients):
        x, h, c, kernel, recurrent_kernel, *bias = inputs
        values, squashed_c = saved
        delta, d_c = gradients
        factors, from_h, f = _local_derivatives(gates, values, c, squashed_c)
        gamma = d_c + delta * from_h
        a = _gate_gradient(delta, gamma, factors)  # (N, 4H)
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
        h0: (N, H), the hidden state before the first step.
        c0: (N, H), the cell state before the first step.
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
        recompute: None to keep what the backward pass needs; "all" to keep nothing and
            have the backward pass run the forward pass again (for inference, where a
            backward pass is possible but not expected).

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
    gates = _gates(activation, recurrent_activation, recurrent_kernel)
    counts = time_major_mask(mask)

    def run(keep, x, h0, c0, kernel, recurrent_kernel, *bias):
        x = swap_batch_and_time(x)
        z = gate_product(x, gates.scaled(kernel), dropout_mask)  # (T, N, 4H)
        if bias:
            z = tf.nn.bias_add(z, gates.scaled(bias[0]))
        recurrent = gates.scaled(recurrent_kernel)

        def step(carry, slices):
            h, c = carry
            product = gate_product(h, recurrent, recurrent_dropout_mask)
            values = gates.values(slices[0] + product)
            new_h, new_c, squashed_c = _advance(gates, values, c)
            if counts is not None:
                new_h = tf.where(slices[1], new_h, h)
                new_c = tf.where(slices[1], new_c, c)
            emissions = [new_h] if keep or return_sequences else []
            if keep:
                emissions += [values, c, squashed_c]
            return [new_h, new_c], emissions

        row = h0.shape[0] or x.shape[1]
        narrow = tf.TensorSpec((row, gates.units), x.dtype)
        wide = tf.TensorSpec((row, 4 * gates.units), x.dtype)
        emitted = [narrow] if keep or return_sequences else []
        if keep:
            emitted += [wide, narrow, narrow]
        (h, c), stacks = time_loop(
            step,
            [h0, c0],
            [z] if counts is None else [z, counts],
            emitted,
            steps,
            unroll=unroll,
        )
        outputs = [h, c]
        if return_sequences:
            outputs.insert(0, swap_batch_and_time(stacks[0]))
        return outputs, (x, *stacks)

    def forward(*inputs):
        outputs, saved = run(recompute is None, *inputs)
        return outputs, saved if recompute is None else None

    def backward(inputs, saved, gradients):
        x, h0, _, kernel, recurrent_kernel, *bias = inputs
        if saved is None:
            _, saved = run(True, *inputs)
        x, h, values, previous_c, squashed_c = saved
        *d_sequence, d_h, d_c = gradients
        factors, from_h, f = _local_derivatives(gates, values, previous_c, squashed_c)
        if counts is not None:
            factors = tf.where(counts, factors, tf.zeros_like(factors))
            from_h = tf.where(counts, from_h, tf.zeros_like(from_h))
            f = tf.where(counts, f, tf.ones_like(f))

        def step(carry, slices):
            delta, gamma = carry
            factors, from_h, f, *rest = slices
            if d_sequence:
                delta += rest[0]
            gamma += delta * from_h
            a = _gate_gradient(delta, gamma, factors)
            previous_delta = gate_product_input_gradient(
                a, recurrent_kernel, recurrent_dropout_mask
            )
            if counts is not None:
                previous_delta = tf.where(rest[-1], previous_delta, delta)
            return [previous_delta, gamma * f], [a]

        elements = [factors, from_h, f]
        elements += [swap_batch_and_time(gradient) for gradient in d_sequence]
        if counts is not None:
            elements.append(counts)
        (d_h0, d_c0), (a,) = time_loop(
            step,
            [d_h, d_c],
            elements,
            [tf.TensorSpec((factors.shape[1], 4 * gates.units), factors.dtype)],
            steps,
            reverse=True,
            unroll=unroll,
        )
        d_recurrent = gate_product_kernel_gradient(
            a[:1], h0[tf.newaxis], recurrent_dropout_mask
        ) + gate_product_kernel_gradient(a[1:], h[:-1], recurrent_dropout_mask)
        d_x = gate_product_input_gradient(a, kernel, dropout_mask)
        result = [
            swap_batch_and_time(d_x),
            d_h0,
            d_c0,
            gate_product_kernel_gradient(a, x, dropout_mask),
            d_recurrent,
        ]
        return result + [tf.reduce_sum(a, axis=(0, 1))] * len(bias)

    arguments = [x, h0, c0, kernel, recurrent_kernel]
    if bias is not None:
        arguments.append(bias)
    *sequence, h, c = with_backward(forward, backward)(*arguments)
    if not return_sequences:
        return None, h, c
    sequence[0].set_shape([x.shape[0], x.shape[1], gates.units])
    return outputs_from_states(sequence[0], mask, zero_output_for_mask), h, c


def _advance(gates, values, c):
    """Returns h_t, c_t and ψ(c_t) from the gates' values (N, 4H) and c_{t-1}."""
    i, f, candidate, o = tf.split(values, 4, axis=-1)
    new_c = f * c + i * candidate
    squashed_c = gates.activation.function(new_c)
    return o * squashed_c, new_c, squashed_c


def _local_derivatives(gates, values, previous_c, squashed_c):
    """Returns the factors of the backward recursion that need no recurrence.

    For all steps at once: `factors` [c̃, c_{t-1}, i, ψ(c_t)] ∗ (derivative of each gate)
    (..., 4H); `from_h` o ∗ ψ'(c_t), what γ_t takes from δ_t; and f, what γ_{t-1} takes
    from γ_t.
    """
    i, f, candidate, o = tf.split(values, 4, axis=-1)
    partners = tf.concat([candidate, previous_c, i, squashed_c], axis=-1)
    return partners * gates.slopes(values), o * gates.activation.slope(squashed_c), f


def _gate_gradient(delta, gamma, factors):
    """Returns A_t = [a^i a^f a^c a^o] (N, 4H)."""
    return tf.concat([gamma, gamma, gamma, delta], axis=-1) * factors


class _TanhGates:
    """All four gates as one tanh, for ψ = tanh and φ = sigmoid.

    Since σ(a) = ½ tanh(½ a) + ½, with s = (½, ½, 1, ½) and m = (½, ½, 0, ½) over the
    gates the values are s ∗ tanh(s ∗ a) + m. The inner s is multiplied into the weights,
    which a power of two does without rounding. The slope is s² − (value − m)².
    """

    def __init__(self, units, dtype):
        ones = tf.ones(units, dtype)
        self.units = units
        self.activation = get_activation("tanh")
        self._scale = tf.concat([ones / 2, ones / 2, ones, ones / 2], axis=0)
        self._middle = tf.concat([ones / 2, ones / 2, 0 * ones, ones / 2], axis=0)

    def scaled(self, weights):
        return weights * self._scale

    def values(self, z):
        return self._scale * tf.tanh(z) + self._middle

    def slopes(self, values):
        return self._scale**2 - (values - self._middle) ** 2


class _SeparateGates:
    """Gates of any other pair of activations."""

    def __init__(self, units, activation, recurrent_activation):
        self.units = units
        self.activation = activation
        self._recurrent = recurrent_activation

    def scaled(self, weights):
        return weights

    def values(self, z):
        return self._each(z, self.activation.function, self._recurrent.function)

    def slopes(self, values):
        return self._each(values, self.activation.slope, self._recurrent.slope)

    def _each(self, z, function, recurrent_function):
        i_and_f, candidate, o = tf.split(
            z, [2 * self.units, self.units, self.units], axis=-1
        )
        return tf.concat(
            [recurrent_function(i_and_f), function(candidate), recurrent_function(o)],
            axis=-1,
        )


def _gates(activation, recurrent_activation, recurrent_kernel):
    units = recurrent_kernel.shape[0]
    activation = get_activation(activation)
    recurrent = get_activation(recurrent_activation, "recurrent_activation")
    if (activation.name, recurrent.name) == ("tanh", "sigmoid"):
        return _TanhGates(units, recurrent_kernel.dtype)
    return _SeparateGates(units, activation, recurrent)


def _check_weights(x, kernel, recurrent_kernel, bias):
    check_shape("recurrent_kernel", recurrent_kernel, ("H", "4H"))
    units = recurrent_kernel.shape[0]
    check_shape("recurrent_kernel", recurrent_kernel, (units, 4 * units))
    check_shape("kernel", kernel, (x.shape[-1] or "D", 4 * units))
    if bias is not None:
        check_shape("bias", bias, (4 * units,))


def _check_states(recurrent_kernel, **states):
    for argument, state in states.items():
        check_shape(argument, state, ("N", recurrent_kernel.shape[0]))
