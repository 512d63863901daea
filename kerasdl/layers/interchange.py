"""Converts models between Keras's recurrent layers and ours, and weights of PyTorch."""

import keras
import numpy as np

from kerasdl.layers.gru import GRU, GRUCell
from kerasdl.layers.lstm import LSTM, LSTMCell
from kerasdl.layers.recurrent import RecurrentLayer
from kerasdl.layers.simple_rnn import SimpleRNN, SimpleRNNCell

_OURS = (LSTM, LSTMCell, GRU, GRUCell, SimpleRNN, SimpleRNNCell)
_THEIRS = tuple(getattr(keras.layers, ours.__name__) for ours in _OURS)


def from_keras(model):
    """Returns a copy of a Keras model with its recurrent layers replaced by ours.

    Args:
        model: a built `keras.Model`, or one built layer, that its configuration rebuilds
            (Sequential, functional, or registered with a `get_config` that holds its
            layers). LSTM, GRU, SimpleRNN and their cells are found at any depth: inside
            `Bidirectional`, `TimeDistributed`, `keras.layers.RNN`, `StackedRNNCells`
            and nested models.

    Returns:
        A model (or layer) with the names, configuration and weights of `model`, whose
        outputs in inference equal those of `model`. It is not compiled, and shares
        nothing with `model`.

    Raises:
        ValueError: `model` is not built, holds a recurrent layer that its configuration
            does not show, or uses an activation that kerasdl has no derivative of.

    Example:

    >>> stock = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(4)])
    >>> type(from_keras(stock).layers[0]).__module__
    'kerasdl.layers.lstm'
    """
    return _converted(model, _THEIRS, _OURS)


def to_keras(model):
    """Returns a copy of a model with our recurrent layers replaced by Keras's.

    The inverse of `from_keras`, for a model that is to be loaded where kerasdl is not
    installed. `recompute`, which Keras does not have, is left out.

    Args:
        model: a built model or layer, as for `from_keras`.

    Returns:
        A model (or layer) with the names, configuration and weights of `model`.

    Raises:
        ValueError: `model` is not built, or holds a recurrent layer that its
            configuration does not show.
    """
    return _converted(model, _OURS, _THEIRS)


def _converted(model, from_classes, to_classes):
    if not model.built:
        raise ValueError(
            "Received an invalid value for argument `model`, expected a built one, got "
            f"{model.name!r}, which has no weights yet."
        )
    config = keras.saving.serialize_keras_object(model)
    table = dict(zip(map(_identity, from_classes), to_classes, strict=True))
    # The configuration comes from a model in memory, not from a file of a stranger's.
    copy = keras.saving.deserialize_keras_object(
        _with_classes(config, table), safe_mode=False
    )
    hidden = [layer.name for layer in _layers_of(copy) if type(layer) in from_classes]
    if hidden:
        raise ValueError(
            "Received an invalid value for argument `model`, expected one whose "
            "configuration shows its layers (Sequential, functional), got "
            f"{type(model).__name__} {model.name!r} with the hidden {hidden[0]!r}."
        )
    copy.set_weights(model.get_weights())
    return copy


def _identity(layer_class):
    """The module and the name under which a configuration refers to a class."""
    ours = layer_class in _OURS
    return layer_class.__module__ if ours else "keras.layers", layer_class.__name__


def _with_classes(config, table):
    if isinstance(config, (list, tuple)):
        return type(config)(_with_classes(value, table) for value in config)
    if not isinstance(config, dict):
        return config
    config = {key: _with_classes(value, table) for key, value in config.items()}
    layer_class = table.get((config.get("module"), config.get("class_name")))
    if layer_class is not None:
        config["module"], config["class_name"] = _identity(layer_class)
        config["registered_name"] = keras.saving.get_registered_name(layer_class)
        if layer_class in _THEIRS:
            config["registered_name"] = None
            config["config"].pop("recompute", None)
    return config


def _layers_of(layer):
    yield layer
    if isinstance(layer, RecurrentLayer):
        return  # its cell holds its weights, as Keras made it
    inner = list(getattr(layer, "_layers", []))
    for attribute in ("layer", "forward_layer", "backward_layer", "cell"):
        inner.append(getattr(layer, attribute, None))
    for child in inner:
        if isinstance(child, keras.Layer):
            yield from _layers_of(child)


