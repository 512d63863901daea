"""Greedy decoding and sampling: one caption grows, a word at each step.

A *decoder* here is anything with `kerasdl.models.caption_decoder.CaptionDecoder`'s two
methods: ``initial_state(features) -> state``, a tuple of (N, ...) tensors, and
``step(tokens, state) -> (logits, state)`` with tokens int (N,) and logits (N, V).

The loops are ``tf.while_loop`` over tensors of fixed shape. They run eagerly and in
``tf.function``, with a dynamic batch, and convert to TFLite's built-in operations:
nothing grows, and a word is written by a comparison with the column number instead of
a scatter.
"""

import tensorflow as tf

from kerasdl.data.captions.vocabulary import END, NULL, START
from kerasdl.decoding.constraints import (
    IMPOSSIBLE,
    Constraints,
    word_log_probabilities,
)
from kerasdl.decoding.hashing import uniform
from kerasdl.decoding.options import check_positive_integer


def greedy_decode(decoder, features, max_length, constraints=Constraints()):  # noqa: B008
    """Captions by taking the most probable word at every step.

    Starts after ``<START>``, which is never part of the result, and ends a caption at
    ``<END>`` or after ``max_length`` tokens. Of equally probable words the one with the
    lower id is taken.

    Args:
        decoder: see the module.
        features: float (N, F).
        max_length: largest number of tokens L, ``<END>`` included.
        constraints: what may not be said.

    Returns:
        ids, int32 (N, L), with ``<NULL>`` after ``<END>``; and score, float32 (N,), the
        sum of the log-probabilities of the tokens chosen, ``<END>`` included.

    Raises:
        ValueError: if ``max_length`` is not a positive integer.
    """

    def most_probable(log_p, t):
        return tf.argmax(log_p, axis=-1, output_type=tf.int32)

    return _decode(decoder, features, max_length, constraints, most_probable)


def sample_captions(
    decoder,
    features,
    max_length,
    seed,
    *,
    temperature=1.0,
    top_k=0,
    top_p=1.0,
    constraints=Constraints(),  # noqa: B008
):
    """Captions whose words are drawn from the model's distribution.

    A word is drawn with probability proportional to p^(1/temperature), among the
    ``top_k`` most probable words, and among the fewest words whose probabilities sum to
    at least ``top_p`` (the nucleus; Holtzman et al. 2020, The curious case of neural text
    degeneration). Drawn by the largest log p / temperature + Gumbel noise.

    Args:
        decoder: see the module.
        features: float (N, F); repeat a picture's for several samples of it.
        max_length: largest number of tokens L, ``<END>`` included.
        seed: int, or int32 scalar tensor. The same seed draws the same captions.
        temperature: above 1 is more varied, below 1 closer to greedy decoding.
        top_k: 0 for all words.
        top_p: 1 for all words.
        constraints: what may not be said.

    Returns:
        ids and score as `greedy_decode`'s; the score is under the model's distribution,
        not under the truncated one.

    Raises:
        ValueError: if ``temperature`` is not positive, ``top_k`` is negative, or
            ``top_p`` is not in (0, 1].
    """
    for name, value, valid, expected in (
        ("temperature", temperature, temperature > 0, "a positive number"),
        ("top_k", top_k, isinstance(top_k, int) and top_k >= 0, "an integer ≥ 0"),
        ("top_p", top_p, 0 < top_p <= 1, "a number in (0, 1]"),
    ):
        if not valid:
            raise ValueError(
                f"Received an invalid value for argument `{name}`, "
                f"expected {expected}, got {value!r}."
            )

    def draw(log_p, t):
        kept = _most_probable_words(log_p / temperature, top_k, top_p)
        noise = -tf.math.log(-tf.math.log(uniform(tf.shape(log_p), seed, t)))
        return tf.argmax(kept + noise, axis=-1, output_type=tf.int32)

    return _decode(decoder, features, max_length, constraints, draw)


def _most_probable_words(log_p, top_k, top_p):
    """−∞ for all words but the `top_k` most probable and but the nucleus."""
    impossible = tf.constant(IMPOSSIBLE)
    if 0 < top_k < log_p.shape[-1]:
        least = tf.math.top_k(log_p, top_k)[0][:, -1:]
        log_p = tf.where(log_p < least, impossible, log_p)
    if top_p < 1:
        descending = tf.math.top_k(log_p, log_p.shape[-1])[0]
        p = tf.nn.softmax(descending)
        inside = tf.cumsum(p, axis=1) - p < top_p  # the words before it sum to less
        least = tf.where(inside, descending, tf.constant(float("inf")))
        log_p = tf.where(
            log_p < tf.reduce_min(least, 1, keepdims=True), impossible, log_p
        )
    return log_p


def _decode(decoder, features, max_length, constraints, choose):
    """The loop; `choose(log_p (N, V), t)` gives the next words, int32 (N,)."""
    check_positive_integer("max_length", max_length)
    features = tf.convert_to_tensor(features)
    state = tuple(decoder.initial_state(features))
    batch = features.shape[0] or tf.shape(features)[0]
    column = tf.range(max_length)

    def going(t, token, ids, score, ended, *state):
        return (t < max_length) & ~tf.reduce_all(ended)

    def step(t, token, ids, score, ended, *state):
        logits, state = decoder.step(token, state)
        log_p = constraints.apply(word_log_probabilities(logits), ids, t)  # (N, V)
        token = choose(log_p, t)
        chosen = tf.gather(log_p, token, batch_dims=1)
        token = tf.where(ended, NULL, token)
        score += tf.where(ended, 0.0, chosen)
        ids = tf.where(tf.equal(column, t), token[:, None], ids)
        ended |= tf.equal(token, END)
        return (t + 1, token, ids, score, ended, *state)

    start = (
        tf.constant(0),
        tf.fill([batch], START),
        tf.fill([batch, max_length], NULL),
        tf.fill([batch], 0.0),
        tf.fill([batch], False),
    )
    _, _, ids, score, *_ = tf.while_loop(going, step, (*start, *state))
    return ids, score
