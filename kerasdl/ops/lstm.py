"""The LSTM, its backward pass derived by hand.

    a_t = x_t W + h_{t-1} U + b = [a^i a^f a^c a^o]       pre-activations of the gates
    i_t = σ(a^i)     f_t = σ(a^f)     o_t = σ(a^o)     c̃_t = tanh(a^c)
    c_t = f_t ∗ c_{t-1} + i_t ∗ c̃_t
    h_t = o_t ∗ tanh(c_t)

With δ_t and γ_t the whole gradients that reach h_t and c_t, and ∂a the gradient of a:

    γ_t  = ∂L/∂c_t + δ_t ∗ o_t ∗ (1 − tanh²c_t) + γ_{t+1} ∗ f_{t+1}
    ∂a^i = γ_t ∗ c̃_t ∗ i_t (1 − i_t)         ∂a^f = γ_t ∗ c_{t-1} ∗ f_t (1 − f_t)
    ∂a^c = γ_t ∗ i_t ∗ (1 − c̃_t²)             ∂a^o = δ_t ∗ tanh(c_t) ∗ o_t (1 − o_t)
    δ_t  = ∂L/∂h_t + ∂a_{t+1} Uᵀ

W is `kernel` (D, 4H), U `recurrent_kernel` (H, 4H), b `bias` (4H), as in
`keras.layers.LSTM`; tanh may be another activation ψ, and σ another φ. References:
Hochreiter and Schmidhuber, Long Short-Term Memory, 1997, with the forget gate of Gers et
al., Learning to Forget, 2000. docs/derivations.md derives every line.
"""

import dataclasses

import tensorflow as tf

from kerasdl.ops import execution
from kerasdl.ops.checks import checked_inputs, one_step
from kerasdl.ops.products import product, recurrent_input_gradient
from kerasdl.ops.recurrence import run_sequence
from kerasdl.ops.sequences import rows_by_gate
from kerasdl.ops.sweeps import GatedCell, gradient_norms


def forward_step(a, c_before, psi, phi):
    """Returns (h_t, c_t, [i f c̃ o]) from a_t (N, 4H) and c_{t-1} (N, H)."""
    a_i, a_f, a_c, a_o = tf.split(a, 4, axis=-1)
    i = phi(a_i)
    f = phi(a_f)
    c_tilde = psi(a_c)
    o = phi(a_o)
    c = f * c_before + i * c_tilde
    h = o * psi(c)
    return h, c, tf.concat([i, f, c_tilde, o], axis=-1)


def backward_step(delta, gamma, gates, c_before, c, psi, phi):
    """Returns (∂a_t (N, 4H), γ_t, what reaches c_{t-1}).

    Args:
        delta: δ_t, (N, H).
        gamma: what reaches c_t from outside and from step t + 1, (N, H).
        gates: [i f c̃ o] (N, 4H).
        c_before, c: c_{t-1} and c_t, (N, H).
        psi, phi: the activations.
    """
    i, f, c_tilde, o = tf.split(gates, 4, axis=-1)
    tanh_c = psi(c)
    gamma = gamma + delta * o * psi.slope(tanh_c)
    d_a_i = gamma * c_tilde * phi.slope(i)
    d_a_f = gamma * c_before * phi.slope(f)
    d_a_c = gamma * i * psi.slope(c_tilde)
    d_a_o = delta * tanh_c * phi.slope(o)
    return tf.concat([d_a_i, d_a_f, d_a_c, d_a_o], axis=-1), gamma, gamma * f


# The same in fewer operations. Since σ(a) = ½ tanh(½ a) + ½, the four gates are one tanh,
# s ∗ tanh(s ∗ a) + m with s = (½, ½, 1, ½) and m = (½, ½, 0, ½). Backward, what stands
# beside γ_t and δ_t needs no recurrence: operation by operation it costs less if it is
# formed for all steps at once (compiled, a step forms it in passing).


def one_tanh_step(a, c_before, s, m):
    """Returns what `forward_step` does, for ψ = tanh and φ = σ."""
    gates = s * tf.tanh(s * a) + m
    i, f, c_tilde, o = tf.split(gates, 4, axis=-1)
    c = f * c_before + i * c_tilde
    return o * tf.tanh(c), c, gates


def local_factors(gates, c_before, c, psi, phi):
    """Returns what `factored_step` needs of all steps: factors (T, N, 4H), from_h, f."""
    i, f, c_tilde, o = tf.split(gates, 4, axis=-1)
    tanh_c = psi(c)
    factors = [
        c_tilde * phi.slope(i),
        c_before * phi.slope(f),
        i * psi.slope(c_tilde),
        tanh_c * phi.slope(o),
    ]
    return tf.concat(factors, axis=-1), o * psi.slope(tanh_c), f


def factored_step(delta, gamma, factors, from_h, f):
    """Returns what `backward_step` does, from what `local_factors` has of the step."""
    gamma = gamma + delta * from_h
    d_a = tf.concat([gamma, gamma, gamma, delta], axis=-1) * factors
    return d_a, gamma, gamma * f


