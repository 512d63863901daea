"""Pictures of a captioner's attention at each word."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from kerasdl.reports.samples import Sample

# Side of the drawn pictures, in pixels, and the light that is left where it never looked.
SIDE = 224
DARKEST = 0.25


def attention_samples(
    image: np.ndarray, words: Sequence[str], weights: np.ndarray
) -> list[Sample]:
    """A picture, then one for each word, bright where the model looked at the word.

    The weights are those of the places of the feature grid, enlarged bicubically; each
    map is scaled by its own maximum.

    Args:
        image: uint8 (H, W, 3).
        words: The T words of its caption.
        weights: float (T, rows, columns).
    """
    # The model saw the whole picture squashed to a square; so it is drawn.
    square = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(square)
    samples = [Sample(pixels, "", ("",))]
    for word, map_ in zip(words, weights, strict=True):
        light = DARKEST + (1 - DARKEST) * enlarged(map_)[..., np.newaxis]
        samples.append(Sample(np.rint(pixels * light).astype(np.uint8), "", (word,)))
    return samples


def enlarged(map_: np.ndarray) -> np.ndarray:
    """A map (rows, columns) at the picture's size, in [0, 1], its maximum 1."""
    small = Image.fromarray((map_ / max(float(map_.max()), 1e-12)).astype(np.float32))
    large = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return np.clip(large, 0.0, 1.0)
