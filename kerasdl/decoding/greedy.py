"""Greedy decoding: the most probable next word, again and again.

A *decoder* here is anything with `kerasdl.models.caption_decoder.CaptionDecoder`'s two
methods: ``initial_state(features) -> state``, a tuple of (N, ...) tensors, and
``step(tokens, state) -> (logits, state)`` with tokens int (N,) and logits (N, V).

The loops are ``tf.while_loop`` over tensors of fixed shape. They run eagerly and in
``tf.function``, with a dynamic batch, and convert to TFLite's built-in operations:
nothing grows, and a word is written by a comparison with the column number instead of
a scatter.
"""

import tensorflow as tf

from kerasdl.data.captions.vocabulary import END, NULL, START, UNK


def check_positive_integer(name, value):
    """Raises ValueError unless `value` is an integer of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"Received an invalid value for argument `{name}`, "
            f"expected a positive integer, got {value!r}."
        )


def word_log_probabilities(logits):
    """Log-probabilities of the words that a caption may contain.

    ``<NULL>`` and ``<START>`` are inputs only, and ``<UNK>`` stands for a word that a
    reader would miss: they get −∞. The rest keeps the model's own probability, not
    renormalised, so that a caption's score is the log-probability that the training loss
    measures.

    Args:
        logits: float (N, V).

    Returns:
        float32 (N, V).
    """
    log_p = tf.nn.log_softmax(tf.cast(logits, "float32"))
    word = tf.range(tf.shape(log_p)[-1])
    forbidden = tf.logical_and(word <= UNK, tf.not_equal(word, END))  # (V,)
    return tf.where(forbidden, tf.constant(float("-inf")), log_p)


def greedy_decode(decoder, features, max_length):
    """Captions by taking the most probable word at every step.

    Starts after ``<START>``, which is never part of the result, and ends a caption at
    ``<END>`` or after ``max_length`` tokens. Of equally probable words the one with the
    lower id is taken.

    Args:
        decoder: see the module.
        features: float (N, F).
        max_length: largest number of tokens L, ``<END>`` included.

    Returns:
        ids, int32 (N, L), with ``<NULL>`` after ``<END>``; and score, float32 (N,), the
        sum of the log-probabilities of the tokens chosen, ``<END>`` included.

    Raises:
        ValueError: if ``max_length`` is not a positive integer.
    """
    check_positive_integer("max_length", max_length)
    features = tf.convert_to_tensor(features)
    state = tuple(decoder.initial_state(features))
    batch = features.shape[0] or tf.shape(features)[0]
    column = tf.range(max_length)

    def going(t, token, ids, score, ended, *state):
        return (t < max_length) & ~tf.reduce_all(ended)

    def step(t, token, ids, score, ended, *state):
        logits, state = decoder.step(token, state)
        log_p = word_log_probabilities(logits)  # (N, V)
        token = tf.argmax(log_p, axis=-1, output_type=tf.int32)
        token = tf.where(ended, NULL, token)
        score += tf.where(ended, 0.0, tf.reduce_max(log_p, axis=-1))
        ids = tf.where(tf.equal(column, t), token[:, None], ids)
        return (t + 1, token, ids, score, ended | tf.equal(token, END), *state)

    start = (
        tf.constant(0),
        tf.fill([batch], START),
        tf.fill([batch, max_length], NULL),
        tf.fill([batch], 0.0),
        tf.fill([batch], False),
    )
    _, _, ids, score, *_ = tf.while_loop(going, step, (*start, *state))
    return ids, score
