import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kerasdl.ops import lstm, lstm_step
from kerasdl.ops.activations import get_activation
from kerasdl.ops.lstm import (
    backward_step,
    factored_step,
    forward_step,
    local_factors,
    one_tanh_step,
    scale_and_middle,
)
from tests.ops import numpy_reference
from tests.ops.gradient_checks import finite_differences, relative_error, tape_gradients
from tests.ops.problems import MASKS, D, H, N, T, sequence_problem, upstream_like

ACTIVATION_PAIRS = [
    ("tanh", "sigmoid"),
    ("tanh", "hard_sigmoid"),
    ("relu", "sigmoid"),
    ("linear", "linear"),
    ("sigmoid", "tanh"),
]


def plain_lstm(x, h, c, kernel, recurrent_kernel, bias, mask=None):
    """The same forward pass with nothing of ours, for TensorFlow to differentiate."""
    y, outputs = tf.zeros_like(h), []
    for t in range(x.shape[1]):
        a = x[:, t] @ kernel + h @ recurrent_kernel + bias
        i, f, candidate, o = tf.split(a, 4, axis=1)
        new_c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(candidate)
        new_h = tf.sigmoid(o) * tf.tanh(new_c)
        m = tf.ones((x.shape[0], 1), tf.bool) if mask is None else mask[:, t : t + 1]
        h, c, y = tf.where(m, new_h, h), tf.where(m, new_c, c), tf.where(m, new_h, y)
        outputs.append(y)
    return tf.stack(outputs, axis=1), h, c


@pytest.fixture(params=MASKS, ids=lambda name: name.replace(" ", "_"))
def mask(request):
    return MASKS[request.param]


