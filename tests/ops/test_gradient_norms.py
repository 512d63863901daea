"""The norms of δ and γ against TensorFlow's gradients of the states of a plain loop."""

import numpy as np
import pytest
import tensorflow as tf

from kerasdl.ops import lstm_gradient_norms
from tests.ops.networks import NETWORKS
from tests.ops.problems import MASKS, H, N, T, sequence_problem


def plain_states(name, x, states, weights, mask):
    """Returns the list over time of the states after each step."""
    kernel, recurrent_kernel, bias = weights
    history = []
    for t in range(T):
        m = True if mask is None else mask[:, t : t + 1]
        if name == "lstm":  # so that h_t is a function of the c_t that is returned
            a = x[:, t] @ kernel + states[0] @ recurrent_kernel + bias
            i, f, candidate, o = tf.split(a, 4, axis=1)
            new_c = tf.sigmoid(f) * states[1] + tf.sigmoid(i) * tf.tanh(candidate)
            c = tf.where(m, new_c, states[1])
            states = [tf.where(m, tf.sigmoid(o) * tf.tanh(c), states[0]), c]
        else:
            m = None if mask is None else m
            _, *states = NETWORKS[name].plain(x[:, t : t + 1], *states, *weights, mask=m)
        history.append(states)
    return history


@pytest.mark.parametrize("mask", ["none", "holes", "a row fully masked"])
@pytest.mark.parametrize("name", NETWORKS)
def test_equal_the_gradients_of_the_states(name, mask):
    network, mask = NETWORKS[name], MASKS[mask]
    x, *rest = map(tf.constant, network.problem())
    initial, weights = rest[: network.states], rest[network.states :]
    upstream = np.random.default_rng(1).normal(size=(N, T, H))
    with tf.GradientTape() as tape:
        tape.watch([x, *initial])
        history = plain_states(name, x, initial, weights, mask)
        loss = sum(tf.reduce_sum(history[t][0] * upstream[:, t]) for t in range(T))
    expected = tape.gradient(loss, history)
    norms = network.norms(x, *initial, *weights, mask, d_sequence=upstream)
    assert len(norms) == network.states
    for k, norm in enumerate(norms):
        for t in range(T):
            wanted = np.linalg.norm(expected[t][k], axis=-1)
            np.testing.assert_allclose(norm[:, t], wanted, rtol=0, atol=1e-12)


def test_refuse_an_upstream_gradient_of_another_width():
    inputs = sequence_problem(4, 2)
    with pytest.raises(ValueError, match=r"`d_sequence`, .*\(N, T, 3\), .*\(3, 4, 5\)"):
        lstm_gradient_norms(*inputs, d_sequence=np.zeros((N, T, 5)))
