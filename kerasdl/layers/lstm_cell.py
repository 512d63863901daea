"""One step of an LSTM as a Keras cell."""

import keras
import tensorflow as tf

from kerasdl import ops
from kerasdl.layers.recurrent import activation_name, check_units, weights_of


@keras.saving.register_keras_serializable(package="kerasdl")
class LSTMCell(keras.layers.LSTMCell):
    """A `keras.layers.LSTMCell` whose step and gradient are `kerasdl.ops.lstm_step`.

    Args:
        units: H, a positive integer.
        activation: ψ, of the candidate and of the cell state: tanh, sigmoid, relu,
            linear or hard_sigmoid, by name or as `keras.activations` function; None is
            linear.
        recurrent_activation: φ, of the three gates, likewise.
        **kwargs: every other argument of `keras.layers.LSTMCell` (`use_bias`,
            initialisers, regularisers, constraints, `unit_forget_bias`, `dropout`,
            `recurrent_dropout`, `seed`, ...), with the same meaning and default.

    Call arguments:
        inputs: (N, D).
        states: [h (N, H), c (N, H)].
        training: whether dropout applies.

    Returns:
        (h (N, H), [h, c]).

    Raises:
        ValueError: `units` is no positive integer, or kerasdl knows no derivative of an
            activation.
    """

    def __init__(
        self, units, activation="tanh", recurrent_activation="sigmoid", **kwargs
    ):
        check_units(units)
        super().__init__(
            units,
            activation=activation,
            recurrent_activation=recurrent_activation,
            **kwargs,
        )
        self._activations = {
            "activation": activation_name(self.activation, "activation"),
            "recurrent_activation": activation_name(
                self.recurrent_activation, "recurrent_activation"
            ),
        }

    def op_options(self, inputs, h, training):
        """Returns the keyword arguments of `kerasdl.ops.lstm` and `lstm_step`.

        Args:
            inputs: (N, D), one step of the inputs, for the shape of the dropout mask.
            h: (N, H), likewise.
            training: whether dropout applies.
        """
        options = dict(self._activations)
        if training and 0 < self.dropout < 1:
            options["dropout_mask"] = _stacked(self.get_dropout_mask(inputs))
        if training and 0 < self.recurrent_dropout < 1:
            options["recurrent_dropout_mask"] = _stacked(
                self.get_recurrent_dropout_mask(h)
            )
        return options

    def call(self, inputs, states, training=False):
        """Runs one step; see the class for shapes."""
        h, c = states
        h, c = ops.lstm_step(
            inputs, h, c, *weights_of(self), **self.op_options(inputs, h, training)
        )
        return h, [h, c]


def _stacked(masks):
    # Keras draws a mask for each gate where the cell has recurrent dropout.
    return tf.stack(masks) if isinstance(masks, list) else masks