def test_sequence_equals_the_equations(mask):
    inputs = sequence_problem(gates=4, states=2)
    expected = numpy_reference.lstm(*inputs, mask=mask)
    for actual, wanted in zip(lstm(*inputs, mask=mask), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_gradients_from_each_output_equal_finite_differences(mask, used):
    inputs = sequence_problem(gates=4, states=2)
    upstream = upstream_like(numpy_reference.lstm(*inputs, mask=mask))
    upstream = [g * (k in used) for k, g in enumerate(upstream)]

    def loss(*inputs):
        outputs = numpy_reference.lstm(*inputs, mask=mask)
        return sum(np.sum(y * g) for y, g in zip(outputs, upstream, strict=True))

    _, gradients = tape_gradients(lambda *i: lstm(*i, mask=mask), inputs, upstream)
    assert relative_error(gradients, finite_differences(loss, inputs)) < 1e-6


@pytest.mark.parametrize("options", [{}, {"unroll": True}, {"recompute": "all"}], ids=str)
def test_gradients_equal_autodiff_of_the_same_forward_pass(mask, options):
    inputs = sequence_problem(gates=4, states=2)
    upstream = upstream_like(numpy_reference.lstm(*inputs))
    outputs, gradients = tape_gradients(
        lambda *i: lstm(*i, mask=mask, **options), inputs, upstream
    )
    wanted_outputs, wanted = tape_gradients(
        lambda *i: plain_lstm(*i, mask=mask), inputs, upstream
    )
    assert relative_error(outputs, wanted_outputs) < 1e-12
    assert relative_error(gradients, wanted) < 1e-12


@pytest.mark.parametrize(("activation", "recurrent_activation"), ACTIVATION_PAIRS)
def test_gradients_of_every_activation_equal_finite_differences(
    activation, recurrent_activation
):
    options = {"activation": activation, "recurrent_activation": recurrent_activation}
    inputs = sequence_problem(gates=4, states=2, seed=5)
    mask = MASKS["holes"]
    reference = numpy_reference.lstm(*inputs, mask=mask, **options)
    upstream = upstream_like(reference)

    def loss(*inputs):
        outputs = numpy_reference.lstm(*inputs, mask=mask, **options)
        return sum(np.sum(y * g) for y, g in zip(outputs, upstream, strict=True))

    outputs, gradients = tape_gradients(
        lambda *i: lstm(*i, mask=mask, **options), inputs, upstream
    )
    assert relative_error(outputs, reference) < 1e-12
    assert relative_error(gradients, finite_differences(loss, inputs)) < 1e-6


@pytest.mark.parametrize("bias", [True, False])
def test_step_equals_the_equations_and_finite_differences(bias):
    x, h, c, kernel, recurrent_kernel, b = sequence_problem(gates=4, states=2)
    inputs = [x[:, 0], h, c, kernel, recurrent_kernel] + [b] * bias
    expected = numpy_reference.lstm_step(*inputs)
    upstream = upstream_like(expected)

    def loss(*inputs):
        outputs = numpy_reference.lstm_step(*inputs)
        return sum(np.sum(y * g) for y, g in zip(outputs, upstream, strict=True))

    outputs, gradients = tape_gradients(lstm_step, inputs, upstream)
    assert relative_error(outputs, expected) < 1e-14
    assert relative_error(gradients, finite_differences(loss, inputs)) < 1e-6


def test_sequence_equals_its_steps():
    x, h, c, *weights = map(tf.constant, sequence_problem(gates=4, states=2))
    sequence, last_h, last_c = lstm(x, h, c, *weights)
    for t in range(T):
        h, c = lstm_step(x[:, t], h, c, *weights)
        np.testing.assert_allclose(sequence[:, t], h, rtol=0, atol=1e-15)
    np.testing.assert_allclose(last_h, h, rtol=0, atol=1e-15)
    np.testing.assert_allclose(last_c, c, rtol=0, atol=1e-15)


def test_equals_keras_with_the_same_weights(mask):
    x, h0, c0, *weights = sequence_problem(gates=4, states=2)
    layer = keras.layers.LSTM(
        H, return_sequences=True, return_state=True, dtype="float64"
    )
    layer.build((N, T, D))
    layer.set_weights(weights)
    x, h0, c0 = map(tf.constant, (x, h0, c0))
    variables = [x, h0, c0, *(weight.value for weight in layer.trainable_weights)]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        expected = layer(x, initial_state=[h0, c0], mask=mask)
    upstream = upstream_like(expected)
    wanted = tape.gradient(
        expected, variables, output_gradients=[tf.constant(g) for g in upstream]
    )
    outputs, gradients = tape_gradients(
        lambda *i: lstm(*i, mask=mask), [x, h0, c0, *weights], upstream
    )
    assert relative_error(outputs, [o.numpy() for o in expected]) < 1e-12
    assert relative_error(gradients, [g.numpy() for g in wanted]) < 1e-12


@pytest.mark.parametrize("gates", [1, 4], ids=["one_mask", "a_mask_a_gate"])
def test_dropout_masks_scale_what_the_gates_see(gates):
    x, h0, c0, kernel, recurrent_kernel, bias = sequence_problem(gates=4, states=2)
    draw = np.random.default_rng(2).binomial
    on_x = draw(1, 0.5, size=(gates, N, D)) * 2.0
    on_h = draw(1, 0.5, size=(gates, N, H)) * 2.0

    def plain(x, h, c, kernel, recurrent_kernel, bias):
        kernels = tf.split(kernel, 4, axis=1)
        recurrent_kernels = tf.split(recurrent_kernel, 4, axis=1)
        outputs = []
        for t in range(T):
            i, f, candidate, o = (
                (x[:, t] * on_x[k % gates]) @ kernels[k]
                + (h * on_h[k % gates]) @ recurrent_kernels[k]
                + bias[k * H : (k + 1) * H]
                for k in range(4)
            )
            c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(candidate)
            h = tf.sigmoid(o) * tf.tanh(c)
            outputs.append(h)
        return tf.stack(outputs, axis=1), h, c

    inputs = [x, h0, c0, kernel, recurrent_kernel, bias]
    upstream = upstream_like(numpy_reference.lstm(*inputs))
    options = {
        "dropout_mask": tf.constant(on_x if gates == 4 else on_x[0]),
        "recurrent_dropout_mask": tf.constant(on_h if gates == 4 else on_h[0]),
    }
    outputs, gradients = tape_gradients(lambda *i: lstm(*i, **options), inputs, upstream)
    wanted_outputs, wanted = tape_gradients(plain, inputs, upstream)
    assert relative_error(outputs, wanted_outputs) < 1e-12
    assert relative_error(gradients, wanted) < 1e-12
    step_inputs = [x[:, 0], h0, c0, kernel, recurrent_kernel, bias]
    step_outputs, step_gradients = tape_gradients(
        lambda *i: lstm_step(*i, **options), step_inputs, upstream[1:]
    )
    _, *wanted_step = tape_gradients(
        lambda x, *i: lstm(x[:, tf.newaxis], *i, **options)[1:], step_inputs, upstream[1:]
    )
    assert relative_error(step_gradients, *wanted_step) < 1e-12
    assert step_outputs[0].shape == (N, H)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("recompute", [None, "all"])
def test_second_derivatives_equal_those_of_autodiff(graph, recompute):
    inputs = [tf.constant(value) for value in sequence_problem(gates=4, states=2)]
    upstream = [tf.constant(g) for g in upstream_like(plain_lstm(*inputs))]
    mask = tf.constant(MASKS["holes"])

    def derivatives(function):
        with tf.GradientTape() as outer:
            outer.watch([*inputs, *upstream])
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                outputs = function(*inputs, mask=mask)
            gradients = inner.gradient(outputs, inputs, output_gradients=upstream)
            curved = tf.add_n([tf.reduce_sum(tf.sin(g)) for g in gradients])
        return outer.gradient(curved, [*inputs, *upstream])

    def ours():
        return derivatives(functools.partial(lstm, recompute=recompute))

    actual = tf.function(ours, autograph=False)() if graph else ours()
    wanted = derivatives(plain_lstm)
    assert (
        relative_error([a.numpy() for a in actual], [w.numpy() for w in wanted]) < 1e-12
    )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_traced_with_unknown_batch_and_length(jit_compile):
    inputs = sequence_problem(gates=4, states=2)
    mask = MASKS["holes"]

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[
            tf.TensorSpec((None, None, D), tf.float64),
            tf.TensorSpec((None, None), tf.bool),
        ],
    )
    def gradients(x, mask):
        with tf.GradientTape() as tape:
            tape.watch(x)
            states = [tf.constant(state)[: tf.shape(x)[0]] for state in inputs[1:3]]
            sequence, h, c = lstm(x, *states, *inputs[3:], mask=mask)
            loss = tf.reduce_sum(sequence) + tf.reduce_sum(h * c)
        assert tuple(sequence.shape) == (None, None, H)
        return sequence, tape.gradient(loss, x)

    def plain(x):
        sequence, h, c = plain_lstm(x, *inputs[1:], mask=mask)
        return [tf.reduce_sum(sequence) + tf.reduce_sum(h * c)]

    _, wanted = tape_gradients(plain, inputs[:1], [np.array(1.0)])
    sequence, actual = gradients(inputs[0], mask)
    assert relative_error([actual.numpy()], wanted) < 1e-12
    assert sequence.shape == (N, T, H)


