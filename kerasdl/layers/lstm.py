"""The LSTM layer and its cell."""

import keras

from kerasdl import ops
from kerasdl.layers.recurrent import RecurrentCell, RecurrentLayer


@keras.saving.register_keras_serializable(package="kerasdl")
class LSTMCell(RecurrentCell, keras.layers.LSTMCell):
    """A `keras.layers.LSTMCell` whose step and gradient are `kerasdl.ops.lstm_step`.

    Args:
        units: H, a positive integer.
        activation: ψ, of the candidate and of the cell state: tanh, sigmoid, relu,
            linear or hard_sigmoid, by name or as `keras.activations` function; None is
            linear.
        recurrent_activation: φ, of the three gates, likewise.
        *args, **kwargs: every argument of `keras.layers.LSTMCell`, with the same meaning
            and default.

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

    op_step = staticmethod(ops.lstm_step)


@keras.saving.register_keras_serializable(package="kerasdl")
class LSTM(RecurrentLayer, keras.layers.LSTM):
    """Long short-term memory, a drop-in replacement of `keras.layers.LSTM`.

        i_t = σ(x_t W_i + h_{t-1} U_i + b_i)      f_t, o_t likewise
        c̃_t = tanh(x_t W_c + h_{t-1} U_c + b_c)
        c_t = f_t ∗ c_{t-1} + i_t ∗ c̃_t
        h_t = o_t ∗ tanh(c_t)

    Weights are Keras's: `kernel` (D, 4H), `recurrent_kernel` (H, 4H), `bias` (4H), gates
    in the order i, f, c̃, o. The gradient is derived by hand (docs/derivations.md).

    Args:
        units: H, a positive integer.
        activation: tanh, sigmoid, relu, linear or hard_sigmoid; None is linear.
        recurrent_activation: likewise, of the gates i, f and o.
        *args, **kwargs: every argument of `keras.layers.LSTM`, with the same meaning and
            default.
        recompute: what a training step keeps for its backward pass. None keeps the
            activations of every step; "sqrt" keeps the states of about every √T-th step
            and runs the forward pass again between them, for memory O(√T); "all" keeps
            nothing and runs all of it again.

    Call arguments:
        sequences: (N, T, D), of any numeric or bool type.
        initial_state: [h_0 (N, H), c_0 (N, H)]; zero by default.
        mask: (N, T) or (1, T), true where a step counts, any pattern.
        training: whether dropout applies.

    Returns:
        The outputs (N, T, H) with `return_sequences`, else the last one (N, H); with
        `return_state` followed by h_T (N, H) and c_T (N, H).

    Raises:
        ValueError: a bad `units` or `recompute`, or an activation that kerasdl has no
            derivative of.

    Example:

    >>> layer = LSTM(4, return_sequences=True)
    >>> layer(keras.ops.ones((2, 3, 5))).shape
    TensorShape([2, 3, 4])

    Reference: Hochreiter and Schmidhuber, Long Short-Term Memory, 1997.
    """

    op = staticmethod(ops.lstm)
    op_norms = staticmethod(ops.lstm_gradient_norms)
