"""The faster steps of the LSTM against the equations."""

import numpy as np
import pytest
import tensorflow as tf

from kerasdl.ops.activations import get_activation
from kerasdl.ops.lstm import (
    backward_step,
    factored_step,
    forward_step,
    local_factors,
    one_tanh_step,
    scale_and_middle,
)
from tests.ops.problems import H

PAIRS = [("tanh", "sigmoid"), ("tanh", "hard_sigmoid"), ("relu", "sigmoid")]


@pytest.mark.parametrize("pair", PAIRS, ids="_".join)
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
