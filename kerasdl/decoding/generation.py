"""One entry to all ways of decoding."""

from __future__ import annotations

import tensorflow as tf

from kerasdl.decoding.beam import n_best_captions
from kerasdl.decoding.consensus import consensus_caption
from kerasdl.decoding.constraints import Constraints, check_ids
from kerasdl.decoding.greedy import greedy_decode, sample_captions
from kerasdl.decoding.options import WORD_OPTIONS, DecodeOptions


def generate(decoder, features, options: DecodeOptions) -> tuple[tf.Tensor, tf.Tensor]:
    """One caption of each picture.

    Args:
        decoder: see `kerasdl.decoding.greedy`.
        features: float (N, F).
        options: how the caption is chosen.

    Returns:
        ids, int32 (N, L), ``<NULL>`` after ``<END>``; and score, float32 (N,), each
        caption's total log-probability.

    Raises:
        ValueError: for an option out of its range.
    """
    if options.neighbours and decoder.memory is None:
        raise ValueError(
            "Received an invalid value for argument `neighbours`, expected 0 for a model "
            f"without a memory of its training captions, got {options.neighbours}."
        )
    if options.samples == 1:
        ids, score = _samples(decoder, features, options)
        return ids[:, 0], score[:, 0]
    if not (options.samples or options.required) and options.beam_size == 1:
        _check_words(decoder, options)
        return greedy_decode(decoder, features, options.max_length, _constraints(options))
    several = options.consensus or options.samples or options.neighbours
    ids, score = candidates(decoder, features, options, None if several else 1)
    if options.neighbours:
        return _most_agreed_with(decoder, features, options, ids, score)
    if options.consensus:
        return consensus_caption(ids, score, options.consensus_weight)
    if options.samples:
        best = tf.argmax(score, axis=1, output_type=tf.int32)
        ids = tf.gather(ids, best, batch_dims=1)
        return ids, tf.gather(score, best, batch_dims=1)
    return ids[:, 0], score[:, 0]


def candidates(
    decoder, features, options: DecodeOptions, n: int | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Several captions of each picture: the n best of a beam search, or samples.

    Args:
        decoder, features, options: as for `generate`.
        n: how many of a beam search; None for `options.n_best`, or for as many as the
            beam is wide. Of samples, `options.samples` come whatever it is.

    Returns:
        ids, int32 (N, n, L), and score, float32 (N, n): see `n_best_captions`. Samples
        are in the order in which they were drawn.
    """
    if options.samples:
        return _samples(decoder, features, options)
    _check_words(decoder, options)
    return n_best_captions(
        decoder,
        features,
        options.max_length,
        options.beam_size,
        options.length_penalty,
        n=n or options.n_best or None,
        required=options.required,
        constraints=_constraints(options),
    )


def _most_agreed_with(decoder, features, options, ids, score):
    """The candidates with the highest gain by the decoder's memory."""
    gain = decoder.memory.gain(decoder.pooled(features), ids, options.neighbours)
    length = tf.cast(tf.math.count_nonzero(ids, axis=2), tf.float32)
    there = length > 0
    mean = score / tf.maximum(length, 1.0) ** options.length_penalty
    rank = tf.where(there, gain + options.likelihood_weight * mean, float("-inf"))
    best = tf.argmax(rank, axis=1, output_type=tf.int32)
    rows = tf.range(tf.shape(ids)[0]) * ids.shape[1] + best
    ids = tf.gather(tf.reshape(ids, [-1, ids.shape[2]]), rows)
    return ids, tf.gather(tf.reshape(score, [-1]), rows)


def _samples(decoder, features, options):
    _check_words(decoder, options)
    count, length = options.samples, options.max_length
    ids, score = sample_captions(
        decoder,
        tf.repeat(features, count, axis=0),
        length,
        options.seed,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        constraints=_constraints(options),
    )
    return tf.reshape(ids, [-1, count, length]), tf.reshape(score, [-1, count])


def _constraints(options):
    return Constraints(options.no_repeat_ngram, options.forbidden, options.dangling)


def _check_words(decoder, options):
    for name in WORD_OPTIONS:
        if getattr(options, name):
            check_ids(name, getattr(options, name), decoder.vocabulary_size)
