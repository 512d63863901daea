"""One step of a vanilla recurrent network as a Keras cell."""

import keras

from kerasdl import ops
from kerasdl.layers.recurrent import activation_name, check_units, weights_of


@keras.saving.register_keras_serializable(package="kerasdl")
class SimpleRNNCell(keras.layers.SimpleRNNCell):
    """A `keras.layers.SimpleRNNCell` whose step is `kerasdl.ops.simple_rnn_step`.

    Args:
        units: H, a positive integer.
        activation: φ: tanh, sigmoid, relu, linear or hard_sigmoid, by name or as
            `keras.activations` function; None is linear.
        **kwargs: every other argument of `keras.layers.SimpleRNNCell` (`use_bias`,
            initialisers, regularisers, constraints, `dropout`, `recurrent_dropout`,
            `seed`, ...), with the same meaning and default.

    Call arguments:
        inputs: (N, D).
        states: [h (N, H)] or h.
        training: whether dropout applies.

    Returns:
        (h (N, H), [h]), or (h, h) where `states` was a tensor.

    Raises:
        ValueError: `units` is no positive integer, or kerasdl knows no derivative of the
            activation.
    """

    def __init__(self, units, activation="tanh", **kwargs):
        check_units(units)
        super().__init__(units, activation=activation, **kwargs)
        self._activation_name = activation_name(self.activation, "activation")

    def op_options(self, inputs, h, training):
        """Returns the keyword arguments of `kerasdl.ops.simple_rnn` and its step.

        Args:
            inputs: (N, D), one step of the inputs, for the shape of the dropout mask.
            h: (N, H), likewise.
            training: whether dropout applies.
        """
        options = {"activation": self._activation_name}
        if training:
            options["dropout_mask"] = self.get_dropout_mask(inputs)
            options["recurrent_dropout_mask"] = self.get_recurrent_dropout_mask(h)
        return options

    def call(self, sequence, states, training=False):
        """Runs one step; see the class for shapes."""
        nested = isinstance(states, (list, tuple))
        h = states[0] if nested else states
        h = ops.simple_rnn_step(
            sequence, h, *weights_of(self), **self.op_options(sequence, h, training)
        )
        return h, [h] if nested else h
