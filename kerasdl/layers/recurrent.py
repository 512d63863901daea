"""Keras's recurrent layers and cells with `kerasdl.ops` in the place of their loops.

Constructor, weights, configuration, states and dropout masks are Keras's, by inheritance.
"""

import inspect

import keras
import tensorflow as tf

from kerasdl.ops.activations import ACTIVATIONS, get_activation
from kerasdl.ops.checks import check_mask, check_recompute
from kerasdl.ops.sequences import last_output_from_state
from kerasdl.tensorflow_private import gradient_may_be_taken

_OP_NAMES = {keras.activations.get(name): name for name in ACTIVATIONS}


def _check_units(units):
    if isinstance(units, bool) or not hasattr(units, "__index__") or units <= 0:
        raise ValueError(
            "Received an invalid value for argument `units`, expected a positive "
            f"integer, got {units}."
        )


def _equations(cell):
    """Returns the keyword arguments of the op that a cell's configuration sets.

    Raises:
        ValueError: kerasdl has no derivative of an activation.
    """
    options = {}
    for argument in ("activation", "recurrent_activation"):
        function = getattr(cell, argument, None)
        if function is not None:
            # Known by identity, not by name: a user's function may be called "tanh" too.
            stranger = f"the function {getattr(function, '__name__', function)}"
            name = _OP_NAMES.get(function, stranger)
            options[argument] = get_activation(name, argument).name
    if hasattr(cell, "reset_after"):
        options["reset_after"] = cell.reset_after
    return options


def _dropout(cell, inputs, h):
    """Returns the keyword arguments of the op for a cell's dropout masks.

    Args:
        cell: a Keras cell.
        inputs: (N, D), one step of the inputs, for the shape of the mask.
        h: (N, H), likewise.
    """
    masks = {}
    if 0 < cell.dropout < 1:
        masks["dropout_mask"] = cell.get_dropout_mask(inputs)
    if 0 < cell.recurrent_dropout < 1:
        masks["recurrent_dropout_mask"] = cell.get_recurrent_dropout_mask(h)
    # Keras draws a mask for each gate if the cell has recurrent dropout.
    return {
        argument: tf.stack(mask) if isinstance(mask, list) else mask
        for argument, mask in masks.items()
    }


def _weights(cell):
    """Returns kernel, recurrent kernel and bias (or None) in the cell's compute type."""
    return [
        None if weight is None else tf.cast(weight.value, cell.compute_dtype)
        for weight in (cell.kernel, cell.recurrent_kernel, cell.bias)
    ]


class _ClassSignature:
    """The `__signature__` of a class; its instances are called as any layer is."""

    def __init__(self, signature):
        self._signature = signature

    def __get__(self, instance, owner):
        if instance is not None:
            raise AttributeError("__signature__")
        return self._signature


def _show_arguments(cls, *more):
    """Makes `help` and `inspect.signature` show the arguments of the Keras class.

    Args:
        cls: a class of ours, which passes them on as `*args, **kwargs`; a subclass of
            a user's that has an `__init__` of its own shows that.
        *more: names of further arguments, None by default.
    """
    if not cls.__module__.startswith("kerasdl."):
        if "__init__" in vars(cls):
            cls.__signature__ = None
        return
    theirs = next(base for base in cls.__mro__ if base.__module__.startswith("keras."))
    *shared, others = inspect.signature(theirs).parameters.values()
    shared += [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None) for n in more
    ]
    cls.__signature__ = _ClassSignature(inspect.Signature([*shared, others]))


class RecurrentCell:
    """What makes a Keras cell one of ours; stands before it among the base classes.

    Attributes:
        op_step: the step of `kerasdl.ops`.
    """

    op_step = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        _show_arguments(cls)

    def __init__(self, units, *args, **kwargs):
        _check_units(units)
        super().__init__(units, *args, **kwargs)
        _equations(self)

    def call(self, inputs, states, training=False):
        """Runs one step; see the class for shapes."""
        h, *others = keras.tree.flatten(states)
        states_after = self.op_step(
            inputs,
            h,
            *others,
            *_weights(self),
            **_equations(self),
            **_dropout(self, inputs, h) if training else {},
        )
        h, *others = keras.tree.flatten(states_after)
        return h, [h, *others] if keras.tree.is_nested(states) else h


