"""A bidirectional LSTM, max- and attention-pooled."""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasdl import layers
from kerasdl.models.text.classifier import TextClassifier
from kerasdl.models.text.pooling import AttentionPooling, masked_max
from kerasdl.models.text.word_vectors import WordVectors


@keras.saving.register_keras_serializable(package="kerasdl")
class PooledBiLSTM(TextClassifier):
    """A bidirectional LSTM whose outputs at all tokens are pooled in two ways.

    The maximum finds a clue wherever it stands; attention weighs the tokens against each
    other. Both, side by side, go to the linear layer.

    Args:
        vocabulary_size: V, the number of ids.
        classes: K.
        width: D, the length of a word vector.
        units: H of each direction.
        attention_units: see `AttentionPooling`.
        word_dropout, dropout, frozen: see `WordVectors`.
        recurrent_dropout: fraction of h_{t-1} that training drops, the same at every
            step.
        head_dropout: fraction of the pooled vector that training drops.

    See `TextClassifier` for shapes.

    References: Conneau et al., Supervised Learning of Universal Sentence
    Representations, 2017 (max-pooled BiLSTM); Yang et al. 2016 (attention).
    """

    def __init__(
        self,
        vocabulary_size: int,
        classes: int = 2,
        width: int = 50,
        units: int = 128,
        attention_units: int = 64,
        word_dropout: float = 0.0,
        dropout: float = 0.0,
        frozen: bool = False,
        recurrent_dropout: float = 0.0,
        head_dropout: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(vocabulary_size, classes, **kwargs)
        self.word_vectors = WordVectors(
            vocabulary_size, width, word_dropout, dropout, frozen
        )
        options = {"return_sequences": True, "recurrent_dropout": recurrent_dropout}
        self.forward_lstm = layers.LSTM(units, **options)
        self.backward_lstm = layers.LSTM(units, go_backwards=True, **options)
        self.attention = AttentionPooling(attention_units)
        self.head_dropout = keras.layers.Dropout(head_dropout)
        self.head = keras.layers.Dense(self.outputs_per_sentence)

    def call(self, ids, training=False):
        """Returns the logits."""
        vectors, mask = self.word_vectors(ids, training=training)
        forward = self.forward_lstm(vectors, mask=mask, training=training)
        backward = self.backward_lstm(vectors, mask=mask, training=training)
        outputs = tf.concat([forward, tf.reverse(backward, [1])], axis=2)  # (N, T, 2H)
        pooled = tf.concat(
            [masked_max(outputs, mask), self.attention(outputs, mask)], axis=1
        )
        return self.head(self.head_dropout(pooled, training=training))

    def word_tables(self):
        """The word vectors."""
        return [self.word_vectors.table]

    def get_config(self):
        """Returns the constructor's arguments."""
        return (
            super().get_config()
            | self.word_vectors.arguments()
            | {
                "units": self.forward_lstm.units,
                "attention_units": self.attention.units,
                "recurrent_dropout": self.forward_lstm.recurrent_dropout,
                "head_dropout": self.head_dropout.rate,
            }
        )
