"""From one vector per token to one vector per sentence; padding has no influence."""

from __future__ import annotations

import keras
import tensorflow as tf

# Of attention weights; a sentence without tokens has none.
LEAST_TOTAL = 1e-6


def masked_mean(vectors: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The mean over a sentence's tokens, over their true number.

    Args:
        vectors: (N, T, D).
        mask: bool (N, T), true at tokens.

    Returns:
        (N, D); zero for a sentence without tokens.
    """
    weights = tf.cast(mask, vectors.dtype)[:, :, tf.newaxis]
    count = tf.maximum(tf.reduce_sum(weights, axis=1), 1.0)
    return tf.reduce_sum(vectors * weights, axis=1) / count


def same_words(ids: tf.Tensor) -> tf.Tensor:
    """1 where two places of a sentence hold one word: float32 (N, T, T) from (N, T)."""
    equal = tf.equal(tf.expand_dims(ids, 2), tf.expand_dims(ids, 1))
    return tf.cast(equal, tf.float32)


def masked_max(vectors: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The largest value of each component over a sentence's tokens.

    Args:
        vectors: (N, T, D), values in [-1, 1], as an LSTM's outputs are.
        mask: bool (N, T), true at tokens.

    Returns:
        (N, D); zero for a sentence without tokens.
    """
    lowest = tf.constant(-2.0, vectors.dtype)
    largest = tf.reduce_max(tf.where(mask[:, :, tf.newaxis], vectors, lowest), axis=1)
    return tf.where(tf.reduce_any(mask, axis=1, keepdims=True), largest, 0.0)


@keras.saving.register_keras_serializable(package="kerasdl")
class AttentionPooling(keras.layers.Layer):
    """A weighted mean of a sentence's vectors, the weights learnt from the vectors.

        u_t = tanh(v_t W + b),   a = softmax_t(u_t · q),   result = Σ_t a_t v_t

    Args:
        units: length of u_t.

    Call arguments:
        vectors: (N, T, D).
        mask: bool (N, T), true at tokens.

    Returns:
        (N, D); zero for a sentence without tokens.

    Reference: Yang et al., Hierarchical Attention Networks for Document Classification,
    2016, equations 5 to 7.
    """

    def __init__(self, units: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.hidden = keras.layers.Dense(units, activation="tanh")
        self.query = keras.layers.Dense(1, use_bias=False)

    def build(self, input_shape) -> None:
        """Creates W, b and q."""
        self.hidden.build(input_shape)
        self.query.build((*input_shape[:-1], self.units))

    def weights_of(self, vectors: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """The attention weights a, (N, T), zero at padding."""
        scores = self.query(self.hidden(vectors))[:, :, 0]
        # Padding gets the least score, then no weight: a score far below all others
        # would take the whole range of a quantised export.
        least = tf.reduce_min(scores, axis=1, keepdims=True)
        weights = tf.nn.softmax(tf.where(mask, scores, least), axis=1)
        weights *= tf.cast(mask, scores.dtype)
        total = tf.reduce_sum(weights, axis=1, keepdims=True)
        return weights / tf.maximum(total, LEAST_TOTAL)

    def call(self, vectors, mask):
        """Returns the pooled vectors."""
        weights = self.weights_of(vectors, mask)
        # TFLite has no built-in operation for `[:, :, tf.newaxis]` of these weights.
        return tf.reduce_sum(tf.expand_dims(weights, 2) * vectors, axis=1)

    def get_config(self):
        """Returns the constructor's arguments."""
        return super().get_config() | {"units": self.units}
