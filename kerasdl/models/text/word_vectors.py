"""The layer that turns token ids into word vectors."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from kerasdl.data.texts.tokens import PADDING, UNKNOWN
from kerasdl.ops.embedding import word_embedding


@tf.custom_gradient
def gather_rows(table: tf.Tensor, ids: tf.Tensor):
    """`kerasdl.ops.word_embedding` whose gradient is a plain tensor.

    Adam touches every row of its moments at each step anyway; summing the occurrences
    of a word once is faster than the sparse updates of `tf.IndexedSlices`.

    Args:
        table: (V, D).
        ids: int32 (N, T).

    Returns:
        (N, T, D).
    """
    size, width = table.shape

    def backward(upstream: tf.Tensor):
        return (
            tf.math.unsorted_segment_sum(
                tf.reshape(upstream, (-1, width)), tf.reshape(ids, (-1,)), size
            ),
            None,
        )

    return word_embedding(ids, table), backward


@keras.saving.register_keras_serializable(package="kerasdl")
class WordVectors(keras.layers.Layer):
    """A vector for each token, with dropout of words and of components.

    In training each word becomes the unknown word with probability `word_dropout` (so
    the unknown word's vector is trained, and no word is relied on alone), after which
    each component of the vectors is dropped with probability `dropout`.

    Args:
        vocabulary_size: V, the number of ids.
        width: D, the length of a vector.
        word_dropout: fraction of the words.
        dropout: fraction of the components.
        frozen: whether the table is kept as it is; for vectors trained elsewhere.
        deviation: of the normal distribution that the table is drawn from.

    Call arguments:
        ids: int (N, T), `PADDING` after the last token.
        training: whether words and components are dropped.

    Returns:
        vectors, float (N, T, D), zero at padding, and mask, bool (N, T), true at tokens.

    Reference: word dropout is that of Iyyer et al., Deep Unordered Composition Rivals
    Syntactic Methods, 2015, with the unknown word in the place of nothing.
    """

    def __init__(
        self,
        vocabulary_size: int,
        width: int,
        word_dropout: float = 0.0,
        dropout: float = 0.0,
        frozen: bool = False,
        deviation: float = 0.1,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.width = width
        self.word_dropout = word_dropout
        self.frozen = frozen
        self.deviation = deviation
        self.seed_generator = keras.random.SeedGenerator()
        self.drop_components = keras.layers.Dropout(dropout)

    def build(self, input_shape) -> None:
        """Creates the table (V, D)."""
        self.table = self.add_weight(
            name="table",
            shape=(self.vocabulary_size, self.width),
            initializer=keras.initializers.RandomNormal(stddev=self.deviation),
            trainable=not self.frozen,
        )

    def set_vectors(self, rows: np.ndarray) -> None:
        """Puts given vectors in the place of all but the special tokens' rows.

        Args:
            rows: float (V - 2, D), the words' vectors in the order of their ids; if there
                are fewer, the last rows keep theirs. The unknown word gets their mean.
        """
        special = np.zeros((UNKNOWN + 1, self.width), np.float32)
        special[UNKNOWN] = rows.mean(axis=0)
        others = self.table.numpy()[len(special) + len(rows) :]
        self.table.assign(np.concatenate([special, rows, others]))

    def call(self, ids, training=False):
        """Returns vectors and mask; see the class."""
        ids = tf.cast(ids, tf.int32)
        mask = tf.not_equal(ids, PADDING)
        if training and self.word_dropout:
            dropped = keras.random.uniform(tf.shape(ids), seed=self.seed_generator)
            dropped = tf.logical_and(mask, dropped < self.word_dropout)
            ids = tf.where(dropped, UNKNOWN, ids)
        table = tf.cast(tf.convert_to_tensor(self.table), self.compute_dtype)
        vectors = word_embedding(ids, table) if self.frozen else gather_rows(table, ids)
        vectors = tf.where(mask[:, :, tf.newaxis], vectors, tf.zeros((), vectors.dtype))
        return self.drop_components(vectors, training=training), mask

    def arguments(self) -> dict:
        """The arguments that a classifier passes on, by name."""
        return {
            "width": self.width,
            "word_dropout": self.word_dropout,
            "dropout": self.drop_components.rate,
            "frozen": self.frozen,
        }

    def get_config(self):
        """Returns the constructor's arguments."""
        return (
            super().get_config()
            | self.arguments()
            | {"vocabulary_size": self.vocabulary_size, "deviation": self.deviation}
        )
