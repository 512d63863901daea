"""Prepares convolutions for weights of 8 bits: rounds them and corrects the means.

Rounding a kernel to 8 bits does not only add noise to the outputs: it moves the mean of
each channel, by an amount that later layers add up. Over a few real pictures that shift
is measured, layer after layer, each with all those before it already corrected, and is
taken away from the channel's bias. Reference: Nagel et al., Data-Free Quantization
Through Weight Equalization and Bias Correction, 2019, section 4.2, with measured instead
of derived expectations.
"""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from kerasdl.export.forms import run_with

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
# The largest integer of symmetric 8-bit weights, as LiteRT has them.
LARGEST = 127


def correct_biases(model: keras.Model, images: np.ndarray) -> tuple[keras.Model, int]:
    """A copy of a model with rounded kernels and the means of their outputs put right.

    A convolution without a bias is corrected in the BatchNorm that follows it; one that
    has neither, or that the network applies more than once, is left as it is.

    Args:
        model: A functional model of pictures, channels last; models among its layers are
            entered. It is left as it is.
        images: float32 (N, H, W, 3), N real inputs of the model, all run at once.

    Returns:
        The copy, and how many of its convolutions were corrected.
    """
    images = tf.constant(images)
    expected: dict[int, tf.Tensor] = {}

    def kept(k: int, outputs: tf.Tensor) -> tf.Tensor:
        expected[k] = _means(outputs)
        return outputs

    _observe(model, images, kept)
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    places = list(_places(copy))
    for convolution, _ in places:
        depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
        kernel = keras.ops.convert_to_numpy(convolution.kernel)
        convolution.kernel.assign(rounded(kernel, depthwise))
    shifts: dict[int, tf.Tensor] = {}

    def corrected(k: int, outputs: tf.Tensor) -> tf.Tensor:
        shifts[k] = _means(outputs) - expected[k]
        return outputs - shifts[k]

    _observe(copy, images, corrected)
    for k, (convolution, place) in enumerate(places):
        # A BatchNorm subtracts its mean, a bias is added.
        place.assign_add(-shifts[k] if place is convolution.bias else shifts[k])
    return copy, len(places)


def rounded(kernel: np.ndarray, depthwise: bool) -> np.ndarray:
    """A kernel as its 8-bit integers stand for it, one scale an output channel.

    Args:
        kernel: (h, w, C, F); of a depthwise convolution with M outputs for each of C
            channels (h, w, C, M).
        depthwise: Which of the two.
    """
    axes = (0, 1) if depthwise else (0, 1, 2)
    scale = np.abs(kernel).max(axis=axes, keepdims=True) / LARGEST
    scale[scale == 0] = 1.0
    return np.round(kernel / scale) * scale


def _observe(
    model: keras.Model,
    images: tf.Tensor,
    observe: Callable[[int, tf.Tensor], tf.Tensor],
) -> None:
    """Runs a model and shows what convolutions give before their activations.

    Args:
        model: With convolutions.
        images: Its inputs.
        observe: Given the number of a convolution in the order of `_places` and its
            outputs; what it returns takes their place.
    """
    numbers = {id(layer): k for k, (layer, _) in enumerate(_places(model))}

    def form_of(operation):
        if isinstance(operation, keras.Model):
            return lambda x, **_: run(operation, x)
        if id(operation) not in numbers:
            return operation
        number = numbers[id(operation)]
        return lambda x, **_: operation.activation(observe(number, _linear(operation, x)))

    def run(network, x):
        return run_with(getattr(network, "_functional", network), x, form_of)

    run(model, images)


def _linear(convolution: keras.layers.Layer, x: tf.Tensor) -> tf.Tensor:
    """A convolution with its bias, without its activation."""
    depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    outputs = (keras.ops.depthwise_conv if depthwise else keras.ops.conv)(
        x,
        convolution.kernel,
        strides=convolution.strides,
        padding=convolution.padding,
        dilation_rate=convolution.dilation_rate,
        data_format=convolution.data_format,
    )
    return outputs + convolution.bias if convolution.use_bias else outputs


def _means(outputs: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(outputs, axis=(0, 1, 2))


def _networks(model: keras.Model) -> Iterator[keras.Model]:
    yield model
    for layer in model.layers:
        if isinstance(layer, keras.Model) and _is_used_once(layer):
            yield from _networks(layer)


def _places(
    model: keras.Model,
) -> Iterator[tuple[keras.layers.Layer, keras.Variable]]:
    """Convolutions that are applied once, and where a constant is taken from each."""
    for network in _networks(model):
        followers: dict[str, keras.layers.Layer] = {}
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                if _is_used_once(layer):
                    followers[layer.input._keras_history.operation.name] = layer
        for layer in network.layers:
            if not isinstance(layer, CONVOLUTIONS) or not _is_used_once(layer):
                continue
            if layer.data_format != "channels_last":
                continue
            if layer.use_bias:
                yield layer, layer.bias
            elif layer.name in followers:
                yield layer, followers[layer.name].moving_mean


def _is_used_once(layer: keras.layers.Layer) -> bool:
    return len(layer._inbound_nodes) == 1
