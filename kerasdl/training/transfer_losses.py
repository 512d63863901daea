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
# How much less likely, in nats, the target makes each class further from the true one, if
# classes have an order.
ORDER = 2.0


def class_weights(labels: np.ndarray, classes: int, kind: str) -> np.ndarray:
    """The weight of each class in the loss, float32 (classes,).

    Args:
        labels: int (N,), of the training split.
        classes: K.
        kind: `none` for ones (the only kind for several labels each); `balanced` for
            N / (K · the class's pictures), with which every class counts as much, and the
            average picture counts 1.

    """
    if kind == "none":
        return np.ones(classes, np.float32)
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    return (len(labels) / (classes * counts)).astype(np.float32)


def classification_loss(
    logits: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor,
    smoothing: float = 0.0,
    target: str = "classes",
) -> tf.Tensor:
    """Cross-entropy in nats, averaged over the minibatch.

    With several labels each it is the binary one, averaged over the labels too. With
    classes in an order the target of class y is softmax(-ORDER |k - y|) over the classes
    k, so that a near miss costs less than a far one (Díaz and Marathe, Soft Labels for
    Ordinal Regression, 2019).

    Args:
        logits: float (N, K).
        labels: int (N,); of several labels each 0 or 1, (N, K); of mixed pictures the
            share of each class, float (N, K).
        weights: float (K,), of each class.
        smoothing: ε of label smoothing (Szegedy et al. 2016, section 7): the target is
            1 - ε + ε / K for the class and ε / K for each other; of several labels each
            1 - ε / 2 and ε / 2.
        target: `classes`, `multi_label` or `ordinal`.

    Returns:
        A scalar.
    """
    logits = tf.cast(logits, tf.float32)
    classes, shares = logits.shape[-1], tf.convert_to_tensor(labels)
    if shares.shape.rank == 1:
        shares = tf.one_hot(shares, classes)
    shares = tf.cast(shares, tf.float32)
    if target == "multi_label":
        targets = shares * (1 - smoothing) + smoothing / 2
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))
    weight = tf.linalg.matvec(shares, weights)
    if target == "ordinal":
        number = tf.range(classes, dtype=tf.float32)
        distance = tf.abs(number[:, tf.newaxis] - number)
        shares = tf.matmul(shares, tf.nn.softmax(-ORDER * distance))
    targets = shares * (1 - smoothing) + smoothing / classes
    losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    return tf.reduce_mean(losses * weight)


def head_loss(
    classifier: keras.Model,
    weights: np.ndarray,
    smoothing: float,
    target: str = "classes",
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of one minibatch of features (N, F) and labels (N,)."""
    head = classifier.get_layer(HEAD)

    def loss(features: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = head(features, training=True)
        return classification_loss(logits, labels, weights, smoothing, target)

    return loss


def picture_loss(
    classifier: keras.Model,
    weights: np.ndarray,
    smoothing: float,
    update_batch_norm: bool,
    target: str = "classes",
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of one minibatch of images uint8 (N, S, S, 3) and labels (N,)."""

    def loss(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = forward(classifier, tf.cast(images, tf.float32), update_batch_norm)
        return classification_loss(logits, labels, weights, smoothing, target)

    return loss


def fit_head(
    classifier: keras.Model,
    split: Split,
    weights: np.ndarray,
    steps: int,
    target: str = "classes",
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
        target: See `classification_loss`.
    """
    head = classifier.get_layer(HEAD)
    optimizer = keras.optimizers.Adam(PROBE_RATE)
    optimizer.build(head.trainable_variables)

    @tf.function
    def step(features: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            logits = head(features, training=False)
            loss = classification_loss(logits, labels, weights, target=target)
        gradients = tape.gradient(loss, head.trainable_variables)
        optimizer.apply_gradients(zip(gradients, head.trainable_variables, strict=True))

    features, labels = tf.constant(split.as_is()), tf.constant(split.pictures.labels)
    for number in range(steps):
        optimizer.learning_rate = PROBE_RATE * (1 - number / steps)
        step(features, labels)
