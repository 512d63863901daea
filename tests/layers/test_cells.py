import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import layers

N, T, D, H = 3, 4, 2, 5
CELLS = ("SimpleRNNCell", "LSTMCell", "GRUCell")


def draw(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape))


def pair(name, **arguments):
    """Returns Keras's cell and ours, built, with the same weights."""
    theirs, ours = (
        getattr(module, name)(H, dtype="float64", seed=1, **arguments)
        for module in (keras.layers, layers)
    )
    for cell in (theirs, ours):
        cell.build((N, D))
    ours.set_weights([draw(*w.shape, seed=2).numpy() for w in ours.get_weights()])
    theirs.set_weights(ours.get_weights())
    return theirs, ours


def results(function, inputs, weights):
    """Returns outputs and gradients of inputs and weights."""
    watched = [*inputs, *(weight.value for weight in weights)]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        outputs = tf.nest.flatten(function(*inputs))
        loss = sum(tf.reduce_sum(tf.sin(output)) for output in outputs)
    return [value.numpy() for value in (*outputs, *tape.gradient(loss, watched))]


def assert_same(theirs, ours):
    for expected, actual in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"use_bias": False},
        {"dropout": 0.4},
        {"dropout": 0.4, "recurrent_dropout": 0.4},
        {"activation": "sigmoid"},
    ],
    ids=str,
)
def test_step_equals_that_of_keras(name, arguments):
    theirs, ours = pair(name, **arguments)
    states = [draw(N, H, seed=k) for k in range(2 if name == "LSTMCell" else 1)]

    def step(cell):
        return lambda x, *states: cell(x, list(states), training=True)

    inputs = [draw(N, D), *states]
    expected, actual = (
        results(step(cell), inputs, cell.trainable_weights) for cell in (theirs, ours)
    )
    assert_same(expected, actual)


@pytest.mark.parametrize("name", CELLS)
def test_in_a_loop_of_keras_equals_our_layer(name):
    _, cell = pair(name)
    loop = keras.layers.RNN(cell, return_sequences=True, dtype="float64")
    layer = getattr(layers, name.removesuffix("Cell"))(
        H, return_sequences=True, dtype="float64"
    )
    layer.build((N, T, D))
    layer.set_weights(cell.get_weights())
    x = draw(N, T, D)
    np.testing.assert_allclose(loop(x), layer(x), rtol=0, atol=1e-14)


def test_stacked_cells_equal_those_of_keras():
    theirs, ours = (
        keras.layers.RNN(
            [
                module.LSTMCell(H, dtype="float64"),
                module.SimpleRNNCell(3, dtype="float64"),
            ],
            return_state=True,
            dtype="float64",
        )
        for module in (keras.layers, layers)
    )
    for layer in (theirs, ours):
        layer.build((N, T, D))
    theirs.set_weights(ours.get_weights())
    assert_same(
        *(
            results(
                lambda x, layer=layer: layer(x), [draw(N, T, D)], layer.trainable_weights
            )
            for layer in (theirs, ours)
        )
    )


@pytest.mark.parametrize("name", CELLS)
def test_config_makes_the_same_cell(name):
    cell = getattr(layers, name)(H, activation="relu", dropout=0.2, seed=4)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(cell)
    )
    assert type(again) is type(cell)
    assert again.get_config() == cell.get_config()


@pytest.mark.parametrize("name", CELLS)
def test_refuses(name):
    with pytest.raises(ValueError, match=r"`units`, expected a positive integer, got 0"):
        getattr(layers, name)(0)
    with pytest.raises(ValueError, match=r"`activation`, expected one of .* got .*silu"):
        getattr(layers, name)(H, activation="swish")


@pytest.mark.parametrize("name", ["SimpleRNNCell", "GRUCell"])
def test_takes_a_bare_state(name):
    cell = getattr(layers, name)(H)
    h, state = cell(tf.ones((N, D)), tf.zeros((N, H)))
    assert h.shape == (N, H)
    np.testing.assert_array_equal(h, state)
