"""BatchNorm of a minibatch in one operation, for networks that are fine-tuned.

Keras computes moments, differences and products one by one, and so does the gradient:
over a third of the time of a training step of EfficientNet-Lite0 on a CPU. TensorFlow has
the whole as one operation forward and one backward.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf


def fuse_batch_norm(model: keras.Model) -> list[str]:
    """Lets the BatchNorm layers of `model` compute a minibatch in one operation.

    Outputs, gradients and moving statistics are the stock layer's but for rounding, and
    so is inference, to the bit. The layers stay `keras.layers.BatchNormalization`: what
    is saved loads with Keras alone, and is not fused then.

    Args:
        model: Its layers are changed in place, those of models inside it too. Layers
            whose input is not (N, H, W, C), or that renormalise, synchronise devices, or
            lack scale or offset, stay as they are.

    Returns:
        The names of the layers that were changed.
    """
    names = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            names += fuse_batch_norm(layer)
        elif type(layer) is keras.layers.BatchNormalization and _can_be_fused(layer):
            # An attribute of the instance, for a subclass would be named in the file.
            layer.call = _fused_call(layer, layer.call)
            names.append(layer.name)
    return names


def _can_be_fused(layer: keras.layers.BatchNormalization) -> bool:
    rank = len(layer.input.shape)
    plain = layer.scale and layer.center and not (layer.renorm or layer.synchronized)
    return rank == 4 and layer.axis in (-1, 3) and plain


def _fused_call(
    layer: keras.layers.BatchNormalization, stock: Callable[..., tf.Tensor]
) -> Callable[..., tf.Tensor]:
    def call(inputs, training=None, mask=None):
        batch = training and layer.trainable
        if not batch or mask is not None or isinstance(inputs, keras.KerasTensor):
            return stock(inputs, training=training, mask=mask)
        inputs = tf.cast(inputs, tf.float32)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(layer.gamma, tf.float32),
            offset=tf.cast(layer.beta, tf.float32),
            mean=tf.constant([], tf.float32),
            variance=tf.constant([], tf.float32),
            epsilon=layer.epsilon,
            is_training=True,
        )
        # The operation's variance is the unbiased one; Keras moves towards the biased.
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
        variance *= (count - 1) / count
        for moving, value in (
            (layer.moving_mean, mean),
            (layer.moving_variance, variance),
        ):
            moving.assign(moving * layer.momentum + value * (1 - layer.momentum))
        return tf.cast(outputs, layer.compute_dtype)

    return call
