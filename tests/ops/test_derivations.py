"""The code's own backward steps against the lines of docs/derivations.md.

For every line that corrects an earlier derivation, a recursion in NumPy around the code's
backward step is held against finite differences of the forward pass, and so is the same
with the line as it stood, which fails.
"""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from kerasdl.ops.activations import get_activation
from tests.ops import numpy_reference
from tests.ops.gradient_checks import finite_differences, relative_error
from tests.ops.problems import H, N, T, sequence_problem, upstream_like

HOLDS, FAILS = 1e-6, 1e-2


def check(corrected, as_it_stood, expected):
    assert relative_error(corrected, expected) < HOLDS
    assert relative_error(as_it_stood, expected) > FAILS


TANH, SIGMOID = get_activation("tanh"), get_activation("sigmoid")
PAGE = Path(__file__).parents[2] / "docs" / "derivations.md"


def arrays(*shapes, seed=0):
    draw = np.random.default_rng(seed).normal
    return [draw(size=shape) for shape in shapes]


def in_code(module, name, *arguments):
    """Runs a step of the code on arrays."""
    function = getattr(importlib.import_module(f"kerasdl.ops.{module}"), name)
    results = function(*arguments)
    return [result.numpy() for result in tf.nest.flatten(results)]


# The lines of the page, term by term --------------------------------------------------


def test_the_step_of_the_vanilla_network_is_that_of_the_page():
    delta, a = arrays((N, H), (N, H))
    (h,) = in_code("simple_rnn", "forward_step", tf.constant(a), TANH)
    (d_a,) = in_code("simple_rnn", "backward_step", tf.constant(delta), TANH.slope(h))
    np.testing.assert_allclose(d_a, delta * (1 - h**2), rtol=0, atol=1e-15)


def test_the_step_of_the_lstm_is_that_of_the_page():
    a, c_before, delta, gamma_next = arrays((N, 4 * H), (N, H), (N, H), (N, H))
    h, c, gates = in_code("lstm", "forward_step", tf.constant(a), c_before, TANH, SIGMOID)
    i, f, c_tilde, o = np.split(gates, 4, axis=1)
    np.testing.assert_allclose(c, f * c_before + i * c_tilde, rtol=0, atol=1e-15)
    np.testing.assert_allclose(h, o * np.tanh(c), rtol=0, atol=1e-15)
    d_a, gamma, to_c = in_code(
        "lstm",
        "backward_step",
        *map(tf.constant, (delta, gamma_next, gates, c_before, c)),
        TANH,
        SIGMOID,
    )
    line = gamma_next + delta * o * (1 - np.tanh(c) ** 2)
    np.testing.assert_allclose(gamma, line, rtol=0, atol=1e-15)
    lines = [
        gamma * c_tilde * i * (1 - i),
        gamma * c_before * f * (1 - f),
        gamma * i * (1 - c_tilde**2),
        delta * np.tanh(c) * o * (1 - o),
    ]
    np.testing.assert_allclose(d_a, np.concatenate(lines, axis=1), rtol=0, atol=1e-15)
    np.testing.assert_allclose(to_c, gamma * f, rtol=0, atol=1e-15)


