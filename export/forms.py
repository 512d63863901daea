"""Rebuilds models with layers that LiteRT's converter accepts.

A model is rebuilt from its configuration, in memory, and gets the weights of the
original: recurrent layers of Keras become those of kerasdl, or run their own cell in
kerasdl's loop; `TimeDistributed` folds time into the batch. The original never changes.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

import kerasdl
from kerasdl.layers import from_keras
from kerasdl.ops.scan import scan
from kerasdl.ops.sequences import select_rows

_PACKAGE = "kerasdl_export"
# The states that recurrent layers start from and end with, by layer, while streaming.
_CARRIED = contextvars.ContextVar("carried_states", default=None)


@contextlib.contextmanager
def carried_states(states: dict[int, list[tf.Tensor]]) -> Iterator[None]:
    """Has recurrent layers start from `states[id(layer)]`, and leave their last there."""
    token = _CARRIED.set(states)
    try:
        yield
    finally:
        _CARRIED.reset(token)


class Looped:
    """Mixed into a `keras.layers.RNN`: any cell, run by `kerasdl.ops.scan`."""

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Runs the cell over time, in the place of `keras.layers.RNN.inner_loop`."""
        carried = _CARRIED.get()
        if carried is not None:
            flat = carried[id(self)]
            initial_state = keras.tree.pack_sequence_as(initial_state, flat)
        if mask is not None:
            mask = keras.tree.flatten(mask)[0]
        if self.go_backwards:
            sequences = tf.reverse(sequences, axis=[1])
            mask = None if mask is None else tf.reverse(mask, axis=[1])
        counts = None
        elements = [tf.transpose(sequences, (1, 0, 2))]  # (T, N, D)
        if mask is not None:
            counts = tf.transpose(tf.cast(mask, tf.bool))
            counts = tf.expand_dims(counts, axis=-1)  # (T, N, 1)
            elements.append(counts)
        states = keras.tree.flatten(initial_state)
        options = {"training": training} if self.cell._call_has_training_arg else {}

        def step(carry, slices):
            previous, *states = carry
            before = keras.tree.pack_sequence_as(initial_state, states)
            output, after = self.cell(slices[0], before, **options)
            counted = slices[1] if counts is not None else None
            after = [
                select_rows(counted, new, old)
                for new, old in zip(keras.tree.flatten(after), states, strict=True)
            ]
            # A masked step repeats the output before it; before the first there is 0.
            if self.zero_output_for_mask:
                previous = tf.zeros_like(previous)
            output = select_rows(counted, output, previous)
            return [output, *after], [output]

        width = self.compute_output_shape(sequences.shape)
        width = (width[0] if self.return_state else width)[-1]
        if carried is None:
            first = tf.zeros((tf.shape(sequences)[0], width), self.compute_dtype)
        else:
            first = states[0]  # of a state from zero, the output before this step
        emitted = [tf.TensorSpec((sequences.shape[0], width), self.compute_dtype)]
        (last, *states), (outputs,) = scan(
            step,
            [first, *states],
            elements,
            emitted,
            sequences.shape[1] or tf.shape(sequences)[1],
            unroll=self.unroll,
        )
        outputs = tf.transpose(outputs, (1, 0, 2))  # (N, T, H)
        outputs.set_shape((sequences.shape[0], sequences.shape[1], width))
        if carried is not None:
            carried[id(self)] = states
        return last, outputs, keras.tree.pack_sequence_as(initial_state, states)


@keras.saving.register_keras_serializable(package=_PACKAGE, name="TimeDistributed")
class FoldedTimeDistributed(keras.layers.TimeDistributed):
    """A `TimeDistributed` that gives its layer all steps of all samples as one batch."""

    def call(self, inputs, training=None, mask=None):
        """Runs the layer; (N, T, ...) to (N, T, ...)."""
        options = {}
        if self.layer._call_has_training_arg:
            options["training"] = training
        if self.layer._call_has_mask_arg and mask is not None:
            options["mask"] = _folded(mask)
        outputs = self.layer.call(_folded(inputs), **options)
        shape = tf.shape(inputs)
        unfolded = tf.reshape(outputs, [shape[0], shape[1], *outputs.shape[1:]])
        unfolded.set_shape([*inputs.shape[:2], *outputs.shape[1:]])
        return unfolded


def _folded(tensor: tf.Tensor) -> tf.Tensor:
    return tf.reshape(tensor, [-1, *tensor.shape[2:]])


def _looped(base: type, name: str) -> type:
    form = type(f"Looped{base.__name__}", (Looped, base), {"__doc__": base.__doc__})
    # `Bidirectional` serialises what it wraps, and has to find it again.
    register = keras.saving.register_keras_serializable(_PACKAGE, name)
    return register(form)


