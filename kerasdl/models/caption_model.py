"""The base of all captioning models: decoding, and scores of given captions."""

import keras
import tensorflow as tf

from kerasdl import ops
from kerasdl.data.captions.vocabulary import NULL, START
from kerasdl.decoding.generation import candidates, generate
from kerasdl.decoding.options import DecodeOptions
from kerasdl.models.caption_memory import CaptionMemory


class CaptionModel(keras.Model):
    """Base of `CaptionDecoder` and `CaptionEnsemble`.

    A subclass has `vocabulary_size`, `feature_dim` and `cells`, maps a pair of features
    (N, F) and tokens (N, T) to logits (N, T, V), and decodes a word at a time by
    `initial_state(features)` and `step(tokens, state)`. The last `constant_states` parts
    of a state belong to the picture and are the same after every step.
    """

    constant_states = 0
    memory: CaptionMemory | None = None

    def pooled(self, features):
        """The standardised features of the whole picture, (N, P), of features (N, F)."""
        raise NotImplementedError

    def remember(self, features, picture, ids):
        """Keeps what people said of training pictures, for `neighbours` in decoding.

        Args:
            features: float (M, F).
            picture: int (C,), the picture of each caption.
            ids: int32 (C, T), the captions with `<END>`, padded with `<NULL>`.
        """
        pooled = self.pooled(features)
        self._set_memory(CaptionMemory.from_captions(pooled, picture, ids))

    def _set_memory(self, memory):
        # Keras takes no part more into a model that has its weights, but for this, as in
        # its own `enable_lora`.
        self._tracker.unlock()
        self.memory = memory
        self._tracker.lock()

    def _memory_config(self):
        return None if self.memory is None else self.memory.get_config()

    def _empty_memory(self, config):
        """The memory that a config describes, before its weights are loaded."""
        if config:
            config = {k: v for k, v in config.items() if k not in ("name", "trainable")}
            self._set_memory(CaptionMemory.from_config(config))

    def initial_state(self, features):
        """State before the first word: a tuple of (N, ...) tensors."""
        raise NotImplementedError

    def step(self, tokens, state):
        """Logits (N, V) of the word after `tokens` (N,), and the new state."""
        raise NotImplementedError

    def attention_over(self, features, tokens):
        """Weights (N, T, cells) of the places when tokens (N, T) are read."""
        raise NotImplementedError

    def generate(self, features, max_length, *, attention=False, **options):
        """Captions for pictures whose features are known.

        Args:
            features: float (N, F).
            max_length: largest number of tokens L, ``<END>`` included.
            attention: whether to return where the decoder looked.
            **options: the other fields of `kerasdl.decoding.DecodeOptions`.

        Returns:
            ids, int32 (N, L), ``<NULL>`` after ``<END>``; score, float32 (N,), each
            caption's total log-probability; and with `attention` the weight of each place
            at each word, float32 (N, L, cells): rows sum to 1, those of ``<NULL>`` to 0.

        Raises:
            ValueError: for an option out of its range, or for `attention` of a model
                without it.
        """
        if attention and not self.cells:
            raise ValueError(
                "Received an invalid value for argument `attention`, expected False for "
                "a decoder without attention (cells=0), got True."
            )
        ids, score = generate(self, features, DecodeOptions(max_length, **options))
        if not attention:
            return ids, score
        weights = self.attention_over(features, _shifted_right(ids))
        said = tf.cast(tf.not_equal(ids, NULL), weights.dtype)
        return ids, score, weights * said[..., None]

    def candidates(self, features, max_length, n=None, **options):
        """Several captions of each picture; see `kerasdl.decoding.candidates`."""
        return candidates(self, features, DecodeOptions(max_length, **options), n)

    def log_probability(self, features, ids):
        """Log-probability of given captions, by teacher forcing.

        For what `generate` returned it is the score again, to rounding.

        Args:
            features: float (N, F).
            ids: int (N, T), captions without ``<START>``; ``<NULL>`` counts nothing.

        Returns:
            float32 (N,), the sum over the tokens, ``<END>`` included if it is there.
        """
        ids = tf.convert_to_tensor(ids, "int32")
        logits = tf.cast(self((features, _shifted_right(ids))), "float32")
        log_p = -tf.nn.sparse_softmax_cross_entropy_with_logits(labels=ids, logits=logits)
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


def _shifted_right(ids):
    """The input words of teacher forcing: `<START>`, then all but the last."""
    start = tf.fill([tf.shape(ids)[0], 1], START)
    return tf.concat([start, ids[:, :-1]], axis=1)