class RecurrentLayer:
    """What makes a Keras recurrent layer one of ours; stands before it among the bases.

    Attributes:
        op: the function of `kerasdl.ops` that runs the whole sequence.
        op_norms: the one that measures gradients.
    """

    op = op_norms = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        _show_arguments(cls, "recompute")

    def __init__(self, units, *args, recompute=None, **kwargs):
        _check_units(units)
        check_recompute(recompute)
        super().__init__(units, *args, **kwargs)
        self.recompute = recompute
        _equations(self.cell)

    def call(self, sequences, initial_state=None, mask=None, training=False):
        """Runs the layer; see the class for shapes."""
        wanted = len(self.state_size)
        if initial_state is not None:
            given = len(keras.tree.flatten(initial_state))
            if given != wanted:
                raise ValueError(
                    "Received an invalid value for argument `initial_state`, expected "
                    f"{wanted} tensor{'s' * (wanted > 1)} (N, {self.units}), got {given}."
                )
        sequences = tf.cast(sequences, self.compute_dtype)
        return super().call(
            sequences, initial_state=initial_state, mask=mask, training=training
        )

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Runs the loop over time, in the place of `keras.layers.RNN.inner_loop`."""
        sequences, mask = self._in_order(sequences, mask)
        keep = training or gradient_may_be_taken()
        outputs, *states = self.run_sequence(
            sequences,
            initial_state,
            mask,
            **_dropout(self.cell, sequences[:, 0], initial_state[0]) if training else {},
            return_sequences=self.return_sequences,
            zero_output_for_mask=self.zero_output_for_mask,
            unroll=self.unroll,
            recompute=self.recompute if keep else "all",
            use_cudnn=getattr(self, "use_cudnn", False),
        )
        if self.return_sequences:
            return outputs[:, -1], outputs, states
        last_output = last_output_from_state(states[0], mask, self.zero_output_for_mask)
        return last_output, last_output[:, tf.newaxis], states

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
        return self.op(
            sequences,
            *states,
            *_weights(self.cell),
            mask,
            **_equations(self.cell),
            **options,
        )

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
        sequences = tf.cast(sequences, self.compute_dtype)
        if not self.built:
            self.build(sequences.shape)
        if initial_state is None:
            initial_state = [None] * len(self.state_size)
        sequences, mask = self._in_order(sequences, mask)
        norms = self.op_norms(
            sequences,
            *keras.tree.flatten(initial_state),
            *_weights(self.cell),
            mask,
            d_sequence=d_sequence,
            **_equations(self.cell),
        )
        return dict(zip(("delta", "gamma"), norms, strict=False))

    def _in_order(self, sequences, mask):
        """Returns both in the order in which the steps are run, the mask as (N, T)."""
        if mask is not None:
            mask = tf.convert_to_tensor(keras.tree.flatten(mask)[0])
            mask = tf.squeeze(mask, axis=-1) if mask.shape.rank == 3 else mask
            mask = check_mask(mask, sequences)
        if self.go_backwards:
            sequences = tf.reverse(sequences, axis=[1])
            mask = None if mask is None else tf.reverse(mask, axis=[1])
        return sequences, mask

    def get_config(self):
        """Returns the constructor's arguments."""
        config = super().get_config()
        # Keras's SimpleRNN leaves its seed out, and all leave out use_cudnn.
        config |= {"recompute": self.recompute, "seed": self.cell.seed}
        if hasattr(self, "use_cudnn"):
            config["use_cudnn"] = self.use_cudnn
        return config