@pytest.mark.parametrize("reset_after", [True, False])
def test_the_step_of_the_gru_is_that_of_the_page(reset_after):
    a_x, u, h_before, delta = arrays((N, 3 * H), (N, 3 * H), (N, H), (N, H))
    u_z_r, q = np.split(u, [2 * H], axis=1)
    (kernel,) = arrays((H, H), seed=1)

    def recalled(r):
        return r * q if reset_after else (r * h_before) @ kernel

    def from_candidate(d_a_h, r):
        if reset_after:
            return d_a_h * q, d_a_h * r
        p = d_a_h @ kernel.T
        return p * h_before, p * r

    constants = map(tf.constant, (a_x, u_z_r))
    h, gates = in_code(
        "gru", "forward_step", *constants, recalled, h_before, TANH, SIGMOID
    )
    z, r, h_tilde = np.split(gates, 3, axis=1)
    x_h = np.split(a_x, 3, axis=1)[2]
    np.testing.assert_allclose(h_tilde, np.tanh(x_h + recalled(r)), rtol=0, atol=1e-15)
    np.testing.assert_allclose(h, z * h_before + (1 - z) * h_tilde, rtol=0, atol=1e-15)
    d_a, straight, _ = in_code(
        "gru",
        "backward_step",
        *map(tf.constant, (delta, gates, h_before)),
        from_candidate,
        TANH,
        SIGMOID,
    )
    d_a_h = delta * (1 - z) * (1 - h_tilde**2)
    d_r, _ = from_candidate(d_a_h, r)
    lines = [delta * (h_before - h_tilde) * z * (1 - z), d_r * r * (1 - r), d_a_h]
    np.testing.assert_allclose(d_a, np.concatenate(lines, axis=1), rtol=0, atol=1e-14)
    np.testing.assert_allclose(straight, delta * z, rtol=0, atol=1e-15)


# The vanilla network -----------------------------------------------------------------


@pytest.fixture(scope="module")
def vanilla():
    """Returns inputs, upstream gradients of h_1 ... h_T, and finite differences."""
    inputs = sequence_problem(gates=1, states=1)
    (d_h,) = upstream_like(numpy_reference.simple_rnn(*inputs)[:1])

    def loss(*inputs):
        return np.sum(numpy_reference.simple_rnn(*inputs)[0] * d_h)

    return inputs, d_h, finite_differences(loss, inputs)


def vanilla_backward(inputs, d_h, delta_of=None):
    """Returns the gradients of x, h_0, W, U, b; delta_of(t, back) is the line of δ_t."""
    x, h0, kernel, recurrent_kernel, bias = inputs
    outputs, _ = numpy_reference.simple_rnn(*inputs)
    h = [h0, *(outputs[:, t] for t in range(T))]
    d_x, back = np.zeros_like(x), np.zeros_like(h0)
    sums = [np.zeros_like(w) for w in (kernel, recurrent_kernel, bias)]
    for t in reversed(range(T)):
        delta = delta_of(t, back) if delta_of else d_h[:, t] + back
        (d_a,) = in_code(
            "simple_rnn", "backward_step", tf.constant(delta), TANH.slope(h[t + 1])
        )
        d_x[:, t] = d_a @ kernel.T
        back = d_a @ recurrent_kernel.T
        terms = (x[:, t].T @ d_a, h[t].T @ d_a, d_a.sum(0))
        for total, term in zip(sums, terms, strict=True):
            total += term
    return [d_x, back, *sums]


def test_delta_takes_what_comes_back_from_the_next_step(vanilla):
    inputs, d_h, expected = vanilla

    def as_it_stood(t, back):
        return d_h[:, t] + (d_h[:, t - 1] if t > 0 else 0)

    wrong = vanilla_backward(inputs, d_h, as_it_stood)
    check(vanilla_backward(inputs, d_h), wrong, expected)


def test_closed_form_of_the_vanilla_network_keeps_the_order_of_its_factors(vanilla):
    inputs, d_h, (_, expected, *_) = vanilla
    recurrent_kernel = inputs[3]
    h, _ = numpy_reference.simple_rnn(*inputs)
    in_order, powers = np.zeros((N, H)), np.zeros((N, H))
    for n in range(N):
        product = np.eye(H)
        slopes = np.ones(H)
        for t in range(T):
            slope = 1 - h[n, t] ** 2
            product = np.diag(slope) @ recurrent_kernel.T @ product
            in_order[n] += d_h[n, t] @ product
            slopes = slopes * slope
            power = np.linalg.matrix_power(recurrent_kernel.T, t + 1)
            powers[n] += (d_h[n, t] * slopes) @ power
    check([in_order], [powers], [expected])


# The LSTM ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_short():
    """Returns inputs, upstream gradients of h_1 ... h_T and c_T, finite differences."""
    inputs = sequence_problem(gates=4, states=2)
    sequence, _, c = numpy_reference.lstm(*inputs)
    d_h, d_c = upstream_like([sequence, c])

    def loss(*inputs):
        sequence, _, c = numpy_reference.lstm(*inputs)
        return np.sum(sequence * d_h) + np.sum(c * d_c)

    return inputs, d_h, d_c, finite_differences(loss, inputs)


