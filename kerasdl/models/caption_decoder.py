"""Image captioning: a recurrent decoder of the features of a picture.

The decoder is the "show and tell" design of Vinyals et al., 2015
(https://arxiv.org/abs/1411.4555) in the form that the CS231n captioning exercise made
common: the picture enters through the initial state, not as a first word. Options add
what later work added: attention, the picture at every step, more layers, tied words.

Differences from Vinyals et al.: the features set h_0 instead of being fed as x_0; the
recurrent layer may be a vanilla RNN or a GRU.
"""

import keras
import tensorflow as tf

from kerasdl.models.caption_arguments import (
    RNN_LAYERS,
    check_arguments,
    recurrent_layers,
)
from kerasdl.models.caption_attention import PlaceAttention, dense
from kerasdl.models.caption_model import CaptionModel
from kerasdl.models.picture_statistics import mean_and_variance


@keras.saving.register_keras_serializable(package="kerasdl")
class CaptionDecoder(CaptionModel):
    """Scores the words of a caption, given the features of its picture.

    With x_t the embedding of the t-th input word, F features and V words::

        z   = feature_scale · (features − mean) / sqrt(variance)     (N, F)
        h_0 = z W_proj + b_proj,   c_0 = 0                           (N, units)
        h_t = RNN(x_t, h_{t−1})                                      (N, units)
        logits_t = h_t W_vocab + b_vocab                             (N, V)

    The embedding is drawn from N(0, 0.01²), every other kernel from N(0, 1/fan-in), and
    all biases start at 0, the forget gate's too. ``mean`` and ``variance`` are
    non-trainable weights, 0 and 1 until `adapt` measures them.

    With ``features_in`` "every_step" the picture is part of each input instead of the
    first state, x_t = [embedding_t, z W_in + b_in] and h_0 = 0; "both" does both. Either
    may pass through an activation. With several ``layers`` each reads the states of the
    one below and has its own h_0. With ``tied`` words the logits are
    (h_t W_out + b_out) Eᵀ + b_vocab with E the embedding, (V, embedding_dim) (Press and
    Wolf 2017, Using the output embedding to improve language models).

    With ``cells`` L > 0 the features are those of L places of the picture, one after the
    other; z above is then their mean, and `PlaceAttention` turns h_t into the h̃_t that
    the logits come from.

    The loss is `kerasdl.ops.masked_softmax_loss` and needs no argument of ``compile``:
    summed over time, averaged over the minibatch, with ``<NULL>`` targets masked out.

    Args:
        vocabulary_size: number of words V, the four special tokens included.
        feature_dim: length F of a feature vector.
        rnn: ``"lstm"``, ``"gru"`` or ``"rnn"`` (vanilla, tanh).
        embedding_dim: length of a word vector.
        units: length of the hidden state.
        layers: number of recurrent layers.
        features_in: ``"h_0"``, ``"every_step"`` or ``"both"``.
        dropout: fraction of the recurrent input, of the hidden states between layers, and
            of those before the vocabulary layer, that training drops.
        feature_dropout: fraction of z that training drops.
        feature_scale: factor on the standardised features.
        tied: whether the vocabulary layer shares the embedding's weights.
        cells: number of places L that the features describe and the decoder attends
            to; 0 for one vector of the whole picture and no attention.
        attention: ``"dot"`` or ``"additive"``, the score of the attention.
        whole: number of features W of the whole picture before those of the places.
        h_0_activation: ``"linear"``, ``"relu"`` or ``"tanh"``, of the picture in h_0.
        input_activation: the same, of the picture in each input.
        input_units: length of the picture in each input; 0 for embedding_dim.
        memory: the config of the `CaptionMemory` to load; `remember` makes one.

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
    >>> decoder((keras.ops.zeros((2, 5)), keras.ops.ones((2, 7), "int32"))).shape
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
        layers=1,
        features_in="h_0",
        dropout=0.0,
        feature_dropout=0.0,
        feature_scale=0.1,
        tied=False,
        cells=0,
        attention="dot",
        whole=0,
        h_0_activation="linear",
        input_activation="linear",
        input_units=0,
        memory=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._arguments = {
            "vocabulary_size": vocabulary_size,
            "feature_dim": feature_dim,
            "rnn": rnn,
            "embedding_dim": embedding_dim,
            "units": units,
            "layers": layers,
            "features_in": features_in,
            "dropout": dropout,
            "feature_dropout": feature_dropout,
            "feature_scale": feature_scale,
            "tied": tied,
            "cells": cells,
            "attention": attention,
            "whole": whole,
            "h_0_activation": h_0_activation,
            "input_activation": input_activation,
            "input_units": input_units,
        }
        check_arguments(**self._arguments)
        self.vocabulary_size = vocabulary_size
        self.feature_dim = feature_dim
        self.rnn = rnn
        self.embedding_dim = embedding_dim
        self.units = units
        self.feature_scale = float(feature_scale)
        self.features_in = features_in
        self.tied = tied
        self.cells = cells
        self.whole = whole
        self.place_dim = (feature_dim - whole) // max(cells, 1)
        self.z_dim = whole or self.place_dim

        # Each layer draws its seed as it is made: options add theirs after the others, so
        # that the same seed draws the same plain decoder.
        if features_in != "every_step":
            self.projection = dense(
                layers * units, "projection", activation=h_0_activation
            )
        self.embedding = keras.layers.Embedding(
            vocabulary_size,
            embedding_dim,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=0.01),
            name="embedding",
        )
        self._recurrents = recurrent_layers(rnn, units, layers)
        self._states_of_layer = RNN_LAYERS[rnn][2]
        if tied:
            self.word_projection = dense(embedding_dim, "word_projection")
        else:
            self.vocabulary = dense(vocabulary_size, "vocabulary")
        # Of dropout layers that drop nothing there are none but these: a seed generator
        # more would be a variable more in every checkpoint.
        self.input_dropout = keras.layers.Dropout(dropout, name="input_dropout")
        self.output_dropout = keras.layers.Dropout(dropout, name="output_dropout")
        self.feature_dropout = None
        if feature_dropout:
            self.feature_dropout = keras.layers.Dropout(
                feature_dropout, name="feature_dropout"
            )
        if features_in != "h_0":
            width = input_units or embedding_dim
            self.feature_input = dense(
                width, "feature_input", activation=input_activation
            )
        if cells:
            self.attention = PlaceAttention(cells, units, attention, name="attention")
        self.constant_states = len(self.state_names) - self.moving_states
        # Every shape is known from the arguments, so the weights exist from the start:
        # loading needs no call, and features can be adapted to before training.
        self.build()
        self._empty_memory(memory)

    @property
    def moving_states(self):
        """How many parts of a state belong to the recurrent layers, and change."""
        return len(self._recurrents) * self._states_of_layer

    @property
    def recurrent(self):
        """The first recurrent layer."""
        return self._recurrents[0]

    def build(self, input_shape=None):
        """Creates the weights; their shapes follow from the constructor's arguments."""
        if self.built:
            return
        # Not cast: features are standardised in 32 bits, whatever the layer computes in.
        statistics = {"shape": (self.feature_dim,), "trainable": False, "autocast": False}
        self.mean = self.add_weight(
            name="mean", initializer="zeros", dtype="float32", **statistics
        )
        self.variance = self.add_weight(
            name="variance", initializer="ones", dtype="float32", **statistics
        )
        width = self.embedding_dim
        if self.features_in != "every_step":
            self.projection.build((None, self.z_dim))
        if self.features_in != "h_0":
            self.feature_input.build((None, self.z_dim))
            width += self.feature_input.units
        if self.cells:
            self.attention.build((None, self.cells, self.place_dim))
        self.embedding.build((None, None))
        for number, recurrent in enumerate(self._recurrents):
            recurrent.build((None, None, self.units if number else width))
        if self.tied:
            self.word_projection.build((None, None, self.units))
            self.word_bias = self.add_weight(
                name="word_bias", shape=(self.vocabulary_size,), initializer="zeros"
            )
        else:
            self.vocabulary.build((None, None, self.units))
        for dropout in (self.input_dropout, self.output_dropout):
            dropout.build((None, None, None))
        self.built = True

    def adapt(self, features):
        """Measures mean and variance of the training features, per dimension.

        With `whole` those of the places stay at 0 and 1. A dimension that never changes
        gets variance 1.

        Args:
            features: float (M, F), one row a training picture.

        Raises:
            ValueError: if the shape is not (M, F) or a value is not finite.
        """
        mean, variance = mean_and_variance(features, self.feature_dim)
        if self.whole:
            mean[self.whole :], variance[self.whole :] = 0.0, 1.0
        self.mean.assign(mean)
        self.variance.assign(variance)

    def initial_state(self, features, training=False):
        """State before the first word.

        Args:
            features: float (N, F).
            training: whether features are dropped.

        Returns:
            Tuple of tensors: of each layer h_0 (N, units), for an LSTM followed by c_0
            (N, units); then the parts that steps hand on unchanged: with the picture at
            every step its input (N, input_units), and with attention the places m
            (N, L, units), for the additive score followed by their keys (N, L, units/2).
            `state_names` names them.
        """
        z = self._standardised(features) * self.feature_scale
        if self.feature_dropout:
            z = self.feature_dropout(z, training=training)
        z, places = self._whole_and_places(z)
        constants = self.attention.encode(places) if self.cells else ()
        if self.features_in != "h_0":
            constants = (self.feature_input(z), *constants)
        count = len(self._recurrents)
        if self.features_in == "every_step":
            h = [tf.zeros((tf.shape(z)[0], self.units))] * count
        elif count == 1:
            h = [self.projection(z)]
        else:
            h = tf.split(self.projection(z), count, axis=1)
        states = [
            part
            for one in h
            for part in (one, tf.zeros_like(one))[: self._states_of_layer]
        ]
        return (*states, *constants)

    def _standardised(self, features):
        features = tf.cast(features, "float32")
        scale = tf.math.rsqrt(tf.convert_to_tensor(self.variance))
        return (features - self.mean) * scale

    def _whole_and_places(self, z):
        """z of the whole picture (N, P), and of its places (N, L, place_dim) or None."""
        if not self.cells:
            return z, None
        places = tf.reshape(z[:, self.whole :], (-1, self.cells, self.place_dim))
        return z[:, : self.whole] if self.whole else tf.reduce_mean(places, 1), places

    def pooled(self, features):
        """The standardised features of the whole picture, (N, P)."""
        return self._whole_and_places(self._standardised(features))[0]

    @property
    def state_names(self):
        """What the parts of a state are, in their order: h, c, picture, places, keys.

        Those of further layers are h2, c2, and so on.
        """
        names = [
            part + (str(number + 1) if number else "")
            for number in range(len(self._recurrents))
            for part in ("h", "c")[: self._states_of_layer]
        ]
        if self.features_in != "h_0":
            names.append("picture")
        if self.cells:
            names += ["places", "keys"][: 1 + (self.attention.score == "additive")]
        return tuple(names)

    def _parts(self, state):
        """Each layer's state, the picture's input (or None), and the encoded places."""
        own = [
            list(state[first : first + self._states_of_layer])
            for first in range(0, self.moving_states, self._states_of_layer)
        ]
        constants = list(state[self.moving_states :])
        picture = constants.pop(0) if self.features_in != "h_0" else None
        return own, picture, tuple(constants)

    def _logits(self, h, training=False):
        """Logits (..., V) of hidden states h̃ (..., units)."""
        h = self.output_dropout(h, training=training)
        if not self.tied:
            return self.vocabulary(h)
        words = tf.convert_to_tensor(self.embedding.embeddings)
        flat = tf.reshape(self.word_projection(h), [-1, self.embedding_dim])
        logits = tf.matmul(flat, words, transpose_b=True) + self.word_bias
        shape = tf.concat([tf.shape(h)[:-1], [self.vocabulary_size]], 0)
        logits = tf.reshape(logits, shape)
        return tf.ensure_shape(logits, (*h.shape[:-1], self.vocabulary_size))

    def step(self, tokens, state):
        """One word further, for decoding; no dropout.

        Args:
            tokens: int (N,), the previous words.
            state: what `initial_state` or the previous step returned.

        Returns:
            logits (N, V) of the next word, and the new state.
        """
        h = self.embedding(tokens)  # (N, embedding_dim)
        own, picture, encoded = self._parts(state)
        if picture is not None:
            h = tf.concat([h, picture], axis=-1)
        moved = []
        for recurrent, states in zip(self._recurrents, own, strict=True):
            h, states = recurrent.cell(h, states, training=False)
            moved += states
        if self.cells:
            h = self.attention(h[:, None], encoded)[:, 0]
        return self._logits(h), (*moved, *state[self.moving_states :])

    def _hidden(self, inputs, training):
        """The last layer's states (N, T, units), and the encoded places."""
        features, tokens = inputs
        h = self.embedding(tokens)
        own, picture, encoded = self._parts(self.initial_state(features, training))
        if picture is not None:
            steps = tf.shape(h)[1]
            h = tf.concat([h, tf.repeat(picture[:, None], steps, axis=1)], axis=-1)
        h = self.input_dropout(h, training=training)
        for number, (recurrent, states) in enumerate(
            zip(self._recurrents, own, strict=True)
        ):
            if number:
                h = self.output_dropout(h, training=training)
            h = recurrent(h, initial_state=states, training=training)
        return h, encoded

    def call(self, inputs, training=None):
        """See the class."""
        h, encoded = self._hidden(inputs, training)
        if self.cells:
            h = self.attention(h, encoded)
        return self._logits(h, training=training)

    def attention_over(self, features, tokens):
        """Weights (N, T, cells) of the places when tokens (N, T) are read."""
        h, encoded = self._hidden((features, tokens), training=False)
        return self.attention.weights_of(h, encoded)

    def get_config(self):
        """Constructor arguments."""
        return {
            **super().get_config(),
            **self._arguments,
            "memory": self._memory_config(),
        }
