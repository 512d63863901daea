"""What the recurrent cells and the recurrent layers share."""

import contextvars

import keras
import tensorflow as tf

from kerasdl.ops.activations import ACTIVATIONS, get_activation
from kerasdl.ops.custom_gradients import gradient_may_be_taken
from kerasdl.ops.sequences import check_recompute, last_output_from_state

# Whether the initial state that `inner_loop` receives is Keras's zeros.
_FROM_ZERO = contextvars.ContextVar("from_zero", default=False)

_OP_NAMES = {keras.activations.get(name): name for name in ACTIVATIONS}


def activation_name(function, argument):
    """Returns the name under which `kerasdl.ops` knows a Keras activation.

    Args:
        function: what `keras.activations.get` returned.
        argument: the constructor's argument, for the message.

    Raises:
        ValueError: kerasdl has no derivative of that function.
    """
    # Known by identity, not by name: a user's own function may be called "tanh" too.
    stranger = f"the function {getattr(function, '__name__', function)}"
    return get_activation(_OP_NAMES.get(function, stranger), argument).name


def check_units(units):
    """Raises ValueError unless `units` is a positive integer."""
    if isinstance(units, bool) or not hasattr(units, "__index__") or units <= 0:
        raise ValueError(
            "Received an invalid value for argument `units`, expected a positive "
            f"integer, got {units}."
        )


def weights_of(cell):
    """Returns kernel, recurrent kernel and bias (or None) in the cell's compute type."""
    weights = (cell.kernel, cell.recurrent_kernel, cell.bias)
    return [
        None if weight is None else tf.cast(weight.value, cell.compute_dtype)
        for weight in weights
    ]


def of_cell(name):
    """Returns a read-only property of a layer that is its cell's attribute `name`."""
    return property(lambda layer: getattr(layer.cell, name), doc=f"The cell's `{name}`.")


class RecurrentLayer(keras.layers.RNN):
    """A `keras.layers.RNN` whose loop over time is one of `kerasdl.ops`.

    A subclass implements `run_sequence` and names in `CONFIG` the constructor arguments
    that are attributes of its cell.
    """

    CONFIG = ()

    def __init__(self, cell, *, recompute=None, **kwargs):
        check_recompute(recompute)
        super().__init__(cell, **kwargs)
        self.recompute = recompute
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def run_sequence(self, sequences, states, mask, **options):
        """Runs the op over the whole sequence.

        Args:
            sequences: (N, T, D), in the order in which they are run through.
            states: list of the initial states, (N, H) each, or None each for zero.
            mask: (N, T) or None.
            **options: keyword arguments of the op, passed on to it.

        Returns:
            (outputs (N, T, H) or None, *states).
        """
        raise NotImplementedError

    def sequence_norms(self, sequences, states, mask, d_sequence):
        """Returns the dictionary of `gradient_norms`, with time in the order of the run.

        Args:
            sequences: (N, T, D), in the order in which they are run through.
            states: list of the initial states, (N, H) each.
            mask: (N, T) or None.
            d_sequence: (N, T, H), likewise in that order.
        """
        raise NotImplementedError

    def gradient_norms(self, sequences, d_sequence, initial_state=None, mask=None):
        """Returns how much gradient reaches the states at every step, without dropout.

        What vanishing and exploding gradients are, as numbers: with `d_sequence` zero
        everywhere but at the last step, how much of it arrives at each step before.

        Args:
            sequences: (N, T, D).
            d_sequence: ∂L/∂y_t, what reaches each output from outside, (N, T, H).
            initial_state: list of (N, H); zero by default.
            mask: (N, T) or None.

        Returns:
            A dictionary of norms for each sample and step, (N, T) each: "delta" of the
            whole gradient that reaches h_t and, of an LSTM, "gamma" of that which
            reaches c_t. Column t belongs to the t-th step that is run: with
            `go_backwards` that is the t-th from the end, as in the layer's output.
        """
        sequences = tf.convert_to_tensor(sequences, dtype=self.compute_dtype)
        if not self.built:
            self.build(sequences.shape)
        if initial_state is None:
            initial_state = self.get_initial_state(batch_size=tf.shape(sequences)[0])
        if self.go_backwards:
            sequences = tf.reverse(sequences, axis=[1])
            mask = None if mask is None else tf.reverse(mask, axis=[1])
        states = [
            tf.cast(s, self.compute_dtype) for s in keras.tree.flatten(initial_state)
        ]
        return self.sequence_norms(sequences, states, mask, d_sequence)

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Runs the loop over time, in the place of `keras.layers.RNN.inner_loop`."""
        mask = keras.tree.flatten(mask)[0] if mask is not None else None
        if mask is not None and len(mask.shape) == 3:
            mask = tf.squeeze(mask, axis=-1)
        if self.go_backwards:
            sequences = tf.reverse(sequences, axis=[1])
            mask = None if mask is None else tf.reverse(mask, axis=[1])
        keep = training or gradient_may_be_taken()
        states = [None] * len(initial_state) if _FROM_ZERO.get() else initial_state
        outputs, *states = self.run_sequence(
            sequences,
            states,
            mask,
            **self.cell.op_options(sequences[:, 0], initial_state[0], training),
            return_sequences=self.return_sequences,
            zero_output_for_mask=self.zero_output_for_mask,
            unroll=self.unroll,
            recompute=self.recompute if keep else "all",
        )
        if self.return_sequences:
            last_output = outputs[:, -1]
        else:
            last_output = last_output_from_state(
                states[0], mask, self.zero_output_for_mask
            )
            outputs = last_output[:, tf.newaxis]
        return last_output, outputs, states

    def call(self, sequences, initial_state=None, mask=None, training=False):
        """Runs the layer; see the class for shapes."""
        token = _FROM_ZERO.set(initial_state is None and self._starts_from_zero())
        try:
            return super().call(
                sequences, initial_state=initial_state, mask=mask, training=training
            )
        finally:
            _FROM_ZERO.reset(token)

    def _starts_from_zero(self):
        # A subclass may start from a state of its own, for instance one that it learns.
        own = type(self).get_initial_state is not keras.layers.RNN.get_initial_state
        return not (self.stateful or own)

    def get_config(self):
        """Returns the constructor's arguments."""
        config = super().get_config()
        del config["cell"]
        cell_config = self.cell.get_config()
        config.update({name: cell_config[name] for name in self.CONFIG})
        config["activity_regularizer"] = keras.regularizers.serialize(
            self.activity_regularizer
        )
        config["recompute"] = self.recompute
        return config

    @classmethod
    def from_config(cls, config):
        """Builds the layer from what `get_config` returned."""
        return cls(**config)
