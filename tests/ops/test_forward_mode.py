"""Forward-mode differentiation, alone, over reverse mode and under it."""

import numpy as np
import pytest
import tensorflow as tf

from tests.ops.networks import NETWORKS
from tests.ops.problems import MASKS, D, T


@pytest.fixture(params=NETWORKS)
def network(request):
    return NETWORKS[request.param]


@pytest.fixture
def problem(network):
    """Returns a function of x and the weights, and these with tangents."""
    inputs = [tf.constant(value) for value in network.problem()]
    draw = np.random.default_rng(9).normal
    tangents = [tf.constant(draw(size=value.shape)) for value in inputs]

    def run(*inputs):
        return network.op(*inputs, mask=MASKS["holes"])[0]

    return run, inputs, tangents


def difference(function, inputs, tangents, step=1e-6):
    ends = [
        function(*(x + sign * step * v for x, v in zip(inputs, tangents, strict=True)))
        for sign in (1, -1)
    ]
    return (ends[0] - ends[1]) / (2 * step)


def test_derivative_along_a_direction(problem):
    run, inputs, tangents = problem
    with tf.autodiff.ForwardAccumulator(inputs, tangents) as forward:
        outputs = run(*inputs)
    expected = difference(run, inputs, tangents)
    np.testing.assert_allclose(forward.jvp(outputs), expected, rtol=0, atol=1e-7)


def gradient_of(run):
    def gradient(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(tf.sin(run(*inputs)))
        return tape.gradient(loss, inputs[0])

    return gradient


def test_forward_over_reverse(problem):
    run, inputs, tangents = problem
    gradient = gradient_of(run)
    with tf.autodiff.ForwardAccumulator(inputs, tangents) as forward:
        d_x = gradient(*inputs)
    expected = difference(gradient, inputs, tangents)
    np.testing.assert_allclose(forward.jvp(d_x), expected, rtol=0, atol=1e-7)


def test_reverse_over_forward(problem, network):
    run, inputs, tangents = problem

    def derivative(function):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            with tf.autodiff.ForwardAccumulator(inputs, tangents) as forward:
                outputs = function(*inputs)
            loss = tf.reduce_sum(tf.sin(forward.jvp(outputs)))
        return tape.gradient(loss, inputs[0])

    mask = tf.constant(MASKS["holes"])
    expected = derivative(lambda *inputs: network.plain(*inputs, mask=mask)[0])
    np.testing.assert_allclose(derivative(run), expected, rtol=0, atol=1e-12)


def test_a_tangent_that_only_the_gradients_from_above_have(problem):
    run, inputs, _ = problem
    scale = tf.constant(1.3, tf.float64)
    with tf.autodiff.ForwardAccumulator(scale, tf.ones_like(scale)) as forward:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = scale * tf.reduce_sum(run(*inputs))
        gradients = tape.gradient(loss, inputs)
    for gradient in gradients:
        actual = forward.jvp(gradient)
        np.testing.assert_allclose(actual, gradient / scale, rtol=0, atol=1e-12)


def test_inside_a_function(problem):
    run, (x, *rest), (tangent, *_) = problem

    @tf.function(autograph=False)
    def derivative(x):
        with tf.autodiff.ForwardAccumulator(x, tangent) as forward:
            outputs = run(x, *rest)
        return forward.jvp(outputs)

    expected = difference(lambda x: run(x, *rest), [x], [tangent])
    np.testing.assert_allclose(derivative(x), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("steps", [T, None])
def test_what_tensorflow_cannot_do_is_an_error_and_not_zero(problem, steps):
    """TensorFlow 2.21 has no forward mode of nested custom gradients in a function."""
    run, (x, *rest), (tangent, *_) = problem
    function = tf.function(
        lambda x: run(x, *rest),
        autograph=False,
        input_signature=[tf.TensorSpec((3, steps, D), tf.float64)],
    )
    with (
        pytest.raises(TypeError, match="InternalError"),
        tf.autodiff.ForwardAccumulator(x, tangent),
    ):
        function(x)
