"""The LSTM layer."""

import keras

from kerasdl import ops
from kerasdl.layers.lstm_cell import LSTMCell
from kerasdl.layers.recurrent import RecurrentLayer, of_cell, weights_of

_CELL_ARGUMENTS = (
    "units",
    "activation",
    "recurrent_activation",
    "use_bias",
    "kernel_initializer",
    "recurrent_initializer",
    "bias_initializer",
    "unit_forget_bias",
    "kernel_regularizer",
    "recurrent_regularizer",
    "bias_regularizer",
    "kernel_constraint",
    "recurrent_constraint",
    "bias_constraint",
    "dropout",
    "recurrent_dropout",
    "seed",
)


@keras.saving.register_keras_serializable(package="kerasdl")
class LSTM(RecurrentLayer):
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
        use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
        unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer,
        activity_regularizer, kernel_constraint, recurrent_constraint, bias_constraint,
        dropout, recurrent_dropout, seed, return_sequences, return_state, go_backwards,
        stateful, unroll: as in `keras.layers.LSTM`.
        use_cudnn: "auto" or False; there is no cuDNN path here, and True is refused.
        recompute: what a training step keeps for its backward pass. None keeps the
            activations of every step; "sqrt" keeps the states of about every √T-th step
            and runs the forward pass again between them, for memory O(√T); "all" keeps
            nothing and runs all of it again.
        **kwargs: `zero_output_for_mask`, `name`, `dtype`, `trainable`.

    Call arguments:
        sequences: (N, T, D).
        initial_state: [h_0 (N, H), c_0 (N, H)]; zero by default.
        mask: (N, T), true where a step counts, any pattern.
        training: whether dropout applies.

    Returns:
        The outputs (N, T, H) with `return_sequences`, else the last one (N, H); with
        `return_state` followed by h_T (N, H) and c_T (N, H).

    Raises:
        ValueError: a bad `units`, `recompute` or `use_cudnn`, or an activation that
            kerasdl has no derivative of.

    Example:

    >>> layer = LSTM(4, return_sequences=True)
    >>> layer(keras.ops.ones((2, 3, 5))).shape
    TensorShape([2, 3, 4])

    Reference: Hochreiter and Schmidhuber, Long Short-Term Memory, 1997.
    """

    CONFIG = _CELL_ARGUMENTS

    def __init__(
        self,
        units,
        activation="tanh",
        recurrent_activation="sigmoid",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        unit_forget_bias=True,
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        seed=None,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        use_cudnn="auto",
        recompute=None,
        **kwargs,
    ):
        if use_cudnn not in ("auto", False):
            raise ValueError(
                "Received an invalid value for argument `use_cudnn`, expected 'auto' or "
                f"False (kerasdl has no cuDNN path), got {use_cudnn}."
            )
        cell = LSTMCell(
            units,
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            unit_forget_bias=unit_forget_bias,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="lstm_cell",
            implementation=kwargs.pop("implementation", 2),
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            activity_regularizer=activity_regularizer,
            recompute=recompute,
            **kwargs,
        )

    def run_sequence(self, sequences, states, mask, **options):
        """Runs `kerasdl.ops.lstm`; see `RecurrentLayer.run_sequence`."""
        return ops.lstm(sequences, *states, *weights_of(self.cell), mask, **options)

    def sequence_norms(self, sequences, states, mask, d_sequence):
        """Runs `kerasdl.ops.lstm_gradient_norms`; see `RecurrentLayer`."""
        delta, gamma = ops.lstm_gradient_norms(
            sequences,
            *states,
            *weights_of(self.cell),
            mask,
            d_sequence=d_sequence,
            **self.cell.op_options(None, None, training=False),
        )
        return {"delta": delta, "gamma": gamma}


for _name in _CELL_ARGUMENTS:
    setattr(LSTM, _name, of_cell(_name))
