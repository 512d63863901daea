"""CIDEr-D of single captions against a fixed set of references.

`kerasdl.metrics.coco_scores` takes pycocoevalcap's CIDEr, which reads all references anew
at each call. A training that is rewarded by CIDEr (Rennie et al. 2017, Self-critical
sequence training) scores thousands of captions against the same references: here their
n-grams are counted and weighted once. tests/metrics/test_cider.py holds the two equal.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Hashable, Sequence

ORDERS = 4
# Standard deviation, in words, of the penalty for another length than the reference's.
SIGMA = 6.0

Tokens = Sequence[Hashable]


class CiderD:
    """Scores captions against fixed references by CIDEr-D.

    With g_n(c) the vector of the n-grams of a caption, each count weighted by log of the
    number of pictures over the number of pictures with that n-gram in a reference, and
    l the number of words (Vedantam et al. 2015, equation 4)::

        CIDEr-D(c, S) = 10/4 Σ_n 1/|S| Σ_{s in S} exp(−(l(c) − l(s))² / 2σ²)
                        · min(g_n(c), g_n(s)) · g_n(s) / (‖g_n(c)‖ ‖g_n(s)‖),  σ = 6

    Args:
        references: The references of each picture, as tokens of any hashable kind
            (words, or their ids), at least one of each picture.
    """

    def __init__(self, references: Sequence[Sequence[Tokens]]) -> None:
        counted = [[_ngrams(tokens) for tokens in captions] for captions in references]
        pictures_with = collections.Counter(
            ngram for captions in counted for ngram in set().union(*captions)
        )
        self._all = math.log(len(references)) if references else 0.0
        self._log_pictures = {
            ngram: math.log(count) for ngram, count in pictures_with.items()
        }
        self._references = [
            [self._vector(counts) for counts in captions] for captions in counted
        ]

    def score(self, tokens: Tokens, picture: int) -> float:
        """CIDEr-D, in [0, 10], of a caption of the picture with that index."""
        return self._similarity(self._vector(_ngrams(tokens)), self._references[picture])

    def _vector(self, counts):
        """The weight of each n-gram, the norm of each order, and the length."""
        weights = {
            ngram: count * (self._all - self._log_pictures.get(ngram, 0.0))
            for ngram, count in counts.items()
        }
        squares = [0.0] * (ORDERS + 1)
        for ngram, weight in weights.items():
            squares[len(ngram)] += weight * weight
        # pycocoevalcap, and so this, counts the bigrams: the words less one.
        length = sum(count for ngram, count in counts.items() if len(ngram) == 2)
        return weights, [math.sqrt(square) for square in squares], length

    def _similarity(self, caption, references) -> float:
        weights, norms, length = caption
        total = 0.0
        for reference, reference_norms, reference_length in references:
            products = [0.0] * (ORDERS + 1)
            for ngram, weight in weights.items():
                other = reference.get(ngram)
                if other is not None:
                    products[len(ngram)] += min(weight, other) * other
            cosine = sum(
                product / (a * b) if a and b else product
                for product, a, b in zip(products, norms, reference_norms, strict=True)
            )
            total += cosine * math.exp(
                -((length - reference_length) ** 2) / (2 * SIGMA**2)
            )
        return 10.0 * total / (ORDERS * len(references))


def _ngrams(tokens: Tokens) -> collections.Counter:
    tokens = tuple(tokens)
    return collections.Counter(
        tokens[start : start + order]
        for order in range(1, ORDERS + 1)
        for start in range(len(tokens) - order + 1)
    )
