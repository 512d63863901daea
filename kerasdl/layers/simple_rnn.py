"""The vanilla recurrent layer."""

import keras

from kerasdl import ops
from kerasdl.layers.recurrent import RecurrentLayer, of_cell, weights_of
from kerasdl.layers.simple_rnn_cell import SimpleRNNCell

_CELL_ARGUMENTS = (
    "units",
    "activation",
    "use_bias",
    "kernel_initializer",
    "recurrent_initializer",
    "bias_initializer",
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
class SimpleRNN(RecurrentLayer):
    """The vanilla recurrent network, a drop-in replacement of `keras.layers.SimpleRNN`.

        h_t = tanh(x_t W + h_{t-1} U + b)

    Weights are Keras's: `kernel` (D, H), `recurrent_kernel` (H, H), `bias` (H). The
    gradient is derived by hand (docs/derivations.md).

    Args:
        units: H, a positive integer.
        activation: tanh, sigmoid, relu, linear or hard_sigmoid; None is linear.
        use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
        kernel_regularizer, recurrent_regularizer, bias_regularizer,
        activity_regularizer, kernel_constraint, recurrent_constraint, bias_constraint,
        dropout, recurrent_dropout, return_sequences, return_state, go_backwards,
        stateful, unroll, seed: as in `keras.layers.SimpleRNN`.
        recompute: what a training step keeps for its backward pass. None keeps the state
            of every step; "sqrt" keeps about every √T-th and runs the forward pass again
            between them, for memory O(√T); "all" keeps nothing and runs all of it again.
        **kwargs: `zero_output_for_mask`, `name`, `dtype`, `trainable`.

    Call arguments:
        sequences: (N, T, D).
        initial_state: [h_0 (N, H)]; zero by default.
        mask: (N, T), true where a step counts, any pattern.
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

    CONFIG = _CELL_ARGUMENTS

    def __init__(
        self,
        units,
        activation="tanh",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        seed=None,
        recompute=None,
        **kwargs,
    ):
        cell = SimpleRNNCell(
            units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
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
            name="simple_rnn_cell",
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
        """Runs `kerasdl.ops.simple_rnn`; see `RecurrentLayer.run_sequence`."""
        return ops.simple_rnn(sequences, *states, *weights_of(self.cell), mask, **options)

    def sequence_norms(self, sequences, states, mask, d_sequence):
        """Runs `kerasdl.ops.simple_rnn_gradient_norms`; see `RecurrentLayer`."""
        (delta,) = ops.simple_rnn_gradient_norms(
            sequences,
            *states,
            *weights_of(self.cell),
            mask,
            d_sequence=d_sequence,
            **self.cell.op_options(None, None, training=False),
        )
        return {"delta": delta}


for _name in _CELL_ARGUMENTS:
    setattr(SimpleRNN, _name, of_cell(_name))
