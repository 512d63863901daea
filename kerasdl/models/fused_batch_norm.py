"""BatchNorm of a minibatch in one operation, for networks that are fine-tuned.

Keras computes moments, differences and products one by one, and so does the gradient:
over a third of the time of a training step of EfficientNet-Lite0 on a CPU. TensorFlow has
the whole as one operation forward and one backward.
"""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="kerasdl")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` that computes a minibatch in one operation.

    Outputs, gradients and moving statistics are the stock layer's but for rounding, and
    so is inference, to the bit. Arguments and weights are the stock layer's too.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalises (N, H, W, C); by the batch's statistics if `training`."""
        batch = training and self.trainable
        if not batch or mask is not None or isinstance(inputs, keras.KerasTensor):
            return super().call(inputs, training=training, mask=mask)
        inputs = tf.cast(inputs, tf.float32)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(self.gamma, tf.float32),
            offset=tf.cast(self.beta, tf.float32),
            mean=tf.constant([], tf.float32),
            variance=tf.constant([], tf.float32),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The operation's variance is the unbiased one; Keras moves towards the biased.
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
        variance *= (count - 1) / count
        for moving, value in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return tf.cast(outputs, self.compute_dtype)


def with_fused_batch_norm(model: keras.Model) -> keras.Model:
    """A functional model with the BatchNorm layers that can be fused as fused ones.

    Args:
        model: It is left as it is, and returned if there is nothing to change. Models
            inside it are entered. Layers whose input is not (N, H, W, C), or that
            renormalise, synchronise devices, or lack scale or offset, stay stock layers.

    Returns:
        A copy with the same names and weights.
    """
    if not any(map(_can_be_fused, _stock_layers(model))):
        return model

    def clone(layer):
        kind = type(layer)
        if kind is keras.layers.BatchNormalization and _can_be_fused(layer):
            kind = FusedBatchNormalization
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


def _stock_layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += _stock_layers(layer)
        elif type(layer) is keras.layers.BatchNormalization:
            found.append(layer)
    return found


def _can_be_fused(layer: keras.layers.BatchNormalization) -> bool:
    rank = len(layer.input.shape)
    plain = layer.scale and layer.center and not (layer.renorm or layer.synchronized)
    return rank == 4 and layer.axis in (-1, 3) and plain
