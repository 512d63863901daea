"""The gated recurrent unit (GRU), its backward pass derived by hand.

    z_t = σ(x_t W_z + b_z + h_{t-1} U_z + b'_z)                      the update gate
    r_t = σ(x_t W_r + b_r + h_{t-1} U_r + b'_r)                      the reset gate
    h̃_t = tanh(x_t W_h + b_h + r_t ∗ q_t),  q_t = h_{t-1} U_h + b'_h  the candidate
    h_t = z_t ∗ h_{t-1} + (1 − z_t) ∗ h̃_t

That is the form with `reset_after`, the gate after the product. Without it there is no
b', and h̃_t = tanh(x_t W_h + b_h + (r_t ∗ h_{t-1}) U_h). With δ_t the whole gradient that
reaches h_t, and ∂a the gradient of what σ or tanh is taken of:

    ∂a^h = δ_t ∗ (1 − z_t) ∗ (1 − h̃_t²)
    ∂a^z = δ_t ∗ (h_{t-1} − h̃_t) ∗ z_t (1 − z_t)
    ∂a^r = ∂r ∗ r_t (1 − r_t)
    reset_after:  ∂r = ∂a^h ∗ q_t              ∂q = ∂a^h ∗ r_t
                  δ_{t-1} = ∂L/∂h_{t-1} + δ_t ∗ z_t + [∂a^z ∂a^r ∂q] Uᵀ
    otherwise:    p = ∂a^h U_hᵀ                ∂r = p ∗ h_{t-1}
                  δ_{t-1} = ∂L/∂h_{t-1} + δ_t ∗ z_t + [∂a^z ∂a^r] [U_z U_r]ᵀ + p ∗ r_t

W is `kernel` (D, 3H), U `recurrent_kernel` (H, 3H), [b; b'] `bias` (2, 3H), or b `bias`
(3H), as in `keras.layers.GRU`; tanh may be another activation ψ, and σ another φ.
Reference: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder for
Statistical Machine Translation, 2014. docs/derivations.md derives every line.
"""

import dataclasses

import tensorflow as tf

from kerasdl.ops.checks import checked_inputs, one_step
from kerasdl.ops.products import (
    bias_gradient,
    kernel_gradient,
    product,
    recurrent_input_gradient,
)
from kerasdl.ops.recurrence import run_sequence
from kerasdl.ops.sequences import rows_by_gate
from kerasdl.ops.sweeps import GatedCell, gradient_norms


def forward_step(a_x, u_z_r, recalled, h_before, psi, phi):
    """Returns (h_t (N, H), [z r h̃] (N, 3H)).

    Args:
        a_x: x_t W + b, (N, 3H).
        u_z_r: h_{t-1} [U_z U_r] + [b'_z b'_r], (N, 2H).
        recalled: r_t -> what the candidate sees of h_{t-1}, r_t ∗ q_t or
            (r_t ∗ h_{t-1}) U_h, (N, H).
        h_before: h_{t-1}, (N, H).
        psi, phi: the activations.
    """
    x_z, x_r, x_h = tf.split(a_x, 3, axis=-1)
    u_z, u_r = tf.split(u_z_r, 2, axis=-1)
    z = phi(x_z + u_z)
    r = phi(x_r + u_r)
    h_tilde = psi(x_h + recalled(r))
    h = z * h_before + (1 - z) * h_tilde
    return h, tf.concat([z, r, h_tilde], axis=-1)


def backward_step(delta, gates, h_before, from_candidate, psi, phi):
    """Returns ([∂a^z ∂a^r ∂a^h] (N, 3H), δ_t ∗ z_t, what `from_candidate` passes on).

    Args:
        delta: δ_t, (N, H).
        gates: [z r h̃] (N, 3H).
        h_before: h_{t-1}, (N, H).
        from_candidate: (∂a^h, r_t) -> (∂r, what else it gives: ∂q or p ∗ r_t).
        psi, phi: the activations.
    """
    z, r, h_tilde = tf.split(gates, 3, axis=-1)
    d_a_h = delta * (1 - z) * psi.slope(h_tilde)
    d_a_z = delta * (h_before - h_tilde) * phi.slope(z)
    d_r, passed_on = from_candidate(d_a_h, r)
    d_a_r = d_r * phi.slope(r)
    return tf.concat([d_a_z, d_a_r, d_a_h], axis=-1), delta * z, passed_on


