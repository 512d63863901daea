import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kerasdl.ops import simple_rnn, simple_rnn_step
from kerasdl.ops.activations import ACTIVATIONS
from tests.ops import numpy_reference
from tests.ops.gradient_checks import finite_differences, relative_error, tape_gradients
from tests.ops.problems import MASKS, D, H, N, T, sequence_problem, upstream_like


def plain_simple_rnn(x, h, kernel, recurrent_kernel, bias, mask=None):
    """The same forward pass with nothing of ours, for TensorFlow to differentiate."""
    y, outputs = tf.zeros_like(h), []
    for t in range(x.shape[1]):
        new_h = tf.tanh(x[:, t] @ kernel + h @ recurrent_kernel + bias)
        m = tf.ones((x.shape[0], 1), tf.bool) if mask is None else mask[:, t : t + 1]
        h, y = tf.where(m, new_h, h), tf.where(m, new_h, y)
        outputs.append(y)
    return tf.stack(outputs, axis=1), h


@pytest.fixture(params=MASKS, ids=lambda name: name.replace(" ", "_"))
def mask(request):
    return MASKS[request.param]


def problem(**options):
    return sequence_problem(gates=1, states=1, **options)


def test_sequence_equals_the_equations(mask):
    inputs = problem()
    expected = numpy_reference.simple_rnn(*inputs, mask=mask)
    for actual, wanted in zip(simple_rnn(*inputs, mask=mask), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("used", [(0,), (1,), (0, 1)], ids=str)
def test_gradients_from_each_output_equal_finite_differences(mask, used):
    inputs = problem()
    upstream = upstream_like(numpy_reference.simple_rnn(*inputs, mask=mask))
    upstream = [g * (k in used) for k, g in enumerate(upstream)]

    def loss(*inputs):
        outputs = numpy_reference.simple_rnn(*inputs, mask=mask)
        return sum(np.sum(y * g) for y, g in zip(outputs, upstream, strict=True))

    _, gradients = tape_gradients(lambda *i: simple_rnn(*i, mask=mask), inputs, upstream)
    assert relative_error(gradients, finite_differences(loss, inputs)) < 1e-6


@pytest.mark.parametrize("options", [{}, {"unroll": True}, {"recompute": "all"}], ids=str)
def test_gradients_equal_autodiff_of_the_same_forward_pass(mask, options):
    inputs = problem()
    upstream = upstream_like(numpy_reference.simple_rnn(*inputs))
    outputs, gradients = tape_gradients(
        lambda *i: simple_rnn(*i, mask=mask, **options), inputs, upstream
    )
    wanted_outputs, wanted = tape_gradients(
        lambda *i: plain_simple_rnn(*i, mask=mask), inputs, upstream
    )
    assert relative_error(outputs, wanted_outputs) < 1e-12
    assert relative_error(gradients, wanted) < 1e-12


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_every_activation_equal_finite_differences(activation):
    inputs = problem(seed=5)
    mask = MASKS["holes"]
    reference = numpy_reference.simple_rnn(*inputs, mask=mask, activation=activation)
    upstream = upstream_like(reference)

    def loss(*inputs):
        outputs = numpy_reference.simple_rnn(*inputs, mask=mask, activation=activation)
        return sum(np.sum(y * g) for y, g in zip(outputs, upstream, strict=True))

    outputs, gradients = tape_gradients(
        lambda *i: simple_rnn(*i, mask=mask, activation=activation), inputs, upstream
    )
    assert relative_error(outputs, reference) < 1e-12
    assert relative_error(gradients, finite_differences(loss, inputs)) < 1e-6


@pytest.mark.parametrize("bias", [True, False])
def test_step_equals_the_equations_and_finite_differences(bias):
    x, h, kernel, recurrent_kernel, b = problem()
    inputs = [x[:, 0], h, kernel, recurrent_kernel] + [b] * bias
    expected = numpy_reference.simple_rnn_step(*inputs)
    (upstream,) = upstream_like([expected])

    def loss(*inputs):
        return np.sum(numpy_reference.simple_rnn_step(*inputs) * upstream)

    outputs, gradients = tape_gradients(
        lambda *i: [simple_rnn_step(*i)], inputs, [upstream]
    )
    assert relative_error(outputs, [expected]) < 1e-14
    assert relative_error(gradients, finite_differences(loss, inputs)) < 1e-6


def test_sequence_equals_its_steps():
    x, h, *weights = map(tf.constant, problem())
    sequence, last_h = simple_rnn(x, h, *weights)
    for t in range(T):
        h = simple_rnn_step(x[:, t], h, *weights)
        np.testing.assert_allclose(sequence[:, t], h, rtol=0, atol=1e-15)
    np.testing.assert_allclose(last_h, h, rtol=0, atol=1e-15)


def test_equals_keras_with_the_same_weights(mask):
    x, h0, *weights = problem()
    layer = keras.layers.SimpleRNN(
        H, return_sequences=True, return_state=True, dtype="float64"
    )
    layer.build((N, T, D))
    layer.set_weights(weights)
    x, h0 = map(tf.constant, (x, h0))
    variables = [x, h0, *(weight.value for weight in layer.trainable_weights)]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        expected = layer(x, initial_state=[h0], mask=mask)
    upstream = upstream_like(expected)
    wanted = tape.gradient(
        expected, variables, output_gradients=[tf.constant(g) for g in upstream]
    )
    outputs, gradients = tape_gradients(
        lambda *i: simple_rnn(*i, mask=mask), [x, h0, *weights], upstream
    )
    assert relative_error(outputs, [o.numpy() for o in expected]) < 1e-12
    assert relative_error(gradients, [g.numpy() for g in wanted]) < 1e-12


def test_dropout_masks_scale_what_the_step_sees():
    inputs = problem()
    draw = np.random.default_rng(2).binomial
    on_x = tf.constant(draw(1, 0.5, size=(N, D)) * 2.0)
    on_h = tf.constant(draw(1, 0.5, size=(N, H)) * 2.0)

    def plain(x, h, kernel, recurrent_kernel, bias):
        outputs = []
        for t in range(T):
            h = tf.tanh((x[:, t] * on_x) @ kernel + (h * on_h) @ recurrent_kernel + bias)
            outputs.append(h)
        return tf.stack(outputs, axis=1), h

    upstream = upstream_like(numpy_reference.simple_rnn(*inputs))
    options = {"dropout_mask": on_x, "recurrent_dropout_mask": on_h}
    outputs, gradients = tape_gradients(
        lambda *i: simple_rnn(*i, **options), inputs, upstream
    )
    wanted_outputs, wanted = tape_gradients(plain, inputs, upstream)
    assert relative_error(outputs, wanted_outputs) < 1e-12
    assert relative_error(gradients, wanted) < 1e-12


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("recompute", [None, "all"])
def test_second_derivatives_equal_those_of_autodiff(graph, recompute):
    inputs = [tf.constant(value) for value in problem()]
    upstream = [tf.constant(g) for g in upstream_like(plain_simple_rnn(*inputs))]
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
        return derivatives(functools.partial(simple_rnn, recompute=recompute))

    actual = tf.function(ours, autograph=False)() if graph else ours()
    wanted = derivatives(plain_simple_rnn)
    assert (
        relative_error([a.numpy() for a in actual], [w.numpy() for w in wanted]) < 1e-12
    )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_traced_with_unknown_batch_and_length(jit_compile):
    inputs = problem()
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
            h0 = tf.constant(inputs[1])[: tf.shape(x)[0]]
            sequence, h = simple_rnn(x, h0, *inputs[2:], mask=mask)
            loss = tf.reduce_sum(sequence) + tf.reduce_sum(h * h)
        assert tuple(sequence.shape) == (None, None, H)
        return sequence, tape.gradient(loss, x)

    def plain(x):
        sequence, h = plain_simple_rnn(x, *inputs[1:], mask=mask)
        return [tf.reduce_sum(sequence) + tf.reduce_sum(h * h)]

    _, wanted = tape_gradients(plain, inputs[:1], [np.array(1.0)])
    sequence, actual = gradients(inputs[0], mask)
    assert relative_error([actual.numpy()], wanted) < 1e-12
    assert sequence.shape == (N, T, H)


def test_right_padding_equals_truncation_with_zero_gradient_there():
    inputs = problem()
    mask = MASKS["right padded"]
    (_, h), (d_x, *_) = tape_gradients(
        lambda *i: simple_rnn(*i, mask=mask),
        inputs,
        upstream_like(plain_simple_rnn(*inputs)),
    )
    x, h0, *weights = inputs
    for n, length in enumerate(mask.sum(axis=1)):
        one = slice(n, n + 1)
        _, short_h = simple_rnn(x[one, :length], h0[one], *weights)
        np.testing.assert_allclose(h[one], short_h, rtol=0, atol=1e-15)
    assert np.all(d_x[~mask] == 0)
    assert np.all(d_x[mask] != 0)


def test_two_chunks_with_the_state_carried_over_equal_one_run():
    x, h0, *weights = problem()
    whole, last_h = simple_rnn(x, h0, *weights)
    first, h = simple_rnn(x[:, :1], h0, *weights)
    second, h = simple_rnn(x[:, 1:], h, *weights)
    np.testing.assert_allclose(tf.concat([first, second], axis=1), whole, atol=1e-15)
    np.testing.assert_allclose(h, last_h, atol=1e-15)


def test_zero_output_for_mask_and_no_sequence():
    inputs = problem()
    mask = MASKS["holes"]
    plain, h = simple_rnn(*inputs, mask=mask)
    zeroed, _ = simple_rnn(*inputs, mask=mask, zero_output_for_mask=True)
    np.testing.assert_array_equal(zeroed, np.where(mask[..., None], plain, 0))
    none, only_h = simple_rnn(*inputs, mask=mask, return_sequences=False)
    assert none is None
    np.testing.assert_array_equal(only_h, h)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_shape_and_mask(data):
    n, t, d, h = (data.draw(st.integers(1, top)) for top in (3, 5, 3, 3))
    mask = data.draw(hnp.arrays(bool, (n, t)))
    inputs = problem(seed=data.draw(st.integers(0, 99)), n=n, t=t, d=d, h=h)
    reference = numpy_reference.simple_rnn(*inputs, mask=mask)
    upstream = upstream_like(reference)
    outputs, gradients = tape_gradients(
        lambda *i: simple_rnn(*i, mask=mask), inputs, upstream
    )
    _, wanted = tape_gradients(
        lambda *i: plain_simple_rnn(*i, mask=tf.constant(mask)), inputs, upstream
    )
    assert relative_error(outputs, reference) < 1e-12
    assert relative_error(gradients, wanted) < 1e-12
    assert np.all(gradients[0][~mask] == 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((N, D))}, r"`x`, expected .* \(N, T, D\), got .* \(3, 2\)"),
        ({"h0": np.zeros((N, 5))}, r"`h0`, expected .* \(N, 3\), got .* \(3, 5\)"),
        (
            {"kernel": np.zeros((D, 5))},
            r"`kernel`.* \(2, 3\), got .* \(2, 5\)",
        ),
        (
            {"recurrent_kernel": np.zeros((H, 2))},
            r"`recurrent_kernel`.*\(3, 2\)",
        ),
        ({"bias": np.zeros(5)}, r"`bias`, expected .* \(3\), got .* \(5,\)"),
        ({"mask": np.ones(T, bool)}, r"`mask`, expected .* \(N, T\), got .* \(4,\)"),
        ({"activation": "gelu"}, r"`activation`, expected one of tanh, .* got gelu"),
        ({"recompute": "none"}, r"`recompute`, expected one of None, .*, got 'none'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_refuses(changes, message):
    names = ("x", "h0", "kernel", "recurrent_kernel", "bias")
    with pytest.raises(ValueError, match=message):
        simple_rnn(**{**dict(zip(names, problem(), strict=True)), **changes})


def test_refuses_to_unroll_an_unknown_length():
    @tf.function(input_signature=[tf.TensorSpec((N, None, D), tf.float64)])
    def run(x):
        return simple_rnn(x, *problem()[1:], unroll=True)[1]

    with pytest.raises(ValueError, match=r"`unroll`, expected False .* got True"):
        run(problem()[0])
