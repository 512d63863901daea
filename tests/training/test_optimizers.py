"""Adam in one kernel: Keras's own steps, in one operation a variable."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.training.optimizers import Adam, AdamW

KINDS = {
    "Adam": (Adam, keras.optimizers.Adam, {}),
    "clipped": (Adam, keras.optimizers.Adam, {"global_clipnorm": 0.5}),
    "amsgrad": (Adam, keras.optimizers.Adam, {"amsgrad": True}),
    "AdamW": (AdamW, keras.optimizers.AdamW, {"weight_decay": 0.1}),
}


def trained(optimizer, dtype, sparse=False, in_graph=True, jit_compile=False):
    random = np.random.default_rng(0)
    variables = [
        keras.Variable(random.normal(size=shape), dtype=dtype) for shape in ((7, 3), (3,))
    ]
    optimizer.build(variables)

    def step(table, bias):
        if sparse:
            table = tf.IndexedSlices(table[:2], tf.constant([5, 1]), dense_shape=(7, 3))
        optimizer.apply_gradients(zip([table, bias], variables, strict=True))

    run = tf.function(step, jit_compile=jit_compile) if in_graph else step
    for k in range(5):
        optimizer.learning_rate = 0.1 / (k + 1)
        run(*(tf.constant(random.normal(size=v.shape), dtype) for v in variables))
    return [np.array(v) for v in (*variables, *optimizer.variables)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "how",
    [{}, {"in_graph": False}, {"jit_compile": True}, {"sparse": True}],
    ids=lambda how: "-".join(how) or "graph",
)
def test_equals_keras(kind, how):
    ours, keras_own, arguments = KINDS[kind]
    actual = trained(ours(0.1, **arguments), "float64", **how)
    expected = trained(keras_own(0.1, **arguments), "float64", **how)
    # Keras rounds the powers of beta to float32, whatever the variable's type.
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_equals_the_equations():
    """Kingma and Ba 2015, end of section 2, in float64."""
    random = np.random.default_rng(2)
    expected, m, v = random.normal(size=(4, 3)), 0.0, 0.0
    variable = keras.Variable(expected, dtype="float64")
    optimizer = Adam(0.125)
    optimizer.build([variable])
    for t in range(1, 6):
        g = random.normal(size=(4, 3))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        rate = 0.125 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        expected = expected - rate * m / (np.sqrt(v) + 1e-7)
        optimizer.apply_gradients([(tf.constant(g), variable)])
        np.testing.assert_allclose(np.array(variable), expected, rtol=1e-12)


def test_one_kernel_a_variable():
    variable = keras.Variable(tf.ones((4, 2)))
    optimizer = Adam(0.1)
    optimizer.build([variable])
    step = tf.function(lambda g: optimizer.apply_gradients([(g, variable)]))
    graph = step.get_concrete_function(tf.ones((4, 2))).graph
    names = [operation.type for operation in graph.get_operations()]
    assert names.count("ResourceApplyAdam") == 1
    assert "Sqrt" not in names


def test_comes_back_from_its_config():
    optimizer = keras.optimizers.deserialize(
        keras.optimizers.serialize(AdamW(0.2, weight_decay=0.3))
    )
    assert type(optimizer) is AdamW
    assert optimizer.weight_decay == pytest.approx(0.3)
