"""The vanilla recurrent layer and its cell."""

import keras

from kerasdl import ops
from kerasdl.layers.recurrent import RecurrentCell, RecurrentLayer


@keras.saving.register_keras_serializable(package="kerasdl")
class SimpleRNNCell(RecurrentCell, keras.layers.SimpleRNNCell):
    """A `keras.layers.SimpleRNNCell` whose step is `kerasdl.ops.simple_rnn_step`.

    Args:
        units: H, a positive integer.
        activation: ψ: tanh, sigmoid, relu, linear or hard_sigmoid, by name or as
            `keras.activations` function; None is linear.
        *args, **kwargs: every argument of `keras.layers.SimpleRNNCell`, with the same
            meaning and default.

    Call arguments:
        inputs: (N, D).
        states: [h (N, H)] or h.
        training: whether dropout applies.

    Returns:
        (h (N, H), [h]), or (h, h) if `states` was a tensor.

    Raises:
        ValueError: `units` is no positive integer, or kerasdl knows no derivative of the
            activation.
    """

    op_step = staticmethod(ops.simple_rnn_step)


@keras.saving.register_keras_serializable(package="kerasdl")
class SimpleRNN(RecurrentLayer, keras.layers.SimpleRNN):
    """The vanilla recurrent network, a drop-in replacement of `keras.layers.SimpleRNN`.

        h_t = tanh(x_t W + h_{t-1} U + b)

    Weights are Keras's: `kernel` (D, H), `recurrent_kernel` (H, H), `bias` (H). The
    gradient is derived by hand (docs/derivations.md).

    Args:
        units: H, a positive integer.
        activation: tanh, sigmoid, relu, linear or hard_sigmoid; None is linear.
        *args, **kwargs: every argument of `keras.layers.SimpleRNN`, with the same meaning
            and default.
        recompute: as in `kerasdl.layers.LSTM`.

    Call arguments:
        sequences: (N, T, D), of any numeric or bool type.
        initial_state: [h_0 (N, H)]; zero by default.
        mask: (N, T) or (1, T), true where a step counts, any pattern.
        training: whether dropout applies.

    Returns:
        The outputs (N, T, H) with `return_sequences`, else the last one (N, H); with
        `return_state` followed by h_T (N, H).

    Raises:
        ValueError: a bad `units` or `recompute`, or an activation that kerasdl has no
            derivative of.

    Example:

    >>> layer = SimpleRNN(4)
    >>> layer(keras.ops.ones((2, 3, 5))).shape
    TensorShape([2, 4])

    Reference: Elman, Finding Structure in Time, 1990.
    """

    op = staticmethod(ops.simple_rnn)
    op_norms = staticmethod(ops.simple_rnn_gradient_norms)

    def __init__(self, units, *args, activity_regularizer=None, **kwargs):
        super().__init__(units, *args, **kwargs)
        # Keras 3.15 takes the argument and forgets it.
        self.activity_regularizer = keras.regularizers.get(activity_regularizer)
