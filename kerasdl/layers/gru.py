"""The GRU layer and its cell."""

import keras

from kerasdl import ops
from kerasdl.layers.recurrent import RecurrentCell, RecurrentLayer


@keras.saving.register_keras_serializable(package="kerasdl")
class GRUCell(RecurrentCell, keras.layers.GRUCell):
    """A `keras.layers.GRUCell` whose step and gradient are `kerasdl.ops.gru_step`.

    It takes `states` as [h (N, H)] or h, and returns them alike; everything else is as in
    `kerasdl.layers.LSTMCell`.
    """

    op_step = staticmethod(ops.gru_step)


@keras.saving.register_keras_serializable(package="kerasdl")
class GRU(RecurrentLayer, keras.layers.GRU):
    """The gated recurrent unit, a drop-in replacement of `keras.layers.GRU`.

        z_t = σ(x_t W_z + b_z + h_{t-1} U_z + b'_z)      r_t likewise
        h̃_t = tanh(x_t W_h + b_h + r_t ∗ (h_{t-1} U_h + b'_h))
        h_t = z_t ∗ h_{t-1} + (1 − z_t) ∗ h̃_t

    With `reset_after=False` there is no b', and r_t multiplies h_{t-1} before the product
    with U_h. Weights are Keras's: `kernel` (D, 3H), `recurrent_kernel` (H, 3H), `bias`
    (2, 3H) or (3H), gates in the order z, r, h̃. The gradient is derived by hand
    (docs/derivations.md).

    Args:
        *args, **kwargs: every argument of `keras.layers.GRU`, with the same meaning and
            default; `activation`, `recurrent_activation` and `recompute` as in
            `kerasdl.layers.LSTM`, and so are call arguments, results and errors, with one
            state h in the place of two.

    Example:

    >>> layer = GRU(4)
    >>> layer(keras.ops.ones((2, 3, 5))).shape
    TensorShape([2, 4])

    Reference: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder for
    Statistical Machine Translation, 2014.
    """

    op = staticmethod(ops.gru)
    op_norms = staticmethod(ops.gru_gradient_norms)
