"""Diversity of captions: distinct captions, vocabulary, lengths."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from kerasdl.metrics.captions import scored_tokens


def caption_diversity(captions: Sequence[str]) -> dict[str, float]:
    """How varied a set of captions is.

    Args:
        captions: N captions, one per picture, at least one.

    Returns:
        `distinct_captions`, their number; `vocabulary_used`, the number of different
        words; `distinct_1` and `distinct_2`, the number of different uni- and bigrams
        over the number of all (Li et al. 2016, A diversity-promoting objective function);
        `mean_length` in words.
    """
    tokenised = [tuple(scored_tokens(caption)) for caption in captions]
    words = [word for tokens in tokenised for word in tokens]
    pairs = [pair for tokens in tokenised for pair in itertools.pairwise(tokens)]
    return {
        "distinct_captions": len(set(tokenised)),
        "vocabulary_used": len(set(words)),
        "distinct_1": len(set(words)) / max(len(words), 1),
        "distinct_2": len(set(pairs)) / max(len(pairs), 1),
        "mean_length": len(words) / len(captions),
    }


def length_histogram(captions: Sequence[str]) -> np.ndarray:
    """int64 (L + 1,): how many captions have 0, 1, … L words, L being the longest's."""
    return np.bincount([len(scored_tokens(caption)) for caption in captions])


@dataclasses.dataclass(frozen=True)
class WordCoverage:
    """How often a word was said of those pictures that people said it of.

    Attributes:
        word: The word.
        pictures: Of how many pictures a reference has it.
        said: Of how many of those the caption has it.
        wrongly: Of how many other pictures the caption has it.
    """

    word: str
    pictures: int
    said: int
    wrongly: int


def word_coverage(
    captions: Sequence[str], references: Sequence[Sequence[str]]
) -> list[WordCoverage]:
    """Which of the words that people used captions use too.

    Args:
        captions: One caption for each of N pictures.
        references: The captions that people wrote of each.

    Returns:
        One entry for each word of the references, the word of most pictures first, words
        of equally many in the order of their code points.
    """
    pictures, said, wrongly = (collections.Counter() for _ in range(3))
    for caption, truths in zip(captions, references, strict=True):
        words = set(scored_tokens(caption))
        true = {word for truth in truths for word in scored_tokens(truth)}
        pictures.update(true)
        said.update(words & true)
        wrongly.update(words - true)
    order = sorted(pictures, key=lambda word: (-pictures[word], word))
    return [WordCoverage(w, pictures[w], said[w], wrongly[w]) for w in order]
