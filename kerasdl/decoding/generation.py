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
    if options.samples == 1:
        ids, score = _samples(decoder, features, options)
        return ids[:, 0], score[:, 0]
    if not (options.samples or options.required) and options.beam_size == 1:
        _check_words(decoder, options)
        return greedy_decode(decoder, features, options.max_length, _constraints(options))
    ids, score = candidates(
        decoder, features, options, None if options.consensus or options.samples else 1
    )
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
        n: how many of a beam search, at most its size; None for as many. Of samples,
            `options.samples` come whatever it is.

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
        n=n,
        required=options.required,
        constraints=_constraints(options),
    )


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
