"""The options of decoding, as a config holds them. TensorFlow is not imported here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kerasdl.data.captions.tokens import caption_tokens
from kerasdl.data.captions.vocabulary import UNK, CaptionVocabulary
from kerasdl.errors import InputError


def check_positive_integer(name, value):
    """Raises ValueError unless `value` is an integer of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"Received an invalid value for argument `{name}`, "
            f"expected a positive integer, got {value!r}."
        )


# Options that a config gives as words, and the decoder takes as ids.
WORD_OPTIONS = ("forbidden", "dangling", "required")


@dataclasses.dataclass(frozen=True)
class DecodeOptions:
    """How captions are chosen. Every default stands here and nowhere else.

    Attributes:
        max_length: Largest number of tokens L, `<END>` included.
        beam_size: How many beginnings a beam search keeps; 1 decodes greedily.
        length_penalty: α; finished captions of a beam search compete by
            log p / length^α. It has no effect on greedy decoding.
        no_repeat_ngram: No n words in a row stand twice in a caption; 0 for no such rule.
        forbidden: Words that no caption has.
        dangling: Words that no caption ends with.
        required: Words that every caption has, up to four.
        n_best: How many captions of a search are candidates of `consensus` or
            `neighbours`; 0 for as many as the beam is wide.
        consensus: Whether the candidate is taken that the others agree with most, instead
            of the most probable one.
        consensus_weight: A candidate's vote in `consensus` is proportional to p to this
            power; 0 counts all alike.
        neighbours: The candidate is taken that agrees most with what people said of so
            many similar training pictures (`kerasdl.models.caption_memory`); 0 for none.
        likelihood_weight: With neighbours, the weight of log p / length^α of a candidate
            beside its agreement.
        samples: How many captions are drawn instead of searched for; 0 searches.
        temperature: Of the samples; above 1 they are more varied, below 1 less.
        top_k: Samples are drawn among so many most probable words; 0 for all.
        top_p: Samples are drawn among the fewest words whose probabilities sum to this.
        seed: Of the samples.
    """

    max_length: int
    beam_size: int = 1
    length_penalty: float = 0.0
    no_repeat_ngram: int = 0
    forbidden: tuple[int, ...] = ()
    dangling: tuple[int, ...] = ()
    required: tuple[int, ...] = ()
    n_best: int = 0
    consensus: bool = False
    consensus_weight: float = 0.0
    neighbours: int = 0
    likelihood_weight: float = 0.1
    samples: int = 0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive_integer("max_length", self.max_length)
        check_positive_integer("beam_size", self.beam_size)
        for name in ("no_repeat_ngram", "n_best", "neighbours", "samples"):
            if getattr(self, name) != 0:
                check_positive_integer(name, getattr(self, name))
        if self.samples and self.required:
            raise ValueError(
                "Received an invalid value for argument `samples`, expected 0 with "
                f"required words, which need a search, got {self.samples}."
            )
        for name in WORD_OPTIONS:
            object.__setattr__(self, name, tuple(map(int, getattr(self, name))))


def default_options() -> dict[str, Any]:
    """Every field as a config holds it, at its default; `max_length` is not set."""
    return {
        field.name: "" if field.name in WORD_OPTIONS else field.default
        for field in dataclasses.fields(DecodeOptions)
        if field.name != "max_length"
    }


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