def from_torch_state_dict(layer, state_dict, prefix="", number=0, reverse=False):
    """Sets a layer's weights to those of a `torch.nn.LSTM`, `GRU` or `RNN`.

    PyTorch keeps the transposes of our kernels, and two biases, of which only the sum
    matters in an LSTM and an RNN. The gates of an LSTM are in the same order; those of a
    GRU are r, z, h̃ there, and its reset gate comes after the product.

    Args:
        layer: a built `kerasdl.layers.LSTM`, `SimpleRNN`, or `GRU` with `reset_after`.
        state_dict: name -> tensor or array, as `module.state_dict()` returns it.
        prefix: what stands before the names, such as "encoder.".
        number: which of PyTorch's stacked layers.
        reverse: its backward direction (of a bidirectional module; `layer` then needs
            `go_backwards=True` to compute the same).

    Raises:
        ValueError: a name is missing, a shape does not fit, the module has a projection,
            biases where the layer has none, or none where it has, or the layer is a GRU
            without `reset_after`.
    """
    names = _torch_names(layer, prefix, number, reverse)
    if f"{prefix}weight_hr_{names['suffix']}" in state_dict:
        raise ValueError(
            "Received an invalid value for argument `state_dict`, expected a module "
            f"without projection, got {prefix}weight_hr_{names['suffix']}."
        )
    with_bias = names["bias_ih"] in state_dict
    if with_bias != (layer.cell.bias is not None):
        raise ValueError(
            "Received an invalid value for argument `state_dict`, expected one "
            f"{'without' if with_bias else 'with'} biases for a layer with use_bias="
            f"{layer.cell.use_bias}, got the keys {sorted(state_dict)}."
        )
    width, units = layer.cell.kernel.shape[1], layer.units
    wanted = {
        "weight_ih": (width, layer.cell.kernel.shape[0]),
        "weight_hh": (width, units),
    }
    if with_bias:
        wanted |= {"bias_ih": (width,), "bias_hh": (width,)}
    arrays = {}
    for part, shape in wanted.items():
        if names[part] not in state_dict:
            raise ValueError(
                "Received an invalid value for argument `state_dict`, expected the key "
                f"{names[part]!r}, got the keys {sorted(state_dict)}."
            )
        value = state_dict[names[part]]
        array = np.asarray(value.detach() if hasattr(value, "detach") else value)
        if array.shape != shape:
            raise ValueError(
                "Received an invalid value for argument `state_dict`, expected "
                f"{names[part]!r} of shape {shape}, got {array.shape}."
            )
        arrays[part] = _gates_swapped(layer, array)
    weights = [arrays["weight_ih"].T, arrays["weight_hh"].T]
    if with_bias:
        biases = arrays["bias_ih"], arrays["bias_hh"]
        weights.append(np.stack(biases) if isinstance(layer, GRU) else sum(biases))
    layer.set_weights(weights)


def to_torch_state_dict(layer, prefix="", number=0, reverse=False):
    """Returns a layer's weights as a `torch.nn.LSTM`, `GRU` or `RNN` names them.

    Args:
        layer: a built `kerasdl.layers.LSTM`, `SimpleRNN`, or `GRU` with `reset_after`.
        prefix, number, reverse: as in `from_torch_state_dict`.

    Returns:
        name -> array; of an LSTM and an RNN the second bias is 0. With
        `torch.from_numpy` on each value it loads by `module.load_state_dict`.

    Raises:
        ValueError: the layer is a GRU without `reset_after`.
    """
    names = _torch_names(layer, prefix, number, reverse)
    kernel, recurrent_kernel, *bias = map(np.asarray, layer.get_weights())
    arrays = {"weight_ih": kernel.T, "weight_hh": recurrent_kernel.T}
    if bias:
        biases = bias[0] if isinstance(layer, GRU) else (bias[0], 0 * bias[0])
        arrays |= dict(zip(("bias_ih", "bias_hh"), biases, strict=True))
    return {
        names[part]: np.ascontiguousarray(_gates_swapped(layer, array))
        for part, array in arrays.items()
    }


def _gates_swapped(layer, array):
    """Exchanges the first two blocks of rows of a GRU: z, r, h̃ here are r, z, n there."""
    if not isinstance(layer, GRU):
        return array
    first, second, third = np.split(array, 3)
    return np.concatenate([second, first, third])


def _torch_names(layer, prefix, number, reverse):
    if isinstance(layer, GRU) and not layer.reset_after:
        raise ValueError(
            "Received an invalid value for argument `layer`, expected a GRU with "
            "reset_after=True, as PyTorch's are, got reset_after=False."
        )
    suffix = f"l{number}" + ("_reverse" if reverse else "")
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return {"suffix": suffix} | {part: f"{prefix}{part}_{suffix}" for part in parts}
