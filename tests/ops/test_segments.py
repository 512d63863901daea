"""Training that keeps the states of every √T-th step against training that keeps all."""

import numpy as np
import pytest
import tensorflow as tf

from kerasdl.ops import lstm
from tests.ops.gradient_checks import relative_error, tape_gradients
from tests.ops.networks import NETWORKS
from tests.ops.problems import MASKS, D, sequence_problem, upstream_like


def check(name, inputs, mask=None, run=None, **options):
    function = NETWORKS[name].op
    expected = NETWORKS[name].reference(*inputs, mask=mask)
    upstream = upstream_like(expected)
    _, wanted = tape_gradients(lambda *i: function(*i, mask=mask), inputs, upstream)
    outputs, gradients = tape_gradients(
        lambda *i: function(*i, mask=mask, recompute="sqrt", **options), inputs, upstream
    )
    assert relative_error(outputs, expected) < 1e-12
    assert relative_error(gradients, wanted) < 1e-12


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("steps", [1, 2, 4, 5, 10])
def test_any_number_of_steps(name, steps):
    check(name, NETWORKS[name].problem(t=steps))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("mask", MASKS)
def test_masks(name, mask):
    check(name, NETWORKS[name].problem(), MASKS[mask])


@pytest.mark.parametrize("name", NETWORKS)
def test_second_derivatives(name):
    function = NETWORKS[name].op
    inputs = [tf.constant(value) for value in NETWORKS[name].problem()]

    def derivatives(recompute):
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                outputs = function(*inputs, recompute=recompute)
            gradients = inner.gradient(outputs[0], inputs)
            curved = tf.add_n([tf.reduce_sum(tf.sin(g)) for g in gradients])
        return [g.numpy() for g in outer.gradient(curved, inputs)]

    assert relative_error(derivatives("sqrt"), derivatives(None)) < 1e-12


@pytest.mark.parametrize("jit_compile", [False, True])
def test_unknown_batch_and_length(jit_compile):
    inputs = sequence_problem(4, 2, t=7)
    inputs, weights = inputs[:3], inputs[3:]
    _, (wanted, *_) = tape_gradients(
        lambda x, *states: lstm(x, *states, *weights)[:1], inputs, [np.ones((3, 7, 3))]
    )

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[tf.TensorSpec((None, None, D), tf.float64)],
    )
    def gradient(x):
        states = [tf.constant(state)[: tf.shape(x)[0]] for state in inputs[1:]]
        with tf.GradientTape() as tape:
            tape.watch(x)
            sequence, *_ = lstm(x, *states, *weights, recompute="sqrt")
        return tape.gradient(sequence, x)

    assert relative_error([gradient(inputs[0]).numpy()], [wanted]) < 1e-12
