"""`help` and editors show the arguments that a layer takes, not `*args`."""

import inspect

import keras
import pytest
import tensorflow as tf

from kerasdl import layers

NAMES = ("LSTM", "GRU", "SimpleRNN", "LSTMCell", "GRUCell", "SimpleRNNCell")


@pytest.mark.parametrize("name", NAMES)
def test_the_arguments_are_those_of_keras(name):
    ours = inspect.signature(getattr(layers, name)).parameters
    theirs = inspect.signature(getattr(keras.layers, name)).parameters
    assert {n: p.default for n, p in ours.items() if n != "recompute"} == {
        n: p.default for n, p in theirs.items()
    }
    assert ("recompute" in ours) == (not name.endswith("Cell"))
    assert list(ours)[:2] == ["units", "activation"]


def test_a_subclass_shows_its_own():
    class Mine(layers.GRU):
        def __init__(self, size):
            super().__init__(size)

    class Same(layers.GRU):
        pass

    assert list(inspect.signature(Mine).parameters) == ["size"]
    assert inspect.signature(Same) == inspect.signature(layers.GRU)
    assert Mine(3).units == 3


@pytest.mark.parametrize("name", NAMES[:3])
def test_a_layer_itself_is_called_as_any_layer(name):
    """`tf.function` asks a layer, which is callable too, for its signature."""
    layer = getattr(layers, name)(4)
    assert inspect.signature(layer) == inspect.signature(getattr(keras.layers, name)(4))
    assert tf.function(layer)(tf.ones((2, 3, 5))).shape == (2, 4)
