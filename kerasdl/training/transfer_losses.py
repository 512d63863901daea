"""The losses of the transfer job, and the head that is fitted before training."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kerasdl.models.classifier import HEAD, forward
from kerasdl.training.transfer_splits import Split

# Adam's rate when the head is fitted to all features at once.
PROBE_RATE = 3e-3


def class_weights(labels: np.ndarray, classes: int, kind: str) -> np.ndarray:
    """The weight of each class in the loss, float32 (classes,).

    Args:
        labels: int (N,), of the training split.
        classes: K.
        kind: `none` for ones; `balanced` for N / (K · the class's pictures), with which
            every class counts as much, and the average picture counts 1.

    """
    if kind == "none":
        return np.ones(classes, np.float32)
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    return (len(labels) / (classes * counts)).astype(np.float32)


def classification_loss(
    logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, smoothing: float = 0.0
) -> tf.Tensor:
    """Cross-entropy in nats, averaged over the minibatch.

    Args:
        logits: float (N, K).
        labels: int (N,), or the share of each class in a mixed picture, float (N, K).
        weights: float (K,), of each class.
        smoothing: ε of label smoothing (Szegedy et al. 2016, section 7): the target is
            1 - ε + ε / K for the class and ε / K for each other.

    Returns:
        A scalar.
    """
    logits = tf.cast(logits, tf.float32)
    classes, shares = logits.shape[-1], tf.convert_to_tensor(labels)
    if shares.dtype.is_integer:
        shares = tf.one_hot(shares, classes)
    targets = shares * (1 - smoothing) + smoothing / classes
    losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    return tf.reduce_mean(losses * tf.linalg.matvec(shares, weights))


def head_loss(
    classifier: keras.Model, weights: np.ndarray, smoothing: float
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of one minibatch of features (N, F) and labels (N,)."""
    head = classifier.get_layer(HEAD)

    def loss(features: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return classification_loss(
            head(features, training=True), labels, weights, smoothing
        )

    return loss


def picture_loss(
    classifier: keras.Model,
    weights: np.ndarray,
    smoothing: float,
    update_batch_norm: bool,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of one minibatch of images uint8 (N, S, S, 3) and labels (N,)."""

    def loss(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = forward(classifier, tf.cast(images, tf.float32), update_batch_norm)
        return classification_loss(logits, labels, weights, smoothing)

    return loss


def fit_head(
    classifier: keras.Model, split: Split, weights: np.ndarray, steps: int
) -> None:
    """Fits the head to the features of the frozen backbone, all at once.

    Fine-tuning that begins with a random head first spoils the features that it came
    for; beginning with a fitted one, it need not (Kumar et al., Fine-tuning can distort
    pretrained features, 2022).

    Args:
        classifier: Its head changes, from what it is.
        split: The training split, with features.
        weights: Of the classes, (K,).
        steps: Of Adam.
    """
    head = classifier.get_layer(HEAD)
    optimizer = keras.optimizers.Adam(PROBE_RATE)
    optimizer.build(head.trainable_variables)

    @tf.function
    def step(features: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            logits = head(features, training=False)
            loss = classification_loss(logits, labels, weights)
        gradients = tape.gradient(loss, head.trainable_variables)
        optimizer.apply_gradients(zip(gradients, head.trainable_variables, strict=True))

    features, labels = tf.constant(split.as_is()), tf.constant(split.pictures.labels)
    for number in range(steps):
        optimizer.learning_rate = PROBE_RATE * (1 - number / steps)
        step(features, labels)
