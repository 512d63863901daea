"""Image captioning: a recurrent decoder started from the features of a picture.

The decoder is the "show and tell" design of Vinyals et al., 2015
(https://arxiv.org/abs/1411.4555) in the form that the CS231n captioning exercise made
common: the picture enters through the initial state, not as a first word.

Differences from Vinyals et al.: the features set h_0 instead of being fed as x_0; the
recurrent layer may be a vanilla RNN; the embedding and the vocabulary matrix are not
shared; the backbone is never fine-tuned.

Everything here computes in TensorFlow and stays a plain Keras model: one ``.keras``
file holds backbone, feature statistics and decoder.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasdl import layers, ops
from kerasdl.data.vocabulary import NULL, SPECIAL_TOKENS
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
        self.vocabulary_size = vocabulary_size
        self.feature_dim = feature_dim
        self.rnn = rnn
        self.embedding_dim = embedding_dim
        self.units = units
        self.dropout = float(dropout)
        self.feature_scale = float(feature_scale)

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
        self.projection.build((None, self.feature_dim))
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
            Tuple of tensors (N, units): ``(h_0, c_0)`` for an LSTM, else ``(h_0,)``.
        """
        features = tf.convert_to_tensor(features, "float32")
        z = (features - self.mean) * tf.math.rsqrt(tf.convert_to_tensor(self.variance))
        h = self.projection(self.feature_scale * z)
        return (h, tf.zeros_like(h)) if self.rnn == "lstm" else (h,)

    def step(self, tokens, state):
        """One word further, for decoding; no dropout.

        Args:
            tokens: int (N,), the previous words.
            state: what `initial_state` or the previous step returned.

        Returns:
            logits (N, V) of the next word, and the new state.
        """
        x = self.embedding(tokens)  # (N, embedding_dim)
        h, state = self.recurrent.cell(x, list(state), training=False)
        return self.vocabulary(h), tuple(state)

    def call(self, inputs, training=None):
        """See the class."""
        features, tokens = inputs
        x = self.input_dropout(self.embedding(tokens), training=training)
        state = self.initial_state(features)
        h = self.recurrent(x, initial_state=list(state), training=training)
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
        }


def grid_pooling_matrix(height, width, grid):
    """Matrix that averages an (h, w) map to grid × grid bins.

    Bin i of a side of length n covers the rows ⌊i·n/grid⌋ to ⌈(i+1)·n/grid⌉, so bins
    overlap by one row where the side does not divide (as adaptive pooling does).

    Returns:
        float32 array (grid², height·width); rows sum to 1.

    >>> grid_pooling_matrix(2, 2, 1)
    array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """

    def bins(side):
        matrix = np.zeros((grid, side))
        for i in range(grid):
            start, end = i * side // grid, -(-(i + 1) * side // grid)
            matrix[i, start:end] = 1.0 / (end - start)
        return matrix

    return np.kron(bins(height), bins(width)).astype("float32")


@keras.saving.register_keras_serializable(package="kerasdl")
class Captioner(keras.Model):
    """A picture in, a caption out: frozen backbone, then `CaptionDecoder`.

    The backbone is set non-trainable and always runs in inference mode, so its
    BatchNorm statistics never move.

    Args:
        backbone: keras.Model from float32 RGB (N, S, S, 3) in 0..255 to features (N, F)
            or to a feature map (N, h, w, C).
        decoder: `CaptionDecoder` with as many feature dimensions.
        grid: side of the grid that a feature map is average-pooled to, then flattened
            to (N, grid²·C) so that the spatial layout survives. Must be 0 for a
            backbone whose output is (N, F) already.

    Call arguments:
        inputs: pair of images, float (N, S, S, 3) in 0..255, and tokens, int (N, T).
        training: bool, whether the decoder applies dropout.

    Returns:
        logits, float (N, T, V).

    Raises:
        ValueError: if ``grid`` does not fit the backbone's output, or the decoder's
            ``feature_dim`` is not the number of features that result.
    """

    def __init__(self, backbone, decoder, *, grid=0, **kwargs):
        super().__init__(**kwargs)
        if isinstance(grid, bool) or not isinstance(grid, int) or grid < 0:
            raise ValueError(
                "Received an invalid value for argument `grid`, "
                f"expected an integer ≥ 0, got {grid!r}."
            )
        self.grid = grid
        shape = tuple(backbone.output_shape)
        if len(shape) == 4:
            _, height, width, channels = shape
            side = min(height, width)
            if not 1 <= grid <= side:
                raise ValueError(
                    "Received an invalid value for argument `grid`, expected 1 to "
                    f"{side} for a backbone with output {shape}, got {grid}."
                )
            self._pooling = grid_pooling_matrix(height, width, grid)
            feature_dim = grid * grid * channels
        elif len(shape) == 2:
            if grid:
                raise ValueError(
                    "Received an invalid value for argument `grid`, expected 0 for a "
                    f"backbone with output {shape}, got {grid}."
                )
            feature_dim = shape[1]
        else:
            raise ValueError(
                "Received an invalid value for argument `backbone`, expected an output "
                f"of shape (N, F) or (N, h, w, C), got {shape}."
            )
        if decoder.feature_dim != feature_dim:
            raise ValueError(
                "Received an invalid value for argument `decoder`, expected "
                f"feature_dim={feature_dim} for this backbone, got {decoder.feature_dim}."
            )
        backbone.trainable = False
        self.backbone = backbone
        self.decoder = decoder
        self._generators = {}
        self.built = True

    @property
    def image_size(self):
        """Side S of the square pictures that the backbone takes, in pixels."""
        return int(self.backbone.input_shape[1])

    def features(self, images):
        """Features (N, F) of images, float (N, S, S, 3) RGB in 0..255."""
        features = self.backbone(images, training=False)
        if not self.grid:
            return features
        _, height, width, channels = self.backbone.output_shape
        cells = tf.reshape(features, (-1, height * width, channels))
        pooling = tf.constant(self._pooling, cells.dtype)
        pooled = tf.matmul(pooling, cells)  # (N, grid², C)
        return tf.reshape(pooled, (-1, self.grid * self.grid * channels))

    def call(self, inputs, training=None):
        """See the class."""
        images, tokens = inputs
        return self.decoder((self.features(images), tokens), training=training)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """The decoder's loss: see `CaptionDecoder.compute_loss`."""
        return self.decoder.compute_loss(x, y, y_pred, sample_weight, training)

    def generate(self, images, max_length, beam_size=1, length_penalty=0.0):
        """Captions for images, float (N, S, S, 3) RGB in 0..255.

        Other arguments and results are `CaptionDecoder.generate`'s.
        """
        options = (max_length, beam_size, length_penalty)
        if options not in self._generators:
            size = self.image_size
            self._generators[options] = tf.function(
                lambda images: self.decoder.generate(self.features(images), *options),
                input_signature=[tf.TensorSpec((None, size, size, 3), tf.float32)],
            )
        return self._generators[options](tf.convert_to_tensor(images, "float32"))

    def get_config(self):
        """Constructor arguments; backbone and decoder as Keras serialises them."""
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "grid": self.grid,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Builds the model that `get_config` described; no pretrained file is read."""
        config = dict(config)
        for part in ("backbone", "decoder"):
            config[part] = keras.saving.deserialize_keras_object(
                config[part], custom_objects=custom_objects
            )
        return cls(**config)
