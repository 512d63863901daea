"""The base of the classifiers that begin with word vectors."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from kerasdl.models.text.classifier import TextClassifier
from kerasdl.models.text.quantised_vectors import QuantisedVectors
from kerasdl.models.text.word_vectors import WordVectors


class VectorClassifier(TextClassifier):
    """Word vectors, a vector a sentence made from them, and a linear layer.

    A subclass implements `encode`.

    Args:
        vocabulary_size: V, the number of ids.
        classes: K.
        width: D, the length of a word vector.
        word_dropout, dropout, frozen: see `WordVectors`.
        head_dropout: fraction of the sentence's vector that training drops.
        parts: bytes that a word's vector is kept in, see `QuantisedVectors`; 0 for
            numbers, which can be trained.

    See `TextClassifier` for shapes.
    """

    def __init__(
        self,
        vocabulary_size: int,
        classes: int = 2,
        width: int = 50,
        word_dropout: float = 0.0,
        dropout: float = 0.0,
        frozen: bool = False,
        head_dropout: float = 0.0,
        parts: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(vocabulary_size, classes, **kwargs)
        if parts:
            self.word_vectors = QuantisedVectors(vocabulary_size, width, parts)
        else:
            self.word_vectors = WordVectors(
                vocabulary_size, width, word_dropout, dropout, frozen
            )
        self.head_dropout = keras.layers.Dropout(head_dropout)
        self.head = keras.layers.Dense(self.outputs_per_sentence)

    def encode(self, vectors: tf.Tensor, mask: tf.Tensor, training: bool) -> tf.Tensor:
        """The vector of a sentence.

        Args:
            vectors: (N, T, D), zero at padding.
            mask: bool (N, T), true at tokens.
            training: whether dropout applies.

        Returns:
            (N, E).
        """
        raise NotImplementedError

    def score(
        self, vectors: tf.Tensor, mask: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """The logits of sentences given as word vectors; arguments as of `encode`."""
        encoded = self.encode(vectors, mask, training)
        return self.head(self.head_dropout(encoded, training=training))

    def call(self, ids, training=False):
        """Returns the logits."""
        return self.score(*self.word_vectors(ids, training=training), training=training)

    def place_effects(self, ids, direction):
        """See `TextClassifier`."""
        vectors, mask = self.word_vectors(ids, training=False)
        score = tf.reduce_sum(self.score(vectors, mask) * direction)
        (gradient,) = tf.gradients(score, [vectors])
        return tf.reduce_sum(gradient * vectors, axis=2)

    def quantised(self, parts: int, seed: int) -> VectorClassifier:
        """A copy whose word vectors take `parts` bytes each; see `QuantisedVectors`."""
        config = self.get_config() | {"parts": parts}
        copy = type(self).from_config(config)
        copy.create_weights()
        copy.word_vectors.set_table(np.array(self.word_vectors.table), seed)
        own = {id(v) for v in self.word_vectors.variables}
        theirs = {id(v) for v in copy.word_vectors.variables}
        others = [v for v in copy.variables if id(v) not in theirs]
        for new, old in zip(
            others, (v for v in self.variables if id(v) not in own), strict=True
        ):
            new.assign(old)
        return copy

    def word_tables(self):
        """The word vectors."""
        return [self.word_vectors.table]

    def get_config(self):
        """Returns the constructor's arguments."""
        return (
            super().get_config()
            | self.word_vectors.arguments()
            | {"head_dropout": self.head_dropout.rate}
        )
