"""Image captioning: a recurrent decoder started from the features of a picture.

The decoder is the "show and tell" design of Vinyals et al., 2015
(https://arxiv.org/abs/1411.4555) in the form that the CS231n captioning exercise made
common: the picture enters through the initial state, not as a first word.

Differences from Vinyals et al.: the features set h_0 instead of being fed as x_0; the
recurrent layer may be a vanilla RNN; the embedding and the vocabulary matrix are not
shared; the backbone is never fine-tuned.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasdl import layers, ops
from kerasdl.data.captions.tokens import SPECIAL_TOKENS
from kerasdl.data.captions.vocabulary import NULL, START
from kerasdl.decoding.beam import beam_search
from kerasdl.decoding.greedy import check_positive_integer, greedy_decode

RNN_LAYERS = {"lstm": layers.LSTM, "rnn": layers.SimpleRNN}


def _fan_in_normal():
    """Draws a kernel from N(0, 1/fan-in), not truncated."""
    return keras.initializers.VarianceScaling(
        scale=1.0, mode="fan_in", distribution="untruncated_normal"
    )


@keras.saving.register_keras_serializable(package="kerasdl")
class CaptionDecoder(keras.Model):
    """Scores the words of a caption, given the features of its picture.

    With x_t the embedding of the t-th input word, F features and V words::

        z   = feature_scale · (features − mean) / sqrt(variance)     (N, F)
        h_0 = z W_proj + b_proj,   c_0 = 0                           (N, units)
        h_t = RNN(x_t, h_{t−1})                                      (N, units)
        logits_t = h_t W_vocab + b_vocab                             (N, V)

    The embedding is drawn from N(0, 0.01²), every other kernel from N(0, 1/fan-in), and
    all biases start at 0, the forget gate's too. ``mean`` and ``variance`` are
    non-trainable weights, 0 and 1 until `adapt` measures them.

    With ``cells`` L > 0 the features are those of L places of the picture, one after the
    other, and the decoder attends to them: Luong et al., 2015, equations 5 to 8 with a
    scaled dot product, in which the recurrence does not wait for the attention, so that
    it is still one call over all steps. With z_l the features of place l and p_l a
    learned vector::

        h_0  = mean_l(z_l) W_proj + b_proj                           (N, units)
        m_l  = z_l W_cell + b_cell + p_l                             (N, L, units)
        α_t  = softmax_l(h_t W_query · m_l / sqrt(units))            (N, T, L)
        h̃_t  = tanh([h_t, Σ_l α_tl m_l] W_out + b_out)               (N, T, units)

    and the logits come from h̃_t.

    The loss is `kerasdl.ops.masked_softmax_loss` and needs no argument of ``compile``:
    summed over time, averaged over the minibatch, with ``<NULL>`` targets masked out.

    Args:
        vocabulary_size: number of words V, the four special tokens included.
        feature_dim: length F of a feature vector.
        rnn: ``"lstm"`` or ``"rnn"`` (vanilla, tanh).
        embedding_dim: length of a word vector.
        units: length of the hidden state.
        dropout: fraction of the embedded input, and of the hidden states before the
            vocabulary layer, that training drops.
        feature_scale: factor on the standardised features.
        cells: number of places L that the features describe and the decoder attends
            to; 0 for one vector of the whole picture and no attention.

    Call arguments:
        inputs: pair of features, float (N, F), and tokens, int (N, T): the input words
            ``<START> w_1 … w_n`` padded with ``<NULL>`` on the right.
        training: bool, whether dropout is applied.

    Returns:
        logits, float (N, T, V).

    Raises:
        ValueError: for an argument outside its range, naming it and the value.

    Example:

    >>> decoder = CaptionDecoder(vocabulary_size=9, feature_dim=5, units=8)
    >>> decoder((np.zeros((2, 5), "float32"), np.ones((2, 7), "int32"))).shape
    TensorShape([2, 7, 9])
    """

    def __init__(
        self,
        vocabulary_size,
        feature_dim,
        *,
        rnn="lstm",
        embedding_dim=256,
        units=512,
        dropout=0.0,
        feature_scale=0.1,
        cells=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if rnn not in RNN_LAYERS:
            raise ValueError(
                "Received an invalid value for argument `rnn`, "
                f"expected one of {sorted(RNN_LAYERS)}, got {rnn!r}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(
                "Received an invalid value for argument `dropout`, "
                f"expected a fraction in [0, 1), got {dropout!r}."
            )
        if not feature_scale > 0:
            raise ValueError(
                "Received an invalid value for argument `feature_scale`, "
                f"expected a positive number, got {feature_scale!r}."
            )
        for name, size in (
            ("vocabulary_size", vocabulary_size),
            ("feature_dim", feature_dim),
            ("embedding_dim", embedding_dim),
            ("units", units),
        ):
            check_positive_integer(name, size)
        if vocabulary_size <= len(SPECIAL_TOKENS):
            raise ValueError(
                "Received an invalid value for argument `vocabulary_size`, expected "
                f"more words than the {len(SPECIAL_TOKENS)} special tokens, "
                f"got {vocabulary_size!r}."
            )
        if isinstance(cells, bool) or not isinstance(cells, int) or cells < 0:
            raise ValueError(
                "Received an invalid value for argument `cells`, "
                f"expected an integer ≥ 0, got {cells!r}."
            )
        if cells and feature_dim % cells:
            raise ValueError(
                "Received an invalid value for argument `cells`, expected a divisor of "
                f"feature_dim={feature_dim}, got {cells!r}."
            )
        self.vocabulary_size = vocabulary_size
        self.feature_dim = feature_dim
        self.rnn = rnn
        self.embedding_dim = embedding_dim
        self.units = units
        self.dropout = float(dropout)
        self.feature_scale = float(feature_scale)
        self.cells = cells

        self.projection = keras.layers.Dense(
            units, kernel_initializer=_fan_in_normal(), name="projection"
        )
        self.embedding = keras.layers.Embedding(
            vocabulary_size,
            embedding_dim,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=0.01),
            name="embedding",
        )
        gates = {"unit_forget_bias": False} if rnn == "lstm" else {}
        self.recurrent = RNN_LAYERS[rnn](
            units,
            kernel_initializer=_fan_in_normal(),
            recurrent_initializer=_fan_in_normal(),
            return_sequences=True,
            name="recurrent",
            **gates,
        )
        self.vocabulary = keras.layers.Dense(
            vocabulary_size, kernel_initializer=_fan_in_normal(), name="vocabulary"
        )
        self.input_dropout = keras.layers.Dropout(dropout, name="input_dropout")
        self.output_dropout = keras.layers.Dropout(dropout, name="output_dropout")
        if cells:
            for name in ("cell_projection", "query_projection", "attention_output"):
                layer = keras.layers.Dense(
                    units,
                    activation="tanh" if name == "attention_output" else None,
                    use_bias=name != "query_projection",
                    kernel_initializer=_fan_in_normal(),
                    name=name,
                )
                setattr(self, name, layer)
        # Every shape is known from the arguments, so the weights exist from the start:
        # loading needs no call, and features can be adapted to before training.
        self.build()

    def build(self, input_shape=None):
        """Creates the weights; their shapes follow from the constructor's arguments."""
        if self.built:
            return
        statistics = {"shape": (self.feature_dim,), "trainable": False}
        self.mean = self.add_weight(
            name="mean", initializer="zeros", dtype="float32", **statistics
        )
        self.variance = self.add_weight(
            name="variance", initializer="ones", dtype="float32", **statistics
        )
        cell_dim = self.feature_dim // max(self.cells, 1)
        self.projection.build((None, cell_dim))
        if self.cells:
            self.position = self.add_weight(
                name="position",
                shape=(self.cells, self.units),
                initializer=keras.initializers.RandomNormal(stddev=0.1),
            )
            self.cell_projection.build((None, self.cells, cell_dim))
            self.query_projection.build((None, None, self.units))
            self.attention_output.build((None, None, 2 * self.units))
        self.embedding.build((None, None))
        self.recurrent.build((None, None, self.embedding_dim))
        self.vocabulary.build((None, None, self.units))
        for dropout in (self.input_dropout, self.output_dropout):
            dropout.build((None, None, None))
        self.built = True

    def adapt(self, features):
        """Measures mean and variance of the training features, per dimension.

        A dimension that never changes tells nothing and gets variance 1, so that it
        standardises to 0 on the training pictures and stays finite on others.

        Args:
            features: float (M, F), one row a training picture.

        Raises:
            ValueError: if the shape is not (M, F) or a value is not finite.
        """
        features = np.asarray(features, "float64")
        if (
            features.ndim != 2
            or features.shape[1] != self.feature_dim
            or not len(features)
        ):
            raise ValueError(
                "Received an invalid value for argument `features`, expected shape "
                f"(M, {self.feature_dim}) with M ≥ 1, got {features.shape}."
            )
        if not np.isfinite(features).all():
            row, column = np.argwhere(~np.isfinite(features))[0]
            raise ValueError(
                "Received an invalid value for argument `features`, expected finite "
                f"numbers, got {features[row, column]} at [{row}, {column}]."
            )
        mean, variance = features.mean(0), features.var(0)
        # A constant column's variance is rounding of its mean, not exactly 0.
        constant = variance <= (1e-6 * np.maximum(np.abs(mean), 1e-12)) ** 2
        self.mean.assign(mean)
        self.variance.assign(np.where(constant, 1.0, variance))

    def initial_state(self, features):
        """State before the first word.

        Args:
            features: float (N, F).

        Returns:
            Tuple of tensors: h_0 (N, units), for an LSTM c_0 (N, units), and with
            attention the places m (N, L, units), which steps hand on unchanged.
        """
        features = tf.convert_to_tensor(features, "float32")
        z = (features - self.mean) * tf.math.rsqrt(tf.convert_to_tensor(self.variance))
        z *= self.feature_scale
        if not self.cells:
            return self._recurrent_state(self.projection(z))
        z = tf.reshape(z, (-1, self.cells, self.feature_dim // self.cells))
        places = self.cell_projection(z) + self.position  # (N, L, units)
        h = self.projection(tf.reduce_mean(z, axis=1))
        return (*self._recurrent_state(h), places)

    def _recurrent_state(self, h):
        return (h, tf.zeros_like(h)) if self.rnn == "lstm" else (h,)

    def _split_state(self, state):
        """The recurrent layer's state, and the places (None without attention)."""
        return (list(state[:-1]), state[-1]) if self.cells else (list(state), None)

    def _attend(self, h, places):
        """h̃ (N, T, units) from h (N, T, units); h itself without attention."""
        if not self.cells:
            return h
        query = self.query_projection(h)
        scores = tf.matmul(query, places, transpose_b=True) / self.units**0.5
        context = tf.matmul(tf.nn.softmax(scores), places)  # (N, T, units)
        return self.attention_output(tf.concat([h, context], axis=-1))

    def step(self, tokens, state):
        """One word further, for decoding; no dropout.

        Args:
            tokens: int (N,), the previous words.
            state: what `initial_state` or the previous step returned.

        Returns:
            logits (N, V) of the next word, and the new state.
        """
        x = self.embedding(tokens)  # (N, embedding_dim)
        state, places = self._split_state(state)
        h, state = self.recurrent.cell(x, state, training=False)
        logits = self.vocabulary(self._attend(h[:, None], places)[:, 0])
        return logits, (*state, places) if self.cells else tuple(state)

    def call(self, inputs, training=None):
        """See the class."""
        features, tokens = inputs
        x = self.input_dropout(self.embedding(tokens), training=training)
        state, places = self._split_state(self.initial_state(features))
        h = self.recurrent(x, initial_state=state, training=training)
        h = self._attend(h, places)
        return self.vocabulary(self.output_dropout(h, training=training))

    def generate(self, features, max_length, beam_size=1, length_penalty=0.0):
        """Captions for pictures whose features are known.

        Args:
            features: float (N, F).
            max_length: largest number of tokens, ``<END>`` included.
            beam_size: 1 decodes greedily, more by beam search.
            length_penalty: see `kerasdl.decoding.beam.beam_search`; of no effect on
                greedy decoding.

        Returns:
            ids, int32 (N, max_length), ``<NULL>`` after ``<END>``; and score, float32
            (N,), each caption's total log-probability.
        """
        if beam_size == 1:
            return greedy_decode(self, features, max_length)
        return beam_search(self, features, max_length, beam_size, length_penalty)

    def log_probability(self, features, ids):
        """Log-probability of given captions, by teacher forcing.

        For what `generate` returned it is the score again, to rounding.

        Args:
            features: float (N, F).
            ids: int (N, T), captions without ``<START>``; ``<NULL>`` counts nothing.

        Returns:
            float32 (N,), the sum over the tokens, ``<END>`` included where it is there.
        """
        ids = tf.convert_to_tensor(ids, "int32")
        start = tf.fill([tf.shape(ids)[0], 1], START)
        logits = self((features, tf.concat([start, ids[:, :-1]], axis=1)))
        log_p = -tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=ids, logits=tf.cast(logits, "float32")
        )
        return tf.reduce_sum(tf.where(tf.equal(ids, NULL), 0.0, log_p), axis=1)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Masked softmax loss of targets y (N, T) under logits y_pred (N, T, V)."""
        if sample_weight is not None:
            raise ValueError(
                "Received an invalid value for argument `sample_weight`, expected None "
                "(<NULL> targets are masked already), got weights."
            )
        y = tf.convert_to_tensor(y)
        loss = ops.masked_softmax_loss(
            tf.cast(y_pred, "float32"), y, tf.not_equal(y, NULL)
        )
        return tf.add_n([loss, *self.losses])

    def compute_output_shape(self, input_shape):
        """Shape of the logits, (N, T, V), from the shapes of features and tokens."""
        _, tokens = input_shape
        return (*tokens, self.vocabulary_size)

    def get_config(self):
        """Constructor arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "feature_dim": self.feature_dim,
            "rnn": self.rnn,
            "embedding_dim": self.embedding_dim,
            "units": self.units,
            "dropout": self.dropout,
            "feature_scale": self.feature_scale,
            "cells": self.cells,
        }
