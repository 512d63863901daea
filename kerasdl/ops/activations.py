"""Activations of recurrent layers, each with its derivative written from its value.

A backward pass that reads the derivative off the value y = φ(a) needs no stored
pre-activation a. That is possible for each function here, which is why others are
refused: silently differentiating them in some other way would break the promise that
every gradient of this package was derived by hand.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Activation(NamedTuple):
    """A pointwise function and its derivative.

    Attributes:
        name: Keras's name of the function.
        function: a -> y = φ(a), any shape.
        slope: y -> φ'(a) written from the value y, same shape.
    """

    name: str
    function: Callable
    slope: Callable

    def __call__(self, a):
        """Returns φ(a)."""
        return self.function(a)


def _hard_sigmoid(a):
    return tf.nn.relu6(a + 3) / 6


ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation("tanh", tf.tanh, lambda y: 1 - y * y),
        Activation("sigmoid", tf.sigmoid, lambda y: y * (1 - y)),
        Activation("relu", tf.nn.relu, lambda y: tf.cast(y > 0, y.dtype)),
        Activation("linear", tf.identity, tf.ones_like),
        Activation(
            "hard_sigmoid",
            _hard_sigmoid,
            lambda y: tf.cast((y > 0) & (y < 1), y.dtype) / 6,
        ),
    )
}


def get_activation(name, argument="activation"):
    """Returns the `Activation` of that name.

    Args:
        name: one of `tanh`, `sigmoid`, `relu`, `linear`, `hard_sigmoid`.
        argument: what the caller's argument is called, for the message.

    Raises:
        ValueError: for any other name.
    """
    if name not in ACTIVATIONS:
        raise ValueError(
            f"Received an invalid value for argument `{argument}`, expected one of "
            f"{', '.join(ACTIVATIONS)} (the activations whose derivative kerasdl "
            f"knows), got {name}."
        )
    return ACTIVATIONS[name]
