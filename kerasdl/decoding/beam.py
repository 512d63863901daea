"""Beam search over captions.

Differences from Wu et al., 2016 (https://arxiv.org/abs/1609.08144): the length penalty
is a plain power of the length (their ((5 + |Y|) / 6)^α discourages short captions less),
there is no coverage term, and the search ends by an exact bound, not a margin.
"""

import tensorflow as tf

from kerasdl.data.captions.vocabulary import END, NULL, START
from kerasdl.decoding.constraints import (
    IMPOSSIBLE,
    Constraints,
    word_log_probabilities,
)
from kerasdl.decoding.options import check_positive_integer

# There is one beam for each set of required words said so far: 2 to the power of them.
MOST_REQUIRED = 4


def beam_search(
    decoder,
    features,
    max_length,
    beam_size=3,
    length_penalty=0.0,
    *,
    required=(),
    constraints=Constraints(),  # noqa: B008
):
    """Captions by beam search: the best of `n_best_captions`; see there.

    Returns:
        ids, int32 (N, L), with ``<NULL>`` after ``<END>``; and score, float32 (N,), the
        total log-probability of the caption (not divided by anything).
    """
    ids, score = n_best_captions(
        decoder,
        features,
        max_length,
        beam_size,
        length_penalty,
        n=1,
        required=required,
        constraints=constraints,
    )
    return ids[:, 0], score[:, 0]


def n_best_captions(
    decoder,
    features,
    max_length,
    beam_size=3,
    length_penalty=0.0,
    *,
    n=None,
    required=(),
    constraints=Constraints(),  # noqa: B008
):
    """The best captions that a beam search finishes.

    Keeps the ``beam_size`` most probable beginnings of a caption. A beginning that is
    extended by ``<END>`` leaves the beam and competes as a finished caption by::

        log p(caption) / length ** length_penalty

    where the length counts ``<END>``. At ``max_length`` tokens the beginnings that are
    left compete as they stand. The search of a picture ends when no beginning can beat
    its n-th best finished caption any more; since log p only falls and the quotient is
    largest at the largest length, that bound never changes the result. With
    ``beam_size=1`` and ``length_penalty=0`` the result is `greedy_decode`'s; with a beam
    that holds every beginning it is the most probable caption there is.

    With ``required`` words there is a beam of ``beam_size`` beginnings for every set of
    the required words that a beginning may have said, and a caption is finished when it
    has said all (Anderson et al. 2017, Guided open vocabulary image captioning with
    constrained beam search).

    Args:
        decoder: as for `kerasdl.decoding.greedy.greedy_decode`.
        features: float (N, F).
        max_length: largest number of tokens L, ``<END>`` included.
        beam_size: number of beginnings kept, K.
        length_penalty: 0 takes the most probable caption, 1 the highest mean
            log-probability a token; larger values favour longer captions.
        n: how many captions of a picture; None for K.
        required: ids of up to 4 words that each caption has to say.
        constraints: what may not be said.

    Returns:
        ids, int32 (N, n, L), the best first, with ``<NULL>`` after ``<END>``; and score,
        float32 (N, n), the total log-probability of each (not divided by anything), −∞
        for a row of ``<NULL>`` if a picture has fewer captions.

    Raises:
        ValueError: if ``max_length`` or ``beam_size`` , or ``n`` is not a positive
            integer, ``length_penalty`` is negative, or ``required`` has more than 4
            words, the same word twice, or does not fit into L tokens.
    """
    n = beam_size if n is None else n
    _check(max_length, beam_size, length_penalty, n, required)
    features = tf.convert_to_tensor(features)
    batch = features.shape[0] or tf.shape(features)[0]
    states = 2 ** len(required)  # bit c of a state's number: required[c] was said
    width = states * beam_size
    # Row n·width + s·K + k of every state tensor holds hypothesis k of beam s of picture
    # n. Constants of a picture (an encoded grid) are the same in all of its rows.
    state = tuple(
        tf.repeat(part, width, axis=0) for part in decoder.initial_state(features)
    )
    moving = len(state) - getattr(decoder, "constant_states", 0)
    picture = tf.range(batch)[:, None]  # (N, 1)
    column = tf.range(max_length)
    impossible = tf.constant(IMPOSSIBLE)

    def ranking(score, length):
        return score / tf.cast(length, "float32") ** length_penalty

    def going(t, token, ids, score, best_ids, best_score, best_rank, *state):
        bound = ranking(tf.reduce_max(score, axis=1), max_length)
        return (t < max_length) & tf.reduce_any(bound > best_rank[:, -1])

    def step(t, token, ids, score, best_ids, best_score, best_rank, *state):
        logits, state = decoder.step(tf.reshape(token, [-1]), state)
        log_p = constraints.apply(
            word_log_probabilities(logits), tf.reshape(ids, [-1, max_length]), t
        )
        total = tf.reshape(score, [-1, 1]) + log_p  # (N·width, V)
        score, parent, token = _extend(total, beam_size, required)  # each (N, width)
        rows = tf.reshape(picture * width + parent, [-1])
        state = (
            *(tf.gather(part, rows) for part in state[:moving]),
            *state[moving:],
        )
        ids = tf.reshape(
            tf.gather(tf.reshape(ids, [-1, max_length]), rows), [-1, width, max_length]
        )
        ids = tf.where(tf.equal(column, t), token[..., None], ids)

        ended = tf.equal(token, END) | tf.equal(t, max_length - 1)  # (N, width)
        complete = slice(width - beam_size, width)  # the beam that has said all
        rank = tf.where(ended, ranking(score, t + 1), impossible)[:, complete]
        best_rank, chosen = tf.math.top_k(tf.concat([best_rank, rank], 1), n)
        chosen += picture * (n + beam_size)
        best_ids = _rows(tf.concat([best_ids, ids[:, complete]], 1), chosen)
        best_score = _rows(tf.concat([best_score, score[:, complete]], 1), chosen)
        score = tf.where(ended, impossible, score)
        return (t + 1, token, ids, score, best_ids, best_score, best_rank, *state)

    # The hypotheses start equal: all but one are impossible, or the beam would be K
    # copies of one caption.
    score = tf.where(tf.range(width) > 0, impossible, tf.fill([batch, width], 0.0))
    start = (
        tf.constant(0),
        tf.fill([batch, width], START),
        tf.fill([batch, width, max_length], NULL),
        score,
        tf.fill([batch, n, max_length], NULL),
        tf.fill([batch, n], impossible),
        tf.fill([batch, n], impossible),
    )
    _, _, _, _, ids, score, *_ = tf.while_loop(going, step, (*start, *state))
    return ids, score


