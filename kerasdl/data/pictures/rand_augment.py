"""RandAugment: a few operations drawn at random for each picture, at one strength.

Source: Cubuk et al., RandAugment, 2020, with the ranges of its Table 6 in AutoAugment's
units. Keras's layer of this name draws one set of operations for a whole minibatch, from
a state that moves from call to call; here the operations of a picture are a function of
the generator that is given, so that a resumed run repeats them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

# The strength that the ranges below belong to.
STRONGEST = 10.0
# What an operation uncovers, R, G, B.
FILL = (128, 128, 128)


def _warp(*matrix: float) -> Callable[[Image.Image], Image.Image]:
    """Pixel (x, y) of the result is that at (a x + b y + c, d x + e y + f)."""
    return lambda picture: picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        matrix,
        Image.Resampling.BILINEAR,
        fillcolor=FILL,
    )


def _enhance(kind: type, amount: float) -> Callable[[Image.Image], Image.Image]:
    return lambda picture: kind(picture).enhance(1 + 0.9 * amount)


# From a strength in [-1, 1] and the side in pixels to an operation. Those that know no
# sign take the strength's absolute value.
OPERATIONS: tuple[Callable[[float, int], Callable[[Image.Image], Image.Image]], ...] = (
    lambda s, side: lambda picture: picture,
    lambda s, side: ImageOps.autocontrast,
    lambda s, side: ImageOps.equalize,
    lambda s, side: (
        lambda picture: picture.rotate(30 * s, Image.Resampling.BILINEAR, fillcolor=FILL)
    ),
    lambda s, side: _warp(1, 0.3 * s, 0, 0, 1, 0),
    lambda s, side: _warp(1, 0, 0, 0.3 * s, 1, 0),
    lambda s, side: _warp(1, 0, 0.3 * s * side, 0, 1, 0),
    lambda s, side: _warp(1, 0, 0, 0, 1, 0.3 * s * side),
    lambda s, side: lambda picture: ImageOps.posterize(picture, 8 - round(4 * abs(s))),
    lambda s, side: lambda picture: ImageOps.solarize(picture, 256 - round(256 * abs(s))),
    lambda s, side: _enhance(ImageEnhance.Color, s),
    lambda s, side: _enhance(ImageEnhance.Contrast, s),
    lambda s, side: _enhance(ImageEnhance.Brightness, s),
    lambda s, side: _enhance(ImageEnhance.Sharpness, s),
)


def rand_augment(
    rng: np.random.Generator, view: np.ndarray, count: int, strength: float
) -> np.ndarray:
    """Applies operations that are drawn with replacement, one after the other.

    Args:
        rng: Is drawn from.
        view: uint8 (S, S, 3).
        count: How many operations.
        strength: From 0 to `STRONGEST`.

    Returns:
        uint8 (S, S, 3).
    """
    picture = Image.fromarray(view)
    for number in rng.integers(len(OPERATIONS), size=count):
        sign = rng.choice((-1.0, 1.0))
        picture = OPERATIONS[number](sign * strength / STRONGEST, len(view))(picture)
    return np.asarray(picture)