def test_right_padding_equals_truncation_with_zero_gradient_there():
    inputs = sequence_problem(gates=4, states=2)
    mask = MASKS["right padded"]
    (_, h, c), (d_x, *_) = tape_gradients(
        lambda *i: lstm(*i, mask=mask), inputs, upstream_like(plain_lstm(*inputs))
    )
    x, h0, c0, *weights = inputs
    for n, length in enumerate(mask.sum(axis=1)):
        one = slice(n, n + 1)
        _, short_h, short_c = lstm(x[one, :length], h0[one], c0[one], *weights)
        np.testing.assert_allclose(h[one], short_h, rtol=0, atol=1e-15)
        np.testing.assert_allclose(c[one], short_c, rtol=0, atol=1e-15)
    assert np.all(d_x[~mask] == 0)
    assert np.all(d_x[mask] != 0)


def test_two_chunks_with_the_state_carried_over_equal_one_run():
    x, h0, c0, *weights = sequence_problem(gates=4, states=2)
    whole, last_h, last_c = lstm(x, h0, c0, *weights)
    first, h, c = lstm(x[:, :1], h0, c0, *weights)
    second, h, c = lstm(x[:, 1:], h, c, *weights)
    np.testing.assert_allclose(tf.concat([first, second], axis=1), whole, atol=1e-15)
    np.testing.assert_allclose(h, last_h, atol=1e-15)
    np.testing.assert_allclose(c, last_c, atol=1e-15)