def _extend(total, beam_size, required):
    """The best K extensions of each beam: score, parent and word, each (N, S·K).

    Args:
        total: float32 (N·S·K, V), the log-probability of each extension.
        beam_size: K.
        required: the C words that decide which of the S = 2^C beams an extension is in.
    """
    vocabulary_size = total.shape[-1]
    states = 2 ** len(required)
    if not required:
        flat = tf.reshape(total, [-1, beam_size * vocabulary_size])
        score, choice = tf.math.top_k(flat, beam_size)
        return score, choice // vocabulary_size, choice % vocabulary_size
    impossible = tf.constant(IMPOSSIBLE)
    total = tf.reshape(total, [-1, states * beam_size, vocabulary_size])
    word = tf.range(vocabulary_size)
    parts = []
    for target in range(states):
        beam = total[:, target * beam_size : (target + 1) * beam_size]
        if target < states - 1:
            beam = tf.where(tf.equal(word, END), impossible, beam)
        entering = []
        for bit, id_ in enumerate(required):
            if target >> bit & 1:
                # The caption had said all of `target` but this word, and says it now.
                first = (target ^ 1 << bit) * beam_size
                entering.append((first, id_, total[:, first : first + beam_size, id_]))
            else:
                # It says a word that leads into another beam.
                beam = tf.where(tf.equal(word, id_), impossible, beam)
        flat = tf.reshape(beam, [-1, beam_size * vocabulary_size])
        score, choice = tf.math.top_k(
            tf.concat([flat, *(scores for *_, scores in entering)], 1), beam_size
        )
        parent = target * beam_size + choice // vocabulary_size
        token = choice % vocabulary_size
        for place, (first, id_, _) in enumerate(entering):
            index = choice - beam_size * (vocabulary_size + place)
            here = (index >= 0) & (index < beam_size)
            parent = tf.where(here, first + index, parent)
            token = tf.where(here, id_, token)
        parts.append((score, parent, token))
    return tuple(tf.concat(column, axis=1) for column in zip(*parts, strict=True))


def _rows(values, rows):
    """Rows of the first two axes, taken as one: (N, M, ...) and (N, n) to (N, n, ...)."""
    flat = tf.reshape(values, tf.concat([[-1], tf.shape(values)[2:]], 0))
    return tf.reshape(
        tf.gather(flat, tf.reshape(rows, [-1])), [-1, rows.shape[1], *values.shape[2:]]
    )


def _check(max_length, beam_size, length_penalty, n, required):
    check_positive_integer("max_length", max_length)
    check_positive_integer("beam_size", beam_size)
    check_positive_integer("n", n)
    if not length_penalty >= 0:
        raise ValueError(
            "Received an invalid value for argument `length_penalty`, "
            f"expected a number ≥ 0, got {length_penalty!r}."
        )
    most = min(MOST_REQUIRED, max_length - 1)
    if len(required) > most or len(set(required)) != len(required):
        raise ValueError(
            "Received an invalid value for argument `required`, expected at most "
            f"{most} different words, got {tuple(required)}."
        )
