"""Scores of captions against the references that people wrote.

All scores are computed on the words of `kerasdl.data.captions.tokens.caption_tokens`,
with the special tokens of a captioner removed. Those are the tokens of the Java program
that the COCO evaluation runs, less what holds no letter and no digit; the COCO evaluation
drops a fixed list of punctuation marks instead, and so also counts "&" or "$".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from nltk.translate.bleu_score import sentence_bleu
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from kerasdl.data.captions.tokens import SPECIAL_TOKENS, caption_tokens

_SPECIAL = frozenset(token.lower() for token in SPECIAL_TOKENS)


def scored_tokens(caption: str) -> list[str]:
    """The tokens of a caption that count: `caption_tokens` without the special ones."""
    return [token for token in caption_tokens(caption) if token not in _SPECIAL]


def bleu1_single(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Mean sentence BLEU of order 1 against one reference per picture.

    For a hypothesis of c tokens and a reference of r, the modified unigram precision
    times the brevity penalty, exp(1 - r / c) if c < r (Papineni et al. 2002, BLEU: a
    method for automatic evaluation of machine translation). A hypothesis without a token
    scores 0.

    Args:
        hypotheses: One caption for each of N pictures.
        references: The captions of each picture; the first is the one compared with.

    Returns:
        The mean over the pictures, in [0, 1].

    Raises:
        ValueError: There is no picture, the lengths differ, or a picture has no reference
            with a word in it.
    """
    pairs = _tokenise(hypotheses, references, first_only=True)
    scores = [
        sentence_bleu(reference_tokens, tokens, weights=(1.0,)) if tokens else 0.0
        for tokens, reference_tokens in pairs
    ]
    return float(sum(scores) / len(scores))


def coco_scores(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """BLEU-1 to 4, ROUGE-L and CIDEr over all references, as the COCO captions server.

    BLEU is the corpus score with the closest reference length (Papineni et al. 2002);
    ROUGE-L takes beta = 1.2 (Lin 2004); CIDEr is the CIDEr-D of the COCO server, with
    document frequencies from `references` (Vedantam et al. 2015). Of a single picture,
    every n-gram is in every document, so its CIDEr is 0.

    Args:
        hypotheses: One caption for each of N pictures.
        references: The captions of each picture, any number of them from 1. References
            without a word are left out.

    Returns:
        `bleu1`, `bleu2`, `bleu3`, `bleu4` and `rouge_l` in [0, 1], `cider` in [0, 10].

    Raises:
        ValueError: There is no picture, the lengths differ, or a picture has no reference
            with a word in it.
    """
    return _coco(hypotheses, references)[0]


def picture_scores(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, np.ndarray]:
    """The scores of `coco_scores` picture by picture.

    BLEU of one picture is its sentence BLEU, whose mean over the pictures is not the
    corpus BLEU; the means of the other two are those of `coco_scores`.

    Args:
        hypotheses, references: As for `coco_scores`.

    Returns:
        float64 (N,) for each of `bleu1` to `bleu4`, `rouge_l` and `cider`.

    Raises:
        ValueError: As `coco_scores`.
    """
    return _coco(hypotheses, references)[1]


def _coco(hypotheses, references) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    pairs = _tokenise(hypotheses, references, first_only=False)
    results = {index: [" ".join(tokens)] for index, (tokens, _) in enumerate(pairs)}
    truths = {
        index: [" ".join(tokens) for tokens in reference_tokens]
        for index, (_, reference_tokens) in enumerate(pairs)
    }
    bleu, bleu_by_picture = Bleu(4).compute_score(truths, results, verbose=0)
    totals = {f"bleu{order}": value for order, value in enumerate(bleu, start=1)}
    pictures = {f"bleu{n}": values for n, values in enumerate(bleu_by_picture, start=1)}
    for name, scorer in (("rouge_l", Rouge()), ("cider", Cider())):
        totals[name], pictures[name] = scorer.compute_score(truths, results)
    return (
        {name: float(value) for name, value in totals.items()},
        {name: np.asarray(values, float) for name, values in pictures.items()},
    )


def _tokenise(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    first_only: bool,
) -> list[tuple[list[str], list[list[str]]]]:
    if len(hypotheses) != len(references):
        raise ValueError(
            "Received an invalid value for argument `references`, expected those of "
            f"{len(hypotheses)} pictures, one for each hypothesis, got {len(references)}."
        )
    if not hypotheses:
        raise ValueError(
            "Received an invalid value for argument `hypotheses`, expected at least one "
            "caption, got none."
        )
    pairs = []
    for index, (hypothesis, captions) in enumerate(
        zip(hypotheses, references, strict=True)
    ):
        if isinstance(captions, str):
            raise ValueError(
                "Received an invalid value for argument `references`, expected a list of "
                f"captions for each picture, got the string {captions!r}."
            )
        tokenised = [scored_tokens(caption) for caption in captions]
        tokenised = tokenised[:1] if first_only else tokenised
        tokenised = [tokens for tokens in tokenised if tokens]
        if not tokenised:
            raise ValueError(
                "Received an invalid value for argument `references`, expected a caption "
                f"with a word for each picture, got {list(captions)!r} for picture "
                f"{index}."
            )
        pairs.append((scored_tokens(hypothesis), tokenised))
    return pairs