def forward_pass(inputs):
    """Returns the gates i, f, c̃, o of every step, and h_0 ... h_T, c_0 ... c_T."""
    x, h0, c0, kernel, recurrent_kernel, bias = inputs
    gates, h, c = [], [h0], [c0]
    for t in range(T):
        a = np.split(x[:, t] @ kernel + h[-1] @ recurrent_kernel + bias, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-a[k])) for k in (0, 1, 3))
        gates.append((i, f, np.tanh(a[2]), o))
        new_h, new_c = numpy_reference.lstm_step(
            x[:, t], h[-1], c[-1], kernel, recurrent_kernel, bias
        )
        h.append(new_h)
        c.append(new_c)
    return gates, h, c


def code_step(delta, gamma, gates, c_before, c):
    """Returns (∂a, what returns to the cell) by the code's backward step."""
    gates = np.concatenate(gates, axis=1)
    arguments = map(tf.constant, (delta, gamma, gates, c_before, c))
    d_a, _, to_c = in_code("lstm", "backward_step", *arguments, TANH, SIGMOID)
    return d_a, to_c


def recurrence_line(d_a, delta, h, recurrent_kernel):
    return d_a @ recurrent_kernel.T


def lstm_backward(inputs, d_h, d_c, step=code_step, recurrence_line=recurrence_line):
    """Returns the gradients of x, h_0, c_0, W, U and b; a line may be replaced."""
    x, h0, c0, kernel, recurrent_kernel, bias = inputs
    gates, h, c = forward_pass(inputs)
    d_x, to_h, to_c = np.zeros_like(x), np.zeros_like(h0), np.zeros_like(c0)
    sums = [np.zeros_like(w) for w in (kernel, recurrent_kernel, bias)]
    for t in reversed(range(T)):
        delta = d_h[:, t] + to_h
        outside = d_c if t == T - 1 else 0
        d_a, to_c = step(delta, outside + to_c, gates[t], c[t], c[t + 1])
        d_x[:, t] = d_a @ kernel.T
        to_h = recurrence_line(d_a, delta, h[t + 1], recurrent_kernel)
        terms = (x[:, t].T @ d_a, h[t].T @ d_a, d_a.sum(0))
        for total, term in zip(sums, terms, strict=True):
            total += term
    return [d_x, to_h, to_c, *sums]


def test_input_gate_has_a_term_of_its_own(long_short):
    inputs, d_h, d_c, expected = long_short

    def as_it_stood(delta, gamma, gates, c_before, c):
        d_a, to_c = code_step(delta, gamma, gates, c_before, c)
        d_a[:, :H] = d_a[:, H : 2 * H]  # the forget gate's γ ∗ c_{t-1} ∗ f (1 − f)
        return d_a, to_c

    wrong = lstm_backward(inputs, d_h, d_c, step=as_it_stood)
    check(lstm_backward(inputs, d_h, d_c), wrong, expected)
    check(lstm_backward(inputs, d_h, d_c)[1:2], wrong[1:2], expected[1:2])


def test_gamma_takes_what_reaches_the_cell_through_the_hidden_state(long_short):
    inputs, d_h, d_c, expected = long_short

    def as_it_stood(delta, gamma, gates, c_before, c):
        without, to_c = code_step(np.zeros_like(delta), gamma, gates, c_before, c)
        d_a, _ = code_step(delta, gamma, gates, c_before, c)
        return np.concatenate([without[:, : 3 * H], d_a[:, 3 * H :]], axis=1), to_c

    wrong = lstm_backward(inputs, d_h, d_c, step=as_it_stood)
    check(lstm_backward(inputs, d_h, d_c), wrong, expected)


def test_gradient_of_the_initial_cell_state(long_short):
    inputs, d_h, d_c, (_, _, expected, *_) = long_short
    corrected = lstm_backward(inputs, d_h, d_c)[2]
    check([corrected], [np.zeros((N, H))], [expected])