_FORMS = {"TimeDistributed": FoldedTimeDistributed}
for _name in ("RNN", "LSTM", "GRU", "SimpleRNN"):
    _FORMS[_name] = _looped(getattr(keras.layers, _name), _name)
# What `stepped` asks for: kerasdl's layers, whose own loop carries no states.
_STEPPED = {
    f"kerasdl>{name}": _looped(getattr(kerasdl.layers, name), f"kerasdl {name}")
    for name in ("LSTM", "GRU", "SimpleRNN")
    if hasattr(kerasdl.layers, name)
}


def rebuilt(
    model: keras.Model,
    *,
    forms: bool,
    stepped: bool = False,
    dtype: str = "float32",
    shape: Callable[[Any], Any] = lambda shape: shape,
    change: Callable[[str, dict[str, Any]], None] | None = None,
) -> keras.Model:
    """A copy of a model, sharing nothing with it, from its configuration.

    Args:
        model: A built model that its configuration rebuilds.
        forms: Whether layers take the forms of this module.
        stepped: Whether every recurrent layer is to be a `Looped` one.
        dtype: Of variables and computations, and of inputs that are not integers.
        shape: From the batch shape of an input to the copy's.
        change: Given the class name and the arguments of every layer, may change them.

    Raises:
        ValueError, TypeError: The configuration does not rebuild the model.
    """

    def walk(config: Any) -> Any:
        if isinstance(config, (list, tuple)):
            return type(config)(map(walk, config))
        if not isinstance(config, dict):
            return config
        config = {key: walk(value) for key, value in config.items()}
        name, given = config.get("class_name"), config.get("config")
        if not isinstance(name, str) or not isinstance(given, dict):
            return config
        if name == "DTypePolicy":
            return {**config, "config": {**given, "name": dtype}}
        if "dtype" in given and isinstance(given["dtype"], str):
            if "float" in given["dtype"]:
                given["dtype"] = dtype
        if "batch_shape" in given:
            given["batch_shape"] = tuple(shape(given["batch_shape"]))
        if given.get("stateful"):
            given["stateful"] = False
        if name in ("Functional", "Model", "Sequential"):
            config.pop("build_config", None)  # the inputs' shapes may be others
        if change is not None:
            change(name, given)
        if forms and name in _FORMS and str(config.get("module")).startswith("keras."):
            config["registered_name"] = f"{_PACKAGE}>{name}"
        if stepped and config.get("registered_name") in _STEPPED:
            config["registered_name"] = f"{_PACKAGE}>kerasdl {name}"
        return config

    config = walk(keras.saving.serialize_keras_object(model))
    # The configuration comes from a model in memory, not from a stranger's file.
    copy = keras.saving.deserialize_keras_object(config, safe_mode=False)
    copy.set_weights(model.get_weights())
    return copy


def quieten(name: str, config: dict[str, Any]) -> None:
    """No dropout, no noise, and batch normalisation by the statistics it has."""
    for key in ("rate", "dropout", "recurrent_dropout", "stddev"):
        if isinstance(config.get(key), float):
            config[key] = 0.0
    if name.endswith("BatchNormalization"):
        config["trainable"] = False


def with_our_layers(model: keras.Model) -> keras.Model:
    """`kerasdl.layers.from_keras`, or the model if one of its layers has no match."""
    try:
        return from_keras(model)
    except ValueError:
        return model  # an activation, say, that kerasdl has no derivative of


def structure_of(model: keras.Model) -> tuple[Any, list[str], list[str]]:
    """How a functional or Sequential model takes its inputs, and what it calls them.

    Returns:
        The structure of its inputs, the names of the inputs and of the outputs, both in
        the order of `keras.tree.flatten`.
    """
    graph = getattr(model, "_functional", model)
    struct = graph._outputs_struct
    keyed = sorted(map(str, struct)) if isinstance(struct, dict) else None
    names = [tensor._keras_history.operation.name for tensor in graph.inputs]
    return graph._inputs_struct, names, keyed or list(graph.output_names)


def layers_of(
    layer: keras.layers.Layer, inside: Callable[[Any], bool] = lambda layer: True
) -> Iterator[keras.layers.Layer]:
    """A layer and all those in it, at any depth, each once; `inside` says in which."""
    seen: set[int] = set()
    waiting = [layer]
    while waiting:
        layer = waiting.pop()
        if id(layer) in seen or not isinstance(layer, keras.layers.Layer):
            continue
        seen.add(id(layer))
        yield layer
        if inside(layer):
            inner = list(getattr(layer, "_layers", []))
            for name in ("layer", "forward_layer", "backward_layer"):
                inner.append(getattr(layer, name, None))
            waiting += reversed(inner)


def run_with(
    model: keras.Model, inputs: tf.Tensor, form_of: Callable[[Any], Any]
) -> tf.Tensor:
    """Runs a functional model, each operation in the form that `form_of` gives for it."""
    return model._run_through_graph(inputs, operation_fn=form_of)
