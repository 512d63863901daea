"""Prepares convolutions for weights of 8 bits: rounds them and corrects the means.

Rounding a kernel to 8 bits does not only add noise to the outputs: it moves the mean of
each channel, by an amount that later layers add up. Over a few real pictures that shift
is measured, layer after layer, each with all those before it already corrected, and is
taken away from the channel's bias. Reference: Nagel et al., Data-Free Quantization
Through Weight Equalization and Bias Correction, 2019, section 4.2, with measured instead
of derived expectations.
"""

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
# The largest integer of symmetric 8-bit weights, as LiteRT has them.
LARGEST = 127


def correct_biases(model: keras.Model, images: np.ndarray) -> int:
    """Rounds the convolutions' kernels in place and corrects the means of their outputs.

    A convolution without a bias is corrected in the BatchNorm that follows it; one that
    has neither, or that the network applies more than once, is left as it is.

    Args:
        model: A functional model of pictures; models among its layers are entered.
        images: float32 (N, H, W, 3), N real inputs of the model, all run at once.

    Returns:
        How many convolutions were corrected.
    """
    images = tf.constant(images)
    corrections: dict[int, _Correction] = {}
    for network in _networks(model):
        for convolution, place in _places(network):
            corrections[id(convolution)] = _Correction(convolution, place)
    _watched(model, corrections)(images, training=False)
    for correction in corrections.values():
        correction.round()
    _watched(model, corrections)(images, training=False)
    for correction in corrections.values():
        correction.apply()
    return len(corrections)


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


class _Correction:
    """What is known of one convolution: the mean it had, and the mean it has."""

    def __init__(self, convolution: keras.layers.Layer, place: keras.Variable) -> None:
        self.convolution = convolution
        self._place = place
        self._expected: tf.Tensor | None = None
        self._shift: tf.Tensor | None = None

    def observe(self, inputs: tf.Tensor) -> tf.Tensor:
        """The convolution's outputs, less the shift once the kernel has been rounded."""
        # The bias acts before the activation.
        activation = self.convolution.activation
        self.convolution.activation = keras.activations.linear
        try:
            outputs = self._corrected(self.convolution(inputs))
        finally:
            self.convolution.activation = activation
        return activation(outputs)

    def _corrected(self, outputs: tf.Tensor) -> tf.Tensor:
        means = tf.reduce_mean(outputs, axis=(0, 1, 2))
        if self._expected is None:
            self._expected = means
            return outputs
        self._shift = means - self._expected
        return outputs - self._shift

    def round(self) -> None:
        kernel = self.convolution.kernel
        depthwise = isinstance(self.convolution, keras.layers.DepthwiseConv2D)
        kernel.assign(rounded(keras.ops.convert_to_numpy(kernel), depthwise))

    def apply(self) -> None:
        # A BatchNorm subtracts its mean, a bias is added.
        is_bias = self._place is self.convolution.bias
        self._place.assign_add(-self._shift if is_bias else self._shift)


class _Watched(keras.layers.Layer):
    """A convolution whose outputs are observed."""

    def __init__(self, correction: _Correction) -> None:
        super().__init__(name=correction.convolution.name)
        self._correction = correction

    def call(self, inputs):
        if tf.executing_eagerly():
            return self._correction.observe(inputs)
        return self._correction.convolution(inputs)


def _watched(model: keras.Model, corrections: dict[int, _Correction]) -> keras.Model:
    """The model on the same weights, its convolutions watched."""

    def clone(layer):
        if isinstance(layer, keras.Model):
            return keras.models.clone_model(layer, clone_function=clone)
        correction = corrections.get(id(layer))
        return layer if correction is None else _Watched(correction)

    return keras.models.clone_model(model, clone_function=clone)


def _networks(model: keras.Model) -> Iterator[keras.Model]:
    yield model
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _networks(layer)


def _places(
    network: keras.Model,
) -> Iterator[tuple[keras.layers.Layer, keras.Variable]]:
    """Convolutions that are applied once, and where a constant is taken from each."""
    followers: dict[str, keras.layers.Layer] = {}
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and _is_used_once(layer):
            followers[layer.input._keras_history.operation.name] = layer
    for layer in network.layers:
        if not isinstance(layer, CONVOLUTIONS) or not _is_used_once(layer):
            continue
        if layer.use_bias:
            yield layer, layer.bias
        elif layer.name in followers:
            yield layer, followers[layer.name].moving_mean


def _is_used_once(layer: keras.layers.Layer) -> bool:
    return len(layer._inbound_nodes) == 1
