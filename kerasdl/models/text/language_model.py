"""Two language models around the layers of a bidirectional classifier, to pretrain it."""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasdl.data.texts.tokens import PADDING
from kerasdl.models.text.bilstm import PooledBiLSTM


class BidirectionalLanguageModel(keras.Model):
    """Has a classifier's LSTMs tell the next word, and the word before.

    With h_t the forward LSTM's output at token t, the next word's distribution is

        softmax(E (P h_t + p) + b)

    E being the classifier's table of word vectors; the backward LSTM tells the word
    before in the same way, by a P and p of its own. After the last word, and before the
    first, stands `PADDING`. Training it trains the classifier's word vectors and LSTMs.

    Args:
        classifier: Its `word_vectors`, `forward_lstm` and `backward_lstm` are used; their
            dropout applies.
        dropout: Fraction of the LSTMs' outputs that training drops.

    Call arguments:
        ids: int32 (N, T), `PADDING` after the last token.
        training: Whether dropout applies.

    Returns:
        The negative log-likelihood of a word, averaged over words and directions.

    References: Dai and Le, Semi-supervised Sequence Learning, 2015, on pretraining by a
    language model; Peters et al., Deep Contextualized Word Representations, 2018,
    section 3.1, on the two directions; Inan et al., Tying Word Vectors and Word
    Classifiers, 2017, on the output's use of the table.
    """

    def __init__(self, classifier: PooledBiLSTM, dropout: float = 0.3) -> None:
        super().__init__()
        self.word_vectors = classifier.word_vectors
        self.forward_lstm = classifier.forward_lstm
        self.backward_lstm = classifier.backward_lstm
        width = self.word_vectors.width
        self.to_next = keras.layers.Dense(width)
        self.to_previous = keras.layers.Dense(width)
        self.drop = keras.layers.Dropout(dropout)
        self.bias = self.add_weight(
            name="bias", shape=(self.word_vectors.vocabulary_size,), initializer="zeros"
        )
        for layer in (self.to_next, self.to_previous):
            layer.build((None, self.forward_lstm.units))
        self.built = True

    def call(self, ids, training=False):
        """Returns the loss."""
        vectors, mask = self.word_vectors(ids, training=training)
        forward = self.forward_lstm(vectors, mask=mask, training=training)
        backward = self.backward_lstm(vectors, mask=mask, training=training)
        backward = tf.reverse(backward, [1])
        following = tf.pad(ids[:, 1:], [[0, 0], [0, 1]], constant_values=PADDING)
        previous = tf.pad(ids[:, :-1], [[0, 0], [1, 0]], constant_values=PADDING)
        return 0.5 * (
            self._loss(self.to_next, forward, following, mask, training)
            + self._loss(self.to_previous, backward, previous, mask, training)
        )

    def _loss(self, layer, states, targets, mask, training):
        # Of the true tokens alone: the product with the table is most of the work.
        states = self.drop(tf.boolean_mask(states, mask), training=training)
        table = tf.convert_to_tensor(self.word_vectors.table)
        logits = tf.matmul(layer(states), table, transpose_b=True) + self.bias
        return tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.boolean_mask(targets, mask), tf.cast(logits, tf.float32)
            )
        )