@dataclasses.dataclass(frozen=True)
class LSTMCell(GatedCell):
    """The steps above as `kerasdl.ops.sweeps` runs them."""

    gates = 4
    kept = (4,)
    cudnn = "lstm"

    def forward(self, recurrent_kernel, bias, on_h):
        """See `Cell`; kept are the gates."""
        if (self.activation, self.recurrent_activation) == ("tanh", "sigmoid"):
            equations, constants = one_tanh_step, scale_and_middle(recurrent_kernel)
        else:
            equations, constants = forward_step, (self.psi, self.phi)

        def step(a_x, states):
            h, c = states
            a = a_x + product(h, recurrent_kernel, on_h)
            h, c, gates = equations(a, c, *constants)
            return [h, c], [gates]

        return step

    def elements(self, states, kept, before):
        """See `Cell`."""
        (gates,), c, c_before = kept, states[1], before(1)
        if execution.fused():
            return [rows_by_gate(gates, self.gates), c_before, c]
        return list(local_factors(gates, c_before, c, self.psi, self.phi))

    def backward(self, recurrent_kernel, batch, on_h):
        """See `Cell`."""
        to_h = recurrent_input_gradient(recurrent_kernel, batch, on_h)
        if execution.fused():
            equations, constants = backward_step, (self.psi, self.phi)
        else:
            equations, constants = factored_step, ()

        def step(d_states, elements):
            delta, gamma = d_states
            d_a, gamma, to_c = equations(delta, gamma, *elements, *constants)
            return d_a, [delta, gamma], [to_h(d_a), to_c]

        return step


def scale_and_middle(recurrent_kernel):
    """Returns s and m (4H) for a recurrent kernel (H, 4H)."""
    units, dtype = recurrent_kernel.shape[0], recurrent_kernel.dtype
    scale = tf.repeat(tf.constant([0.5, 0.5, 1.0, 0.5], dtype), units)
    return scale, 1 - scale


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
    dropout_mask=None,
    recurrent_dropout_mask=None,
    **options,
):
    """Runs an LSTM over a batch of sequences.

    Args:
        x: (N, T, D), the inputs.
        h0: (N, H), the hidden state before the first step; None for zero.
        c0: (N, H), the cell state before the first step; None for zero.
        kernel: (D, 4H), the gates in the order i, f, c̃, o.
        recurrent_kernel: (H, 4H).
        bias: (4H,) or None for no bias.
        mask: (N, T) or (1, T), true where a step counts, or None. A masked step changes
            neither state and repeats the output before it (zero before the first true
            step).
        activation: name of ψ, one of `kerasdl.ops.activations.ACTIVATIONS`.
        recurrent_activation: name of φ, likewise.
        dropout_mask: factors for x_t, the same at every step, (N, D) or one for each
            gate (4, N, D).
        recurrent_dropout_mask: factors for h_{t-1}, likewise, (N, H) or (4, N, H).
        **options: `return_sequences` (True), `zero_output_for_mask` (False), `unroll`
            (False) and `recompute` (None) of `kerasdl.ops.recurrence.run_sequence`.

    Returns:
        (sequence (N, T, H) or None, h_T (N, H), c_T (N, H)). Gradients flow from each of
        them to x, h0, c0, kernel, recurrent_kernel and bias, each gradient of the shape
        of its argument; none flows to the masks.

    Raises:
        ValueError: an unknown activation or `recompute`, an argument of the wrong shape,
            or `unroll` with an unknown number of steps.
    """
    cell = LSTMCell(activation, recurrent_activation)
    states, weights = {"h0": h0, "c0": c0}, (kernel, recurrent_kernel, bias)
    dropout = (dropout_mask, recurrent_dropout_mask)
    inputs = checked_inputs(cell, x, states, weights, mask, dropout)
    return run_sequence(cell, inputs, **options)


def lstm_step(x, h, c, kernel, recurrent_kernel, bias=None, **options):
    """Runs one step of an LSTM: a sequence of one.

    Args:
        x: (N, D), the input of the step.
        h: (N, H), the hidden state before it.
        c: (N, H), the cell state before it.
        kernel, recurrent_kernel, bias: as in `lstm`.
        **options: `activation`, `recurrent_activation`, `dropout_mask` and
            `recurrent_dropout_mask` of `lstm`.

    Returns:
        (h, c) after the step, (N, H) each, with gradients as in `lstm`.

    Raises:
        ValueError: an unknown activation, or an argument of the wrong shape.
    """
    x = one_step(x, recurrent_kernel, h=h, c=c)
    weights = kernel, recurrent_kernel, bias
    return lstm(x, h, c, *weights, return_sequences=False, **options)[1:]


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
    cell = LSTMCell(activation, recurrent_activation)
    states, weights = {"h0": h0, "c0": c0}, (kernel, recurrent_kernel, bias)
    return gradient_norms(
        cell, checked_inputs(cell, x, states, weights, mask), d_sequence
    )
