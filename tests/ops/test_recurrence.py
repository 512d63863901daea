"""States that are not given are zero."""

import numpy as np
import pytest
import tensorflow as tf

from kerasdl.ops import lstm
from kerasdl.ops.execution import emissions_in_buffers
from tests.ops.gradient_checks import relative_error, tape_gradients
from tests.ops.networks import NETWORKS
from tests.ops.problems import MASKS, H, N, sequence_problem, upstream_like


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


def problem(name, **options):
    """Returns the op, x, the number of its states, and its weights."""
    network = NETWORKS[name]
    x, *rest = network.problem(**options)
    return network.op, x, network.states, rest[network.states :]


def both(op, x, states, weights, wrap=lambda run: run, **options):
    """Outputs and gradients of x and weights without states, and from zero states."""
    zeros = [np.zeros((x.shape[0], H))] * states
    upstream = upstream_like(op(x, *zeros, *weights, **options))

    def results(initial):
        run = wrap(lambda x, *weights: op(x, *initial, *weights, **options))
        return tape_gradients(run, [x, *weights], upstream)

    return results([None] * states), results(zeros)


def check(pair):
    (outputs, gradients), (wanted_outputs, wanted) = pair
    assert relative_error(outputs, wanted_outputs) < 1e-12
    assert relative_error(gradients, wanted) < 1e-12


@pytest.mark.parametrize("kind", ["none", "holes", "a row fully masked"])
@pytest.mark.parametrize("options", [{}, {"unroll": True}, {"recompute": "all"}], ids=str)
def test_no_states_are_zero_states(name, kind, options):
    check(both(*problem(name), mask=MASKS[kind], **options))


def test_no_states_where_the_backward_pass_runs_segments(name):
    check(both(*problem(name), recompute="sqrt"))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_no_states_in_a_graph(name, jit_compile):
    def wrap(run):
        return tf.function(run, jit_compile=jit_compile, autograph=False)

    check(both(*problem(name, t=9), wrap=wrap))


def test_no_states_and_one_step(name):
    check(both(*problem(name, t=1)))


def test_no_states_and_an_unknown_length(name):
    def wrap(run):
        unknown = tf.TensorSpec((None, None, 2), tf.float64)

        def spread(x, *weights):
            length_hidden = tf.function(
                lambda x: run(x, *weights), input_signature=[unknown], autograph=False
            )
            return length_hidden(x)

        return spread

    check(both(*problem(name), wrap=wrap))


def test_no_states_with_dropped_ones(name):
    factors = np.random.default_rng(2).integers(0, 2, size=(N, H)) * 2.0
    check(both(*problem(name), recurrent_dropout_mask=factors))


def test_no_states_in_buffers(name):
    op, x, states, weights = problem(name)
    with emissions_in_buffers():
        actual = op(x, *[None] * states, *weights)
    wanted = op(x, *[np.zeros((N, H))] * states, *weights)
    assert relative_error(actual, wanted) < 1e-12


def test_one_state_may_be_left_out():
    x, h0, _, *weights = sequence_problem(gates=4, states=2)
    for actual, wanted in zip(
        lstm(x, h0, None, *weights), lstm(x, h0, np.zeros((N, H)), *weights), strict=True
    ):
        np.testing.assert_array_equal(actual, wanted)


def test_no_states_and_second_derivatives(name):
    op, x, states, weights = problem(name)

    def second(initial):
        inputs = [tf.constant(v) for v in (x, *weights)]
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                loss = tf.reduce_sum(op(inputs[0], *initial, *inputs[1:])[0] ** 3)
            first = inner.gradient(loss, inputs)
            total = tf.add_n([tf.reduce_sum(g**2) for g in first])
        return outer.gradient(total, inputs)

    wanted = second([tf.zeros((N, H), tf.float64)] * states)
    assert relative_error(second([None] * states), wanted) < 1e-12


def test_norms_of_the_gradient_without_states(name):
    _, x, states, weights = problem(name)
    (upstream,) = upstream_like([np.zeros((*x.shape[:2], H))])
    norms = [
        NETWORKS[name].norms(x, *[initial] * states, *weights, d_sequence=upstream)
        for initial in (None, np.zeros((N, H)))
    ]
    for actual, wanted in zip(*norms, strict=True):
        np.testing.assert_array_equal(actual, wanted)