def test_lstm_has_a_recursion_of_its_own(long_short):
    inputs, d_h, d_c, expected = long_short

    def as_it_stood(d_a, delta, h, recurrent_kernel):
        of_the_candidate = recurrent_kernel[:, 2 * H : 3 * H]
        return (delta * (1 - h**2)) @ of_the_candidate.T

    wrong = lstm_backward(inputs, d_h, d_c, recurrence_line=as_it_stood)
    check(lstm_backward(inputs, d_h, d_c), wrong, expected)


def closed_form(inputs, d_h, d_c):
    """Returns (∂L/∂h_0, ∂L/∂c_0) as the sum over t of products of the matrices J."""
    gates, _, c = forward_pass(inputs)
    u_i, u_f, u_c, u_o = (block.T for block in np.split(inputs[4], 4, axis=1))
    result = np.zeros((N, 2 * H))
    for n in range(N):
        product = np.eye(2 * H)
        for t in range(T):
            i, f, candidate, o = (gate[n] for gate in gates[t])
            tanh_c = np.tanh(c[t + 1][n])
            p = np.diag(o * (1 - tanh_c**2))
            m = (
                np.diag(candidate * i * (1 - i)) @ u_i
                + np.diag(c[t][n] * f * (1 - f)) @ u_f
                + np.diag(i * (1 - candidate**2)) @ u_c
            )
            through_o = np.diag(tanh_c * o * (1 - o)) @ u_o
            j = np.block([[p @ m + through_o, p @ np.diag(f)], [m, np.diag(f)]])
            product = j @ product
            outside = d_c[n] if t == T - 1 else np.zeros(H)
            result[n] += np.concatenate([d_h[n, t], outside]) @ product
    return [result[:, :H], result[:, H:]]


def output_gate_alone(inputs, d_h, in_order):
    """Returns ∂L/∂h_0 through the output gates alone, with factors in order or not."""
    gates, _, c = forward_pass(inputs)
    u_o = inputs[4][:, 3 * H :].T
    result = np.zeros((N, H))
    for n in range(N):
        product, slopes = np.eye(H), np.ones(H)
        for t in range(T):
            o = gates[t][3][n]
            slope = np.tanh(c[t + 1][n]) * o * (1 - o)
            product = np.diag(slope) @ u_o @ product
            slopes = slopes * slope
            powers = np.diag(slopes) @ np.linalg.matrix_power(u_o, t + 1)
            result[n] += d_h[n, t] @ (product if in_order else powers)
    return result


def test_closed_form_of_the_lstm_has_every_path(long_short):
    inputs, d_h, d_c, (_, d_h0, d_c0, *_) = long_short
    corrected = closed_form(inputs, d_h, d_c)
    as_it_stood = output_gate_alone(inputs, d_h, in_order=True)
    check(corrected, [as_it_stood, np.zeros((N, H))], [d_h0, d_c0])
    check(corrected[:1], [as_it_stood], [d_h0])


def test_closed_form_of_the_lstm_keeps_the_order_of_its_factors(long_short):
    inputs, d_h, d_c, (_, d_h0, *_) = long_short
    in_order = output_gate_alone(inputs, d_h, in_order=True)
    powers = output_gate_alone(inputs, d_h, in_order=False)
    assert relative_error([powers], [in_order]) > FAILS
    check(closed_form(inputs, d_h, d_c)[:1], [powers], [d_h0])


def test_the_page_names_tests_and_functions_that_exist():
    text = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    here = {name for name in globals() if name.startswith("test_")}
    assert named == here - {"test_the_page_names_tests_and_functions_that_exist"}
    links = re.findall(r"\[`([\w.]+)`\]\(\.\./(kerasdl/[\w/]+\.py)\)", text)
    assert len(links) > 10
    for name, file in links:
        assert (PAGE.parents[1] / file).is_file(), file
        value = importlib.import_module(file.removesuffix(".py").replace("/", "."))
        for part in name.split("."):
            value = getattr(value, part)
