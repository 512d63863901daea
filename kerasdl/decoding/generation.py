"""One entry to all ways of decoding, by options that a config can hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from kerasdl.data.captions.vocabulary import UNK, CaptionVocabulary, caption_tokens
from kerasdl.decoding.beam import n_best_captions
from kerasdl.decoding.consensus import consensus_caption
from kerasdl.decoding.constraints import Constraints, check_ids, check_positive_integer
from kerasdl.decoding.greedy import greedy_decode, sample_captions
from kerasdl.errors import InputError

# Options that a config gives as words, and the decoder takes as ids.
WORD_OPTIONS = ("forbidden", "dangling", "required")


@dataclasses.dataclass(frozen=True)
class DecodeOptions:
    """How captions are chosen. Every default stands here and nowhere else.

    Attributes:
        max_length: largest number of tokens L, `<END>` included.
        beam_size: beginnings that a beam search keeps; 1 decodes greedily.
        length_penalty: see `kerasdl.decoding.beam.n_best_captions`; of no effect on
            greedy decoding.
        no_repeat_ngram, forbidden, dangling: see `Constraints`.
        required: ids of words that each caption has to say; see `n_best_captions`.
        consensus: take the candidate that the others agree with most, among the beam's or
            the samples, instead of the most probable one.
        consensus_weight: see `consensus_caption`.
        samples: draw so many captions instead of searching; 0 searches.
        temperature, top_k, top_p: of the samples; see `sample_captions`.
        seed: of the samples.
    """

    max_length: int
    beam_size: int = 1
    length_penalty: float = 0.0
    no_repeat_ngram: int = 0
    forbidden: tuple[int, ...] = ()
    dangling: tuple[int, ...] = ()
    required: tuple[int, ...] = ()
    consensus: bool = False
    consensus_weight: float = 0.0
    samples: int = 0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive_integer("max_length", self.max_length)
        check_positive_integer("beam_size", self.beam_size)
        for name in ("no_repeat_ngram", "samples"):
            if getattr(self, name) != 0:
                check_positive_integer(name, getattr(self, name))
        if self.samples and self.required:
            raise ValueError(
                "Received an invalid value for argument `samples`, expected 0 with "
                f"required words, which need a search, got {self.samples}."
            )
        for name in WORD_OPTIONS:
            object.__setattr__(self, name, tuple(map(int, getattr(self, name))))

    @property
    def constraints(self) -> Constraints:
        """What may not be said."""
        return Constraints(self.no_repeat_ngram, self.forbidden, self.dangling)


def options_for(
    vocabulary: CaptionVocabulary, decode: Mapping[str, Any]
) -> dict[str, Any]:
    """A config's `decode` as arguments of `generate`: its words become ids.

    Args:
        vocabulary: The model's.
        decode: Fields of `DecodeOptions`; those of `WORD_OPTIONS` as words with spaces
            between them.

    Raises:
        InputError: A required word is not in the vocabulary, or a field is unknown.
    """
    known = {field.name for field in dataclasses.fields(DecodeOptions)}
    unknown = sorted(set(decode) - known)
    if unknown:
        raise InputError(f"--config.decode has no field {unknown[0]!r}.")
    options = dict(decode)
    for name in WORD_OPTIONS:
        words = options.get(name)
        if not isinstance(words, str):
            continue  # not given, or ids already
        ids = {word: vocabulary.encode([word])[0] for word in caption_tokens(words)}
        missing = [word for word, id_ in ids.items() if id_ == UNK]
        if missing and name == "required":
            raise InputError(
                f"--config.decode.required has {missing[0]!r}, expected words of the "
                "model's vocabulary."
            )
        options[name] = tuple(id_ for id_ in ids.values() if id_ > UNK)
    return options


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
        return greedy_decode(decoder, features, options.max_length, options.constraints)
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
        constraints=options.constraints,
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
        constraints=options.constraints,
    )
    return tf.reshape(ids, [-1, count, length]), tf.reshape(score, [-1, count])


def _check_words(decoder, options):
    for name in WORD_OPTIONS:
        if getattr(options, name):
            check_ids(name, getattr(options, name), decoder.vocabulary_size)
