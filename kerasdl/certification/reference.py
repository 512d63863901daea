"""Recurrent networks and their derivatives in NumPy, written like the equations.

This is the judge of `kerasdl.certify`. It shares no line with `kerasdl.ops`: a plain loop
over the steps, the backward pass of docs/derivations.md written one line an equation,
and second derivatives by the complex step. Whatever the dtype of its arguments, it
computes in that dtype: float64 for the truth, float32 for what rounding alone costs,
complex numbers for the complex step.

    x (N, T, D), h and c (N, H), W (D, GH), U (H, GH), b and b' (GH,)

with G gates in Keras's order: LSTM (i, f, c̃, o), GRU (z, r, h̃). b is the bias beside
x W and b' the bias beside h U; where only their sum matters, both have one gradient.

References: Elman, Finding Structure in Time, 1990; Hochreiter and Schmidhuber, Long
Short-Term Memory, 1997; Gers et al., Learning to Forget, 2000; Cho et al., Learning
Phrase Representations, 2014. Complex step: Squire and Trapp, Using Complex Variables to
Estimate Derivatives of Real Functions, 1998.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray

# The complex step squares to 0 beside any number of ours, and is representable in half
# the digits of a complex64.
COMPLEX_STEP = 1e-20


class Network(NamedTuple):
    """One kind of recurrent network.

    Attributes:
        name: `simple_rnn`, `lstm`, `gru` or `gru_reset_before`.
        gates: G; the kernels have G·H columns.
        states: How many state arrays a step carries.
        step: (x, states, weights) -> (new states, what `backward` needs besides).
        backward: (x, states, weights, saved, gradients of the new states) ->
            (∂x, gradients of the states, gradients of the weights).
    """

    name: str
    gates: str
    states: int
    step: Callable[..., Any]
    backward: Callable[..., Any]


def tanh(a: Array) -> Array:
    """tanh a; of a complex number to first order in its imaginary part.

    tanh(a + i ε b) = tanh a + i ε b (1 − tanh² a), which for the complex step is all.
    """
    if not np.iscomplexobj(a):
        return np.tanh(a)
    value = np.tanh(a.real)
    return (value + 1j * (a.imag * (1 - value**2))).astype(a.dtype)


def sigmoid(a: Array) -> Array:
    """σ(a) = 1 / (1 + e^{-a}), in a form that cannot overflow."""
    return 0.5 + 0.5 * tanh(0.5 * a)


def _simple_rnn_step(x, states, weights):
    (h,), (W, U, b, b2) = states, weights
    new_h = tanh(x @ W + b + h @ U + b2)
    return [new_h], new_h


def _simple_rnn_backward(x, states, weights, new_h, gradients):
    (h,), (W, U, _, _), (delta,) = states, weights, gradients
    d_a = delta * (1 - new_h**2)
    d_b = d_a.sum(axis=0)
    return d_a @ W.T, [d_a @ U.T], [x.T @ d_a, h.T @ d_a, d_b, d_b]


def _lstm_step(x, states, weights):
    (h, c), (W, U, b, b2) = states, weights
    a_i, a_f, a_c, a_o = np.split(x @ W + b + h @ U + b2, 4, axis=1)
    i = sigmoid(a_i)
    f = sigmoid(a_f)
    candidate = tanh(a_c)
    o = sigmoid(a_o)
    new_c = f * c + i * candidate
    tanh_c = tanh(new_c)
    return [o * tanh_c, new_c], (i, f, candidate, o, tanh_c)


def _lstm_backward(x, states, weights, saved, gradients):
    (h, c), (W, U, _, _), (delta, d_c) = states, weights, gradients
    i, f, candidate, o, tanh_c = saved
    gamma = d_c + delta * o * (1 - tanh_c**2)
    d_a_i = gamma * candidate * i * (1 - i)
    d_a_f = gamma * c * f * (1 - f)
    d_a_c = gamma * i * (1 - candidate**2)
    d_a_o = delta * tanh_c * o * (1 - o)
    d_a = np.concatenate([d_a_i, d_a_f, d_a_c, d_a_o], axis=1)  # (N, 4H)
    d_b = d_a.sum(axis=0)
    return d_a @ W.T, [d_a @ U.T, gamma * f], [x.T @ d_a, h.T @ d_a, d_b, d_b]


def _gru_step(x, states, weights):
    (h,), (W, U, b, b2) = states, weights
    x_z, x_r, x_h = np.split(x @ W + b, 3, axis=1)
    h_z, h_r, q = np.split(h @ U + b2, 3, axis=1)
    z = sigmoid(x_z + h_z)
    r = sigmoid(x_r + h_r)
    candidate = tanh(x_h + r * q)
    return [z * h + (1 - z) * candidate], (z, r, q, candidate)


def _gru_backward(x, states, weights, saved, gradients):
    (h,), (W, U, _, _), (delta,) = states, weights, gradients
    z, r, q, candidate = saved
    d_a_h = delta * (1 - z) * (1 - candidate**2)
    d_a_z = delta * (h - candidate) * z * (1 - z)
    d_a_r = d_a_h * q * r * (1 - r)
    d_a = np.concatenate([d_a_z, d_a_r, d_a_h], axis=1)  # (N, 3H), through x W + b
    d_q = np.concatenate([d_a_z, d_a_r, d_a_h * r], axis=1)  # (N, 3H), through h U + b'
    weight_gradients = [x.T @ d_a, h.T @ d_q, d_a.sum(axis=0), d_q.sum(axis=0)]
    return d_a @ W.T, [delta * z + d_q @ U.T], weight_gradients


def _gru_reset_before_step(x, states, weights):
    (h,), (W, U, b, b2) = states, weights
    H = h.shape[1]
    x_z, x_r, x_h = np.split(x @ W + b + b2, 3, axis=1)
    z = sigmoid(x_z + h @ U[:, :H])
    r = sigmoid(x_r + h @ U[:, H : 2 * H])
    candidate = tanh(x_h + (r * h) @ U[:, 2 * H :])
    return [z * h + (1 - z) * candidate], (z, r, candidate)


def _gru_reset_before_backward(x, states, weights, saved, gradients):
    (h,), (W, U, _, _), (delta,) = states, weights, gradients
    z, r, candidate = saved
    H = h.shape[1]
    d_a_h = delta * (1 - z) * (1 - candidate**2)
    p = d_a_h @ U[:, 2 * H :].T
    d_a_z = delta * (h - candidate) * z * (1 - z)
    d_a_r = p * h * r * (1 - r)
    d_h = delta * z + d_a_z @ U[:, :H].T + d_a_r @ U[:, H : 2 * H].T + p * r
    d_a = np.concatenate([d_a_z, d_a_r, d_a_h], axis=1)  # (N, 3H)
    d_U = np.concatenate([h.T @ d_a_z, h.T @ d_a_r, (r * h).T @ d_a_h], axis=1)
    d_b = d_a.sum(axis=0)
    return d_a @ W.T, [d_h], [x.T @ d_a, d_U, d_b, d_b]


NETWORKS = {
    network.name: network
    for network in (
        Network("simple_rnn", "h", 1, _simple_rnn_step, _simple_rnn_backward),
        Network("lstm", "ifco", 2, _lstm_step, _lstm_backward),
        Network("gru", "zrh", 1, _gru_step, _gru_backward),
        Network(
            *("gru_reset_before", "zrh", 1),
            *(_gru_reset_before_step, _gru_reset_before_backward),
        ),
    )
}


def forward(network, x, states, weights, mask, zero_masked=False):
    """Runs a network over time.

    Args:
        network: A `Network`.
        x: (N, T, D).
        states: List of (N, H).
        weights: [W, U, b, b'].
        mask: (N, T), bool. A masked step keeps the states, and repeats the output before
            it (0 before the first true step).
        zero_masked: Whether masked outputs are 0 instead.

    Returns:
        ([sequence (N, T, H), *last states], what `backward` needs).
    """
    output, sequence, tape = np.zeros_like(states[0]), [], []
    for t in range(x.shape[1]):
        m = mask[:, t : t + 1]
        new_states, saved = network.step(x[:, t], states, weights)
        tape.append((states, saved))
        states = [
            np.where(m, new, old) for new, old in zip(new_states, states, strict=True)
        ]
        output = np.where(m, states[0], 0 if zero_masked else output)
        sequence.append(output)
    return [np.stack(sequence, axis=1), *states], tape


def backward(network, x, weights, mask, zero_masked, tape, d_sequence, d_states):
    """Returns the gradients [∂x, *∂initial states, ∂W, ∂U, ∂b, ∂b'].

    Args:
        network, x, weights, mask, zero_masked: As for `forward`.
        tape: What `forward` returned.
        d_sequence: ∂L/∂y (N, T, H), what reaches the outputs.
        d_states: What reaches the last states.
    """
    d_x, d_weights = np.zeros_like(x), [np.zeros_like(w) for w in weights]
    d_output = np.zeros_like(d_states[0])  # reaches y_t through a masked y_{t+1} = y_t
    for t in reversed(range(x.shape[1])):
        m = mask[:, t : t + 1]
        states, saved = tape[t]
        if zero_masked:
            d_y = np.where(m, d_sequence[:, t], 0)
        else:
            d_y = d_sequence[:, t] + d_output
        d_output = np.where(m, 0, d_y)
        delta, *rest = d_states  # the whole gradients that reach h_t and c_t
        delta = delta + np.where(m, d_y, 0)
        into_step = [np.where(m, d, 0) for d in (delta, *rest)]
        d_x[:, t], before, of_weights = network.backward(
            x[:, t], states, weights, saved, into_step
        )
        # A masked step hands on what reaches it and adds nothing to the sums.
        reached = zip(before, (delta, *rest), strict=True)
        d_states = [np.where(m, new, d) for new, d in reached]
        d_weights = [total + d for total, d in zip(d_weights, of_weights, strict=True)]
    return [d_x, *d_states, *d_weights]


class Problem(NamedTuple):
    """What a network is run on, and what of it is differentiated.

    The loss is L = Σ_k Σ u_k ∗ (y_k + ½ y_k²) over the outputs y_k, the sequence and the
    last states. Its second term makes the second derivative pass through ∂L/∂y too.

    Attributes:
        x: (N, T, D).
        states: List of (N, H), the initial states.
        weights: [W, U, b, b'].
        mask: (N, T), bool.
        upstream: u, a list shaped as [sequence, *last states].
        direction: v, a list shaped as [x, *states, *weights].
    """

    x: Array
    states: list[Array]
    weights: list[Array]
    mask: Array
    upstream: list[Array]
    direction: list[Array]

    def astype(self, dtype: Any) -> Problem:
        """The same numbers in another type."""

        def cast(arrays):
            return [array.astype(dtype) for array in arrays]

        return Problem(
            self.x.astype(dtype),
            *(cast(self.states), cast(self.weights), self.mask),
            *(cast(self.upstream), cast(self.direction)),
        )


def first_derivatives(
    network: Network, problem: Problem, zero_masked: bool = False, reverse: bool = False
) -> tuple[list[Array], list[Array]]:
    """Returns outputs and gradients, in the dtype of the problem.

    Args:
        network, problem: Of which network, at which point.
        zero_masked: Whether masked outputs are 0.
        reverse: Whether the sequence is run from its end (Keras's `go_backwards`); the
            sequence of outputs is in the order of the run.

    Returns:
        ([sequence, *last states], [∂L/∂x, *∂L/∂states, ∂L/∂W, ∂L/∂U, ∂L/∂b, ∂L/∂b']).
    """
    x, mask = problem.x, problem.mask
    if reverse:
        x, mask = x[:, ::-1], mask[:, ::-1]
    outputs, tape = forward(
        network, x, problem.states, problem.weights, mask, zero_masked
    )
    d_sequence, *d_states = [
        u * (1 + y) for u, y in zip(problem.upstream, outputs, strict=True)
    ]
    gradients = backward(
        network, x, problem.weights, mask, zero_masked, tape, d_sequence, d_states
    )
    if reverse:
        gradients[0] = gradients[0][:, ::-1]
    return outputs, gradients


def second_derivatives(
    network: Network, problem: Problem, zero_masked: bool = False, reverse: bool = False
) -> list[Array]:
    """Returns H v, the Hessian of L times the direction, by the complex step.

        H v = Im ∇L(θ + i ε v) / ε

    exact to rounding, since ∇L is made of analytic functions and nothing is subtracted.

    Args:
        network, problem, zero_masked, reverse: As for `first_derivatives`.

    Returns:
        A list shaped as `problem.direction`.
    """
    complex_type = np.result_type(problem.x.dtype, np.complex64)
    unit = complex_type.type(1j * COMPLEX_STEP)
    point = [problem.x, *problem.states, *problem.weights]
    moved = [p + unit * v for p, v in zip(point, problem.direction, strict=True)]
    states = slice(1, 1 + network.states)
    problem = problem._replace(
        x=moved[0], states=moved[states], weights=moved[states.stop :]
    )
    _, gradients = first_derivatives(network, problem, zero_masked, reverse)
    return [gradient.imag / np.float64(COMPLEX_STEP) for gradient in gradients]


def names(network: Network) -> tuple[Sequence[str], Sequence[str]]:
    """What the outputs and the differentiated arrays are called, in order."""
    states = ["h", "c"][: network.states]
    outputs = ["y", *(f"{s}_T" for s in states)]
    return outputs, ["x", *(f"{s}_0" for s in states), "W", "U", "b", "b'"]
