"""The vanilla recurrent network, its backward pass derived by hand.

    a_t = x_t W + h_{t-1} U + b                         the pre-activation
    h_t = tanh(a_t)

With δ_t the whole gradient that reaches h_t, and ∂a the gradient of a:

    δ_t  = ∂L/∂h_t + ∂a_{t+1} Uᵀ
    ∂a_t = δ_t ∗ (1 − h_t²)

W is `kernel` (D, H), U `recurrent_kernel` (H, H), b `bias` (H), as in
`keras.layers.SimpleRNN`; tanh may be another activation ψ. Reference: Elman, Finding
Structure in Time, 1990. docs/derivations.md derives every line.
"""

import dataclasses

from kerasdl.ops.checks import checked_inputs, one_step
from kerasdl.ops.products import product, recurrent_input_gradient
from kerasdl.ops.recurrence import run_sequence
from kerasdl.ops.sweeps import Cell, gradient_norms


def forward_step(a, psi):
    """Returns h_t from a_t, (N, H) each."""
    return psi(a)


def backward_step(delta, slope):
    """Returns ∂a_t from δ_t and ψ'(a_t), which is 1 − h_t² for tanh, (N, H) each."""
    return delta * slope


@dataclasses.dataclass(frozen=True)
class SimpleRNNCell(Cell):
    """The steps above as `kerasdl.ops.sweeps` runs them."""

    gates = 1

    def forward(self, recurrent_kernel, bias, on_h):
        """See `Cell`."""

        def step(a_x, states):
            a = a_x + product(states[0], recurrent_kernel, on_h)
            return [forward_step(a, self.psi)], []

        return step

    def elements(self, states, kept, before):
        """See `Cell`: ψ'(a) of all steps at once."""
        return [self.psi.slope(states[0])]

    def backward(self, recurrent_kernel, batch, on_h):
        """See `Cell`."""
        to_h = recurrent_input_gradient(recurrent_kernel, batch, on_h)

        def step(d_states, elements):
            d_a = backward_step(*d_states, *elements)
            return d_a, d_states, [to_h(d_a)]

        return step


def simple_rnn(
    x,
    h0,
    kernel,
    recurrent_kernel,
    bias=None,
    mask=None,
    *,
    activation="tanh",
    dropout_mask=None,
    recurrent_dropout_mask=None,
    **options,
):
    """Runs a vanilla recurrent network over a batch of sequences.

    Args:
        x: (N, T, D), the inputs.
        h0: (N, H), the state before the first step; None for zero.
        kernel: (D, H).
        recurrent_kernel: (H, H).
        bias: (H,) or None for no bias.
        activation: name of ψ, one of `kerasdl.ops.activations.ACTIVATIONS`.
        dropout_mask: factors for x_t, the same at every step, (N, D).
        recurrent_dropout_mask: factors for h_{t-1}, likewise, (N, H).
        mask, **options: as in `kerasdl.ops.lstm`.

    Returns:
        (sequence (N, T, H) or None, h_T (N, H)). Gradients flow from both to x, h0,
        kernel, recurrent_kernel and bias, each gradient of the shape of its argument;
        none flows to the masks.

    Raises:
        ValueError: an unknown activation or `recompute`, an argument of the wrong shape,
            or `unroll` with an unknown number of steps.
    """
    cell, weights = SimpleRNNCell(activation), (kernel, recurrent_kernel, bias)
    dropout = (dropout_mask, recurrent_dropout_mask)
    inputs = checked_inputs(cell, x, {"h0": h0}, weights, mask, dropout)
    return run_sequence(cell, inputs, **options)


def simple_rnn_step(x, h, kernel, recurrent_kernel, bias=None, **options):
    """Runs one step of a vanilla recurrent network, a sequence of one.

    Args:
        x: (N, D), the input of the step.
        h: (N, H), the state before it.
        kernel, recurrent_kernel, bias, **options: as in `simple_rnn`.

    Returns:
        h after the step, (N, H), with gradients as in `simple_rnn`.
    """
    x = one_step(x, recurrent_kernel, h=h)
    weights = kernel, recurrent_kernel, bias
    return simple_rnn(x, h, *weights, return_sequences=False, **options)[1]


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
    """Returns (‖δ_t‖,) for each sample and step, (N, T); see `lstm_gradient_norms`."""
    cell, weights = SimpleRNNCell(activation), (kernel, recurrent_kernel, bias)
    inputs = checked_inputs(cell, x, {"h0": h0}, weights, mask)
    return gradient_norms(cell, inputs, d_sequence)
