"""A bidirectional LSTM, max- and attention-pooled."""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasdl import layers
from kerasdl.models.text.pooling import AttentionPooling, masked_max
from kerasdl.models.text.vector_classifier import VectorClassifier


@keras.saving.register_keras_serializable(package="kerasdl")
class PooledBiLSTM(VectorClassifier):
    """A bidirectional LSTM whose outputs at all tokens are pooled in two ways.

    The maximum finds a clue wherever it stands; attention weighs the tokens against each
    other. Both, side by side, go to the linear layer.

    Args:
        vocabulary_size: V, the number of ids.
        classes: K.
        units: H of each direction.
        attention_units: see `AttentionPooling`.
        recurrent_dropout: fraction of h_{t-1} that training drops, the same at every
            step.
        **kwargs: the arguments of `VectorClassifier`.

    See `TextClassifier` for shapes.

    References: Conneau et al., Supervised Learning of Universal Sentence
    Representations, 2017 (max-pooled BiLSTM); Yang et al. 2016 (attention).
    """

    def __init__(
        self,
        vocabulary_size: int,
        classes: int = 2,
        units: int = 128,
        attention_units: int = 64,
        recurrent_dropout: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(vocabulary_size, classes, **kwargs)
        options = {"return_sequences": True, "recurrent_dropout": recurrent_dropout}
        self.forward_lstm = layers.LSTM(units, **options)
        self.backward_lstm = layers.LSTM(units, go_backwards=True, **options)
        self.attention = AttentionPooling(attention_units)

    def encode(self, vectors, mask, training):
        """Returns maximum and attention-weighted mean, (N, 4H)."""
        forward = self.forward_lstm(vectors, mask=mask, training=training)
        backward = self.backward_lstm(vectors, mask=mask, training=training)
        outputs = tf.concat([forward, tf.reverse(backward, [1])], axis=2)  # (N, T, 2H)
        return tf.concat(
            [masked_max(outputs, mask), self.attention(outputs, mask)], axis=1
        )

    def get_config(self):
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "units": self.forward_lstm.units,
            "attention_units": self.attention.units,
            "recurrent_dropout": self.forward_lstm.recurrent_dropout,
        }
