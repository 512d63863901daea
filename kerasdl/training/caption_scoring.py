"""Captions pictures from their features, scores the captions, and shows some."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from kerasdl.data.captions.vocabulary import UNK, CaptionVocabulary
from kerasdl.data.pictures.decoding import decode_picture
from kerasdl.decoding import options_for
from kerasdl.metrics import bleu1_single, caption_diversity, coco_scores
from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.models.caption_ensemble import CaptionEnsemble
from kerasdl.reports.captioning import CaptionSample
from kerasdl.training.caption_features import Split

# Pictures decoded at once when captions are scored.
DECODE_BATCH = 100


class CaptionScorer:
    """Captions pictures from their features and scores the captions.

    Args:
        decoder: The model to score, as it stands at each call.
        vocabulary: Turns its ids into words.
        decode: A config's `decode`: how captions are chosen.
    """

    def __init__(
        self,
        decoder: CaptionDecoder | CaptionEnsemble,
        vocabulary: CaptionVocabulary,
        decode: Mapping,
    ) -> None:
        options = options_for(vocabulary, decode)
        self._generate = tf.function(
            lambda features: decoder.generate(features, **options)[0],
            input_signature=[tf.TensorSpec((None, decoder.feature_dim), tf.float32)],
        )
        self._vocabulary = vocabulary
        self._decoder, self._options = decoder, options

    def attention(self, features: np.ndarray) -> list[tuple[list[str], np.ndarray]]:
        """The words of each picture, and the weights (words, side, side) at each."""
        ids, _, weights = self._decoder.generate(
            features, **self._options, attention=True
        )
        side = round(self._decoder.cells**0.5)
        return [
            (
                [self._vocabulary.tokens[one] for one in row[row > UNK]],
                maps[row > UNK].reshape(-1, side, side),
            )
            for row, maps in zip(ids.numpy(), weights.numpy(), strict=True)
        ]

    def captions(self, features: np.ndarray) -> list[str]:
        """A caption for each row of `features`."""
        captions = []
        for start in range(0, len(features), DECODE_BATCH):
            ids = self._generate(features[start : start + DECODE_BATCH]).numpy()
            captions += [self._vocabulary.decode(row) for row in ids]
        return captions

    def scores(self, split: Split, name: str) -> dict[str, float]:
        """`name/bleu1_single`, the COCO metrics and diversity, empty if the split is."""
        if not len(split):
            return {}
        hypotheses = self.captions(split.features)
        scores = {"bleu1_single": bleu1_single(hypotheses, split.references)}
        scores |= coco_scores(hypotheses, split.references)
        said = caption_diversity(hypotheses)
        scores |= {name: said[name] for name in ("distinct_captions", "vocabulary_used")}
        return {f"{name}/{metric}": value for metric, value in scores.items()}


def pick_samples(
    splits: Mapping[str, Split], scorer: CaptionScorer, count: int
) -> list[CaptionSample]:
    """Up to `count` pictures with their captions.

    Held-out pictures come first and fill two thirds of the grid: they matter most.
    """
    samples = []
    names = [name for name in ("test", "val", "train") if len(splits[name])]
    for name in names:
        left = count - len(samples)
        split = splits[name].first(left if name == names[-1] else -(-left * 2 // 3))
        captions = scorer.captions(split.features)
        for picture, caption in zip(split.pictures, captions, strict=True):
            image = decode_picture(picture.bytes(), picture.name)
            title = f"{name}: {picture.name}"
            samples.append(CaptionSample(image, title, caption, picture.captions[0]))
    return samples