@dataclasses.dataclass(frozen=True)
class GRUCell(GatedCell):
    """The steps above as `kerasdl.ops.sweeps` runs them."""

    reset_after: bool

    gates = 3
    by_gate = True

    @property
    def cudnn(self):
        """See `Cell`."""
        return "gru" if self.reset_after else None

    @property
    def kept(self):
        """See `Cell`: the gates, and q if it is not h_{t-1} itself that is reset."""
        return (3, 1) if self.reset_after else (3,)

    @property
    def bias_rows(self):
        """See `Cell`."""
        return (2,) if self.reset_after else ()

    def input_bias(self, bias):
        """See `Cell`."""
        return bias[0] if self.reset_after else bias

    def forward(self, recurrent_kernel, bias, on_h):
        """See `Cell`."""
        to_gates, to_candidate = _parted(recurrent_kernel, on_h)

        def reset_after(a_x, states):
            u = product(states[0], recurrent_kernel, on_h)
            u = u if bias is None else u + bias[1]
            u_z_r, q = tf.split(u, [2 * states[0].shape[-1], -1], axis=-1)
            h, gates = forward_step(
                a_x, u_z_r, lambda r: r * q, *states, self.psi, self.phi
            )
            return [h], [gates, q]

        def reset_before(a_x, states):
            u_z_r = product(states[0], *to_gates)

            def recalled(r):
                return product(r * states[0], *to_candidate)

            h, gates = forward_step(a_x, u_z_r, recalled, *states, self.psi, self.phi)
            return [h], [gates]

        return reset_after if self.reset_after else reset_before

    def elements(self, states, kept, before):
        """See `Cell`."""
        gates, *q = kept
        return [rows_by_gate(gates, self.gates), before(0), *q]

    def backward(self, recurrent_kernel, batch, on_h):
        """See `Cell`."""
        (u_gates, on_gates), (u_candidate, on_candidate) = _parted(recurrent_kernel, on_h)
        if self.reset_after:
            to_h = recurrent_input_gradient(recurrent_kernel, batch, on_h)
        else:
            to_h = recurrent_input_gradient(u_gates, batch, on_gates)
            from_h_tilde = recurrent_input_gradient(u_candidate, batch, on_candidate)

        def step(d_states, elements):
            gates, h_before, *q = elements

            def from_candidate(d_a_h, r):
                if self.reset_after:
                    return d_a_h * q[0], d_a_h * r
                p = from_h_tilde(d_a_h)
                return p * h_before, p * r

            d_a, straight, passed_on = backward_step(
                *d_states, gates, h_before, from_candidate, self.psi, self.phi
            )
            d_gates = d_a[:, : u_gates.shape[1]]
            if self.reset_after:
                d_h = straight + to_h(tf.concat([d_gates, passed_on], axis=-1))
            else:
                d_h = straight + to_h(d_gates) + passed_on
            return d_a, d_states, [d_h]

        return step

    def recurrent_gradients(self, d_a, kept, h_before, on_h, bias):
        """See `Cell`."""
        d_gates, d_candidate = tf.split(d_a, [2 * h_before.shape[-1], -1], axis=-1)
        _, r, _ = tf.split(kept[0], 3, axis=-1)
        if self.reset_after:
            d_u = tf.concat([d_gates, d_candidate * r], axis=-1)
            d_weights = [kernel_gradient(d_u, h_before, on_h)]
            biases = [d_a, d_u] * bias
            return d_weights + [tf.stack([*map(bias_gradient, biases)])] * bias
        on_gates, on_candidate = _parted_factors(on_h)
        parts = [
            kernel_gradient(d_gates, h_before, on_gates),
            kernel_gradient(d_candidate, r * h_before, on_candidate),
        ]
        return [tf.concat(parts, axis=1)] + [bias_gradient(d_a)] * bias


def _parted(recurrent_kernel, on_h):
    """Returns (kernel, dropout factors) of z and r together, and those of h̃."""
    units = recurrent_kernel.shape[0]
    kernels = tf.split(recurrent_kernel, [2 * units, units], axis=1)
    return list(zip(kernels, _parted_factors(on_h), strict=True))


def _parted_factors(on_h):
    if on_h is None or on_h.shape.rank == 2:
        return on_h, on_h
    return on_h[:2], on_h[2]


def gru(
    x,
    h0,
    kernel,
    recurrent_kernel,
    bias=None,
    mask=None,
    *,
    activation="tanh",
    recurrent_activation="sigmoid",
    reset_after=True,
    dropout_mask=None,
    recurrent_dropout_mask=None,
    **options,
):
    """Runs a GRU over a batch of sequences.

    Args:
        x: (N, T, D), the inputs.
        h0: (N, H), the state before the first step; None for zero.
        kernel: (D, 3H), the gates in the order z, r, h̃.
        recurrent_kernel: (H, 3H).
        bias: (2, 3H) with `reset_after`, otherwise (3H,); None for no bias.
        reset_after: whether the reset gate comes after the recurrent product.
        dropout_mask, recurrent_dropout_mask: (N, ·) or (3, N, ·).
        mask, activation, recurrent_activation, **options: as in `kerasdl.ops.lstm`.

    Returns:
        (sequence (N, T, H) or None, h_T (N, H)), with gradients as in `kerasdl.ops.lstm`.

    Raises:
        ValueError: as in `kerasdl.ops.lstm`.
    """
    cell = GRUCell(activation, recurrent_activation, reset_after)
    weights = kernel, recurrent_kernel, bias
    dropout = (dropout_mask, recurrent_dropout_mask)
    inputs = checked_inputs(cell, x, {"h0": h0}, weights, mask, dropout)
    return run_sequence(cell, inputs, **options)


def gru_step(x, h, kernel, recurrent_kernel, bias=None, **options):
    """Runs one step of a GRU, a sequence of one.

    Args:
        x: (N, D), the input of the step.
        h: (N, H), the state before it.
        kernel, recurrent_kernel, bias, **options: as in `gru`.

    Returns:
        h after the step, (N, H), with gradients as in `gru`.
    """
    x = one_step(x, recurrent_kernel, h=h)
    weights = kernel, recurrent_kernel, bias
    return gru(x, h, *weights, return_sequences=False, **options)[1]


def gru_gradient_norms(
    x,
    h0,
    kernel,
    recurrent_kernel,
    bias=None,
    mask=None,
    *,
    d_sequence,
    activation="tanh",
    recurrent_activation="sigmoid",
    reset_after=True,
):
    """Returns (‖δ_t‖,) for each sample and step, (N, T); see `lstm_gradient_norms`."""
    cell = GRUCell(activation, recurrent_activation, reset_after)
    weights = kernel, recurrent_kernel, bias
    inputs = checked_inputs(cell, x, {"h0": h0}, weights, mask)
    return gradient_norms(cell, inputs, d_sequence)
