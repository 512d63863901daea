"""Hashed n-grams: the mean of the vectors of words and of runs of words."""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasdl.data.texts.subwords import MODULUS, MULTIPLIER
from kerasdl.data.texts.tokens import PADDING
from kerasdl.models.text.pooling import masked_mean
from kerasdl.models.text.vector_classifier import VectorClassifier
from kerasdl.models.text.word_vectors import gather_rows


def ngram_buckets(ids: tf.Tensor, order: int, buckets: int) -> tf.Tensor:
    """The bucket of the n-gram that begins at each token.

    hash = (((id_1 · a + id_2) mod p) · a + id_3) mod p …, bucket = hash mod `buckets`.

    Args:
        ids: int (N, T), padded with `PADDING`.
        order: n, at least 2.
        buckets: how many there are.

    Returns:
        int32 (N, T - n + 1) (none if the sentence is shorter); meaningless where the
        n-gram reaches into the padding, that is where `ids[:, n - 1:]` is `PADDING`.
    """
    ids = tf.cast(ids, tf.int64)
    steps = tf.maximum(tf.shape(ids)[1] - order + 1, 0)
    value = ids[:, :steps]
    for offset in range(1, order):
        following = ids[:, offset : offset + steps]
        value = tf.math.floormod(value * MULTIPLIER + following, MODULUS)
    return tf.cast(tf.math.floormod(value, buckets), tf.int32)


@keras.saving.register_keras_serializable(package="kerasdl")
class HashedNgramBag(VectorClassifier):
    """Means of the vectors of words and of hashed n-grams, added, then a linear layer.

    Args:
        vocabulary_size: V, the number of ids.
        classes: K.
        order: the longest n-gram, at least 2.
        buckets: how many rows the n-grams of each length share.
        **kwargs: the arguments of `VectorClassifier`; n-grams keep dropped words.

    See `TextClassifier` for shapes.

    Reference: Joulin et al., Bag of Tricks for Efficient Text Classification, 2016.
    Different from it: a table an n-gram length, and a mean each, so that the words keep
    their weight in long sentences.
    """

    def __init__(
        self,
        vocabulary_size: int,
        classes: int = 2,
        order: int = 2,
        buckets: int = 65_536,
        **kwargs,
    ) -> None:
        super().__init__(vocabulary_size, classes, **kwargs)
        if order < 2:
            raise ValueError(
                "Received an invalid value for argument `order`, expected an integer of "
                f"2 or more, got {order!r}."
            )
        self.order = order
        self.buckets = buckets

    def build(self, input_shape=None) -> None:
        """Creates a table (buckets, D) for each n-gram length, all zero."""
        # Loading builds a model by this method alone.
        self.word_vectors.build(None)
        self.head.build((None, self.word_vectors.width))
        self.ngram_tables = [
            self.add_weight(
                name=f"table_{n}",
                shape=(self.buckets, self.word_vectors.width),
                initializer="zeros",
            )
            for n in range(2, self.order + 1)
        ]

    def call(self, ids, training=False):
        """Returns the logits."""
        vectors, mask = self.word_vectors(ids, training=training)
        total = masked_mean(vectors, mask)
        for n, table in enumerate(self.ngram_tables, start=2):
            rows = gather_rows(
                tf.convert_to_tensor(table), ngram_buckets(ids, n, self.buckets)
            )
            complete = tf.not_equal(ids[:, n - 1 :], PADDING)
            total += masked_mean(rows, complete)
        return self.head(self.head_dropout(total, training=training))

    def encode(self, vectors, mask, training):
        """The words' part of what is scored: the n-grams are another summand."""
        return masked_mean(vectors, mask)

    def get_config(self):
        """Returns the constructor's arguments."""
        return super().get_config() | {"order": self.order, "buckets": self.buckets}