def test_zero_output_for_mask_and_no_sequence():
    inputs = sequence_problem(gates=4, states=2)
    mask = MASKS["holes"]
    plain, h, c = lstm(*inputs, mask=mask)
    zeroed, _, _ = lstm(*inputs, mask=mask, zero_output_for_mask=True)
    np.testing.assert_array_equal(zeroed, np.where(mask[..., None], plain, 0))
    none, only_h, only_c = lstm(*inputs, mask=mask, return_sequences=False)
    assert none is None
    np.testing.assert_array_equal(only_h, h)
    np.testing.assert_array_equal(only_c, c)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_shape_and_mask(data):
    n, t, d, h = (data.draw(st.integers(1, top)) for top in (3, 5, 3, 3))
    mask = data.draw(hnp.arrays(bool, (n, t)))
    inputs = sequence_problem(
        4, 2, seed=data.draw(st.integers(0, 99)), n=n, t=t, d=d, h=h
    )
    reference = numpy_reference.lstm(*inputs, mask=mask)
    upstream = upstream_like(reference)
    outputs, gradients = tape_gradients(lambda *i: lstm(*i, mask=mask), inputs, upstream)
    _, wanted = tape_gradients(
        lambda *i: plain_lstm(*i, mask=tf.constant(mask)), inputs, upstream
    )
    assert relative_error(outputs, reference) < 1e-12
    assert relative_error(gradients, wanted) < 1e-12
    assert np.all(gradients[0][~mask] == 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((N, D))}, r"`x`, expected .* \(N, T, D\), got .* \(3, 2\)"),
        ({"h0": np.zeros((N, 5))}, r"`h0`, expected .* \(N, 3\), got .* \(3, 5\)"),
        ({"c0": np.zeros(H)}, r"`c0`, expected .* \(N, 3\), got .* \(3,\)"),
        (
            {"kernel": np.zeros((D, 3 * H))},
            r"`kernel`.* \(2, 12\), .* \(2, 9\)",
        ),
        (
            {"recurrent_kernel": np.zeros((H, H))},
            r"`recurrent_kernel`.*\(3, 3\)",
        ),
        ({"bias": np.zeros(H)}, r"`bias`, expected .* \(12\), got .* \(3,\)"),
        ({"mask": np.ones(T, bool)}, r"`mask`, expected .* \(N, T\), got .* \(4,\)"),
        ({"activation": "gelu"}, r"`activation`, expected one of tanh, .* got gelu"),
        ({"recurrent_activation": "softmax"}, r"`recurrent_activation`.* got softmax"),
        ({"recompute": "none"}, r"`recompute`, expected one of None, .*, got 'none'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_refuses(changes, message):
    names = ("x", "h0", "c0", "kernel", "recurrent_kernel", "bias")
    arguments = dict(zip(names, sequence_problem(gates=4, states=2), strict=True))
    with pytest.raises(ValueError, match=message):
        lstm(**{**arguments, **changes})


def test_refuses_to_unroll_an_unknown_length():
    inputs = sequence_problem(gates=4, states=2)

    @tf.function(input_signature=[tf.TensorSpec((N, None, D), tf.float64)])
    def run(x):
        return lstm(x, *inputs[1:], unroll=True)[1]

    with pytest.raises(ValueError, match=r"`unroll`, expected False .* got True"):
        run(inputs[0])


@pytest.mark.parametrize("pair", ACTIVATION_PAIRS[:3], ids="_".join)
def test_faster_steps_equal_the_equations(pair):
    """The steps that run operation by operation against those that the page derives."""
    psi, phi = map(get_activation, pair)
    draw = np.random.default_rng(0).normal
    a, c_before, delta, gamma = (tf.constant(draw(size=(5, k * H))) for k in (4, 1, 1, 1))
    h, c, gates = forward_step(a, c_before, psi, phi)
    if pair == ("tanh", "sigmoid"):
        s, m = scale_and_middle(tf.zeros((H, 4 * H), tf.float64))
        for fast, plain in zip(
            one_tanh_step(a, c_before, s, m), (h, c, gates), strict=True
        ):
            np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-15)
    factors = local_factors(gates, c_before, c, psi, phi)
    for fast, plain in zip(
        factored_step(delta, gamma, *factors),
        backward_step(delta, gamma, gates, c_before, c, psi, phi),
        strict=True,
    ):
        np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-15)
