"""Models with Keras's recurrent layers made ours, and weights to and from PyTorch."""

import keras
import numpy as np

from kerasdl.layers.lstm import LSTM, LSTMCell
from kerasdl.layers.recurrent import RecurrentLayer
from kerasdl.layers.simple_rnn import SimpleRNN, SimpleRNNCell

_OURS = {ours.__name__: ours for ours in (LSTM, LSTMCell, SimpleRNN, SimpleRNNCell)}
_THEIRS = tuple(getattr(keras.layers, name) for name in _OURS)


def from_keras(model):
    """Returns a copy of a Keras model with its recurrent layers replaced by ours.

    Args:
        model: a built `keras.Model`, or one built layer, that its configuration rebuilds
            (Sequential, functional, or registered with a `get_config` that holds its
            layers). LSTM, SimpleRNN and their cells are found at any depth: inside
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
    if not model.built:
        raise ValueError(
            "Received an invalid value for argument `model`, expected a built one, got "
            f"{model.name!r}, which has no weights yet."
        )
    config = _with_ours(keras.saving.serialize_keras_object(model))
    # The configuration comes from a model in memory, not from a file of a stranger's.
    copy = keras.saving.deserialize_keras_object(config, safe_mode=False)
    hidden = [layer.name for layer in _layers_of(copy) if type(layer) in _THEIRS]
    if hidden:
        raise ValueError(
            "Received an invalid value for argument `model`, expected one whose "
            "configuration shows its layers (Sequential, functional), got "
            f"{type(model).__name__} {model.name!r} with the hidden {hidden[0]!r}."
        )
    copy.set_weights(model.get_weights())
    return copy


def from_torch_state_dict(layer, state_dict, prefix="", number=0, reverse=False):
    """Sets a layer's weights to those of a `torch.nn.LSTM` or `torch.nn.RNN`.

    PyTorch keeps (4H, D) and (4H, H), the transposes of ours, with the gates in the same
    order, and two biases of which only the sum matters.

    Args:
        layer: a built `kerasdl.layers.LSTM` or `SimpleRNN`.
        state_dict: name -> tensor or array, as `module.state_dict()` returns it.
        prefix: what stands before the names, such as "encoder.".
        number: which of PyTorch's stacked layers.
        reverse: its backward direction (of a bidirectional module; `layer` then needs
            `go_backwards=True` to compute the same).

    Raises:
        ValueError: a name is missing, a shape does not fit, or the module has a
            projection, biases where the layer has none, or none where it has.
    """
    names = _torch_names(prefix, number, reverse)
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
    wanted = {"weight_ih": layer.cell.kernel, "weight_hh": layer.cell.recurrent_kernel}
    if with_bias:
        wanted |= {"bias_ih": layer.cell.bias, "bias_hh": layer.cell.bias}
    arrays = {}
    for part, variable in wanted.items():
        if names[part] not in state_dict:
            raise ValueError(
                "Received an invalid value for argument `state_dict`, expected the key "
                f"{names[part]!r}, got the keys {sorted(state_dict)}."
            )
        value = state_dict[names[part]]
        arrays[part] = np.asarray(value.detach() if hasattr(value, "detach") else value)
        if arrays[part].shape != tuple(variable.shape)[::-1]:
            raise ValueError(
                "Received an invalid value for argument `state_dict`, expected "
                f"{names[part]!r} of shape {tuple(variable.shape)[::-1]}, got "
                f"{arrays[part].shape}."
            )
    weights = [arrays["weight_ih"].T, arrays["weight_hh"].T]
    if with_bias:
        weights.append(arrays["bias_ih"] + arrays["bias_hh"])
    layer.set_weights(weights)


def to_torch_state_dict(layer, prefix="", number=0, reverse=False):
    """Returns a layer's weights as a `torch.nn.LSTM` or `torch.nn.RNN` names them.

    Args:
        layer: a built `kerasdl.layers.LSTM` or `SimpleRNN`.
        prefix, number, reverse: as in `from_torch_state_dict`.

    Returns:
        name -> array; the second bias is 0. With `torch.from_numpy` on each value it
        loads by `module.load_state_dict`.
    """
    names = _torch_names(prefix, number, reverse)
    kernel, recurrent_kernel, *bias = map(np.asarray, layer.get_weights())
    state_dict = {
        names["weight_ih"]: np.ascontiguousarray(kernel.T),
        names["weight_hh"]: np.ascontiguousarray(recurrent_kernel.T),
    }
    if bias:
        state_dict[names["bias_ih"]] = bias[0]
        state_dict[names["bias_hh"]] = np.zeros_like(bias[0])
    return state_dict


def _torch_names(prefix, number, reverse):
    suffix = f"l{number}" + ("_reverse" if reverse else "")
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return {"suffix": suffix} | {part: f"{prefix}{part}_{suffix}" for part in parts}


def _with_ours(config):
    if isinstance(config, (list, tuple)):
        return type(config)(map(_with_ours, config))
    if not isinstance(config, dict):
        return config
    config = {key: _with_ours(value) for key, value in config.items()}
    name = config.get("class_name")
    if config.get("module") == "keras.layers" and name in _OURS:
        ours = _OURS[name]
        config["module"] = ours.__module__
        config["registered_name"] = keras.saving.get_registered_name(ours)
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
