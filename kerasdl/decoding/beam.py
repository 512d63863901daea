"""Beam search over captions.

Differences from Wu et al., 2016 (https://arxiv.org/abs/1609.08144): the length penalty
is a plain power of the length (their ((5 + |Y|) / 6)^α discourages short captions less),
there is no coverage term, and the search ends by an exact bound, not a margin.
"""

import tensorflow as tf

from kerasdl.data.captions.vocabulary import END, NULL, START
from kerasdl.decoding.greedy import check_positive_integer, word_log_probabilities


def beam_search(decoder, features, max_length, beam_size=3, length_penalty=0.0):
    """Captions by beam search.

    Keeps the ``beam_size`` most probable beginnings of a caption. A beginning that is
    extended by ``<END>`` leaves the beam and competes as a finished caption by::

        log p(caption) / length ** length_penalty

    where the length counts ``<END>``. At ``max_length`` tokens the beginnings that are
    left compete as they stand. The search of a picture ends when no beginning can beat
    its best finished caption any more; since log p only falls and the quotient is
    largest at the largest length, that bound never changes the result. With
    ``beam_size=1`` and ``length_penalty=0`` the result is `greedy_decode`'s; with a beam
    that holds every beginning it is the most probable caption there is.

    Args:
        decoder: as for `kerasdl.decoding.greedy.greedy_decode`.
        features: float (N, F).
        max_length: largest number of tokens L, ``<END>`` included.
        beam_size: number of beginnings kept.
        length_penalty: 0 takes the most probable caption, 1 the highest mean
            log-probability a token; larger values favour longer captions.

    Returns:
        ids, int32 (N, L), with ``<NULL>`` after ``<END>``; and score, float32 (N,), the
        total log-probability of the caption (not divided by anything).

    Raises:
        ValueError: if ``max_length`` or ``beam_size`` is not a positive integer, or
            ``length_penalty`` is negative.
    """
    check_positive_integer("max_length", max_length)
    check_positive_integer("beam_size", beam_size)
    if not length_penalty >= 0:
        raise ValueError(
            "Received an invalid value for argument `length_penalty`, "
            f"expected a number ≥ 0, got {length_penalty!r}."
        )
    features = tf.convert_to_tensor(features)
    batch = features.shape[0] or tf.shape(features)[0]
    # Row n·beam_size + k of every state holds hypothesis k of picture n.
    state = tuple(
        tf.repeat(part, beam_size, axis=0) for part in decoder.initial_state(features)
    )
    first_row = tf.range(batch)[:, None] * beam_size  # (N, 1)
    column = tf.range(max_length)
    impossible = tf.constant(float("-inf"))

    def ranking(score, length):
        return score / tf.cast(length, "float32") ** length_penalty

    def going(t, token, ids, score, best_ids, best_score, best_rank, *state):
        bound = ranking(tf.reduce_max(score, axis=1), max_length)
        return (t < max_length) & tf.reduce_any(bound > best_rank)

    def step(t, token, ids, score, best_ids, best_score, best_rank, *state):
        logits, state = decoder.step(tf.reshape(token, [-1]), state)
        vocabulary_size = logits.shape[-1]
        log_p = tf.reshape(
            word_log_probabilities(logits), [-1, beam_size, vocabulary_size]
        )
        total = tf.reshape(score[..., None] + log_p, [-1, beam_size * vocabulary_size])
        score, choice = tf.math.top_k(total, beam_size)  # (N, K)
        parent, token = choice // vocabulary_size, choice % vocabulary_size
        rows = tf.reshape(first_row + parent, [-1])  # (N·K,)
        state = tuple(tf.gather(part, rows) for part in state)
        ids = tf.gather(tf.reshape(ids, [-1, max_length]), rows)
        ids = tf.reshape(ids, [-1, beam_size, max_length])
        ids = tf.where(tf.equal(column, t), token[..., None], ids)

        ended = tf.equal(token, END) | tf.equal(t, max_length - 1)
        rank = tf.where(ended, ranking(score, t + 1), impossible)
        first = tf.argmax(rank, axis=1, output_type=tf.int32)[:, None]  # (N, 1)
        chosen = tf.reshape(first_row + first, [-1])  # (N,)
        rank = tf.reduce_max(rank, axis=1)
        better = rank > best_rank
        best_ids = tf.where(
            better[:, None],
            tf.gather(tf.reshape(ids, [-1, max_length]), chosen),
            best_ids,
        )
        best_score = tf.where(
            better, tf.gather(tf.reshape(score, [-1]), chosen), best_score
        )
        best_rank = tf.where(better, rank, best_rank)
        score = tf.where(ended, impossible, score)
        return (t + 1, token, ids, score, best_ids, best_score, best_rank, *state)

    # The hypotheses start equal: all but one are impossible, or the beam would be K
    # copies of one caption.
    score = tf.where(
        tf.range(beam_size) > 0, impossible, tf.fill([batch, beam_size], 0.0)
    )
    start = (
        tf.constant(0),
        tf.fill([batch, beam_size], START),
        tf.fill([batch, beam_size, max_length], NULL),
        score,
        tf.fill([batch, max_length], NULL),
        tf.fill([batch], 0.0),
        tf.fill([batch], impossible),
    )
    _, _, _, _, ids, score, *_ = tf.while_loop(going, step, (*start, *state))
    return ids, score
