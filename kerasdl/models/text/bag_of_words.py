"""Model 1: binary bag of words, linear, sigmoid."""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasdl.data.texts.tokens import PADDING
from kerasdl.models.text.classifier import TextClassifier
from kerasdl.models.text.pooling import same_words
from kerasdl.models.text.word_vectors import gather_rows


@keras.saving.register_keras_serializable(package="kerasdl")
class BagOfWords(TextClassifier):
    """Adds up a weight for each distinct word of the sentence.

    With b the binary vector of the words that occur, logits = b W + c. The vector is
    never formed: the sum runs over the distinct ids, which costs T and not V.

    Args:
        vocabulary_size: V, the number of ids.
        classes: K.

    See `TextClassifier` for shapes.
    """

    def build(self, input_shape=None) -> None:
        """Creates W (V, O) and c (O,), both zero."""
        size = self.outputs_per_sentence
        self.table = self.add_weight(
            name="table", shape=(self.vocabulary_size, size), initializer="zeros"
        )
        self.bias = self.add_weight(name="bias", shape=(size,), initializer="zeros")

    def call(self, ids, training=False):
        """Returns the logits."""
        ordered = tf.sort(tf.cast(ids, tf.int32), axis=1, direction="DESCENDING")
        different = tf.not_equal(ordered[:, 1:], ordered[:, :-1])
        first = tf.concat([tf.ones_like(ordered[:, :1], tf.bool), different], axis=1)
        counted = tf.logical_and(first, tf.not_equal(ordered, PADDING))
        weights = gather_rows(tf.convert_to_tensor(self.table), ordered)  # (N, T, O)
        weights *= tf.cast(counted, weights.dtype)[:, :, tf.newaxis]
        return tf.reduce_sum(weights, axis=1) + tf.convert_to_tensor(self.bias)

    def place_effects(self, ids, direction):
        """See `TextClassifier`; a word counts once, so its places share its weight."""
        ids = tf.cast(ids, tf.int32)
        weights = tf.gather(tf.convert_to_tensor(self.table), ids)  # (N, T, O)
        effects = tf.reduce_sum(weights * tf.expand_dims(direction, 1), axis=2)
        return effects / tf.reduce_sum(same_words(ids), axis=2)

    def word_tables(self):
        """The weights of the words."""
        return [self.table]
