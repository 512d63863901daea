import numpy as np
import tensorflow as tf

from kerasdl.ops.activations import get_activation
from kerasdl.ops.lstm_gates import SeparateGates, TanhGates, make_gates

H = 3


def test_one_tanh_equals_separate_activations():
    generator = np.random.default_rng(0)
    v, kernel = generator.normal(size=(5, 2)), generator.normal(size=(2, 4 * H))
    one = TanhGates(H, tf.float64)
    separate = SeparateGates(H, get_activation("tanh"), get_activation("sigmoid"))
    results = []
    for gates in (one, separate):
        values = gates.values(tf.matmul(v, gates.scaled(tf.constant(kernel))))
        results.append((values, gates.slopes(values)))
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-15)


def test_one_tanh_is_taken_for_the_pair_of_activations_that_it_holds_for():
    kernel = tf.zeros((H, 4 * H))
    assert isinstance(make_gates("tanh", "sigmoid", kernel), TanhGates)
    for pair in (("sigmoid", "tanh"), ("tanh", "hard_sigmoid"), ("relu", "sigmoid")):
        assert isinstance(make_gates(*pair, kernel), SeparateGates)
