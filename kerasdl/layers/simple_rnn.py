"""The vanilla recurrent layer and its cell."""

import keras

from kerasdl import ops
from kerasdl.layers.recurrent import RecurrentCell, RecurrentLayer


@keras.saving.register_keras_serializable(package="kerasdl")
class SimpleRNNCell(RecurrentCell, keras.layers.SimpleRNNCell):
    """A `keras.layers.SimpleRNNCell` whose step is `kerasdl.ops.simple_rnn_step`.

    It takes `states` as [h (N, H)] or h, and returns them alike; everything else is as in
    `kerasdl.layers.LSTMCell`.
    """

    op_step = staticmethod(ops.simple_rnn_step)


@keras.saving.register_keras_serializable(package="kerasdl")
class SimpleRNN(RecurrentLayer, keras.layers.SimpleRNN):
    """The vanilla recurrent network, a drop-in replacement of `keras.layers.SimpleRNN`.

        h_t = tanh(x_t W + h_{t-1} U + b)

    Weights are Keras's: `kernel` (D, H), `recurrent_kernel` (H, H), `bias` (H). The
    gradient is derived by hand (docs/derivations.md).

    Args:
        *args, **kwargs: every argument of `keras.layers.SimpleRNN`, with the same meaning
            and default; `activation` and `recompute` as in `kerasdl.layers.LSTM`, and so
            are call arguments, results and errors, with one state h in the place of two.

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
