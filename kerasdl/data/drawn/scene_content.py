"""What is in a drawn scene: one to three shapes in a place, a row or a column.

Scenes are drawn from a seed, the same ones on every platform: only
`random.Random.random` is used, whose values Python guarantees.

Some pairs of colour and shape are held out of training (`HELD_OUT`): there is no blue
star in it, though there are blue hearts and red stars. Half of the validation pictures
show one of validation's pairs, and half of the test pictures one of the test's, so that
a model is scored on things that it never saw.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Sequence
from typing import TypeVar

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "black")
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross")

# Diameters, as shares of the picture's side. A gap of more than a third between two
# sizes keeps them apart whatever the jitter.
DIAMETERS = {"small": (0.19, 0.21), "medium": (0.29, 0.315), "large": (0.42, 0.45)}
SIZES = tuple(DIAMETERS)

ARRANGEMENTS = ("single", "row", "column")
# The places of a shape that stands alone.
PLACES = {
    "middle": (0.5, 0.5),
    "left": (0.27, 0.5),
    "right": (0.73, 0.5),
    "top": (0.5, 0.27),
    "bottom": (0.5, 0.73),
}

# How often a scene has one, two and three shapes.
SHARE_OF_COUNTS = {1: 0.2, 2: 0.65, 3: 0.15}
# The pairs of colour and shape that are in this split alone.
HELD_OUT = {
    "train": frozenset[tuple[str, str]](),
    "val": frozenset({("green", "heart"), ("red", "square"), ("black", "triangle")}),
    "test": frozenset({("blue", "star"), ("yellow", "circle"), ("purple", "cross")}),
}
# How many of the validation and test pictures show one of theirs.
HELD_OUT_SHARE = 0.5

# Between neighbours and at the edge, as shares of the side.
GAP = 0.04
MARGIN = 0.02
# How far a shape may stand off the line of a row or column.
SWAY = 0.05

BACKGROUNDS = ("cream", "sky", "mint", "sand", "lilac", "mist", "rose", "stone")
GRADIENTS = ("down", "across", "diagonal")

_COMMON_PAIRS = [
    pair
    for pair in itertools.product(COLOURS, SHAPES)
    if not any(pair in held_out for held_out in HELD_OUT.values())
]

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class SceneObject:
    """One shape of a scene.

    Attributes:
        shape: One of `SHAPES`.
        colour: One of `COLOURS`.
        size: One of `SIZES`.
        x: Its centre from the left edge, as a share of the picture's side.
        y: Its centre from the top edge, likewise.
        diameter: That of the circle round it, likewise.
        angle: By how much it is turned, in degrees.
    """

    shape: str
    colour: str
    size: str
    x: float
    y: float
    diameter: float
    angle: float

    @property
    def pair(self) -> tuple[str, str]:
        """Its colour and shape, by which it may be held out of training."""
        return self.colour, self.shape


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a picture shows.

    Attributes:
        arrangement: One of `ARRANGEMENTS`.
        objects: One to three shapes, from left to right or from top to bottom, no two of
            the same colour and shape.
        place: One of `PLACES` if the arrangement is `single`, else empty.
        background: One of `BACKGROUNDS`.
        gradient: One of `GRADIENTS`, the way in which the background fades.
    """

    arrangement: str
    objects: tuple[SceneObject, ...]
    place: str
    background: str
    gradient: str


def scene(seed: int, split: str, index: int) -> Scene:
    """The scene of one picture, whatever the number of pictures drawn.

    Args:
        seed: Any integer.
        split: `train`, `val` or `test`.
        index: The picture's number in its split, from 0.

    Raises:
        ValueError: `split` is none of the three.
    """
    if split not in HELD_OUT:
        raise ValueError(
            "Received an invalid value for argument `split`, expected one of "
            f"{', '.join(HELD_OUT)}, got {split!r}."
        )
    rng = random.Random(f"{seed}/{split}/{index}")
    count = _draw_count(rng)
    pairs = _draw_pairs(rng, split, count)
    sizes, diameters = _draw_sizes(rng, count)
    arrangement = "single" if count == 1 else _choose(rng, ARRANGEMENTS[1:])
    place = _choose(rng, tuple(PLACES)) if count == 1 else ""
    centres = (
        [_draw_place(rng, place)] if place else _draw_line(rng, arrangement, diameters)
    )
    objects = tuple(
        SceneObject(
            shape=shape,
            colour=colour,
            size=size,
            x=x,
            y=y,
            diameter=diameter,
            angle=_uniform(rng, -10.0, 10.0),
        )
        for (colour, shape), size, diameter, (x, y) in zip(
            pairs, sizes, diameters, centres, strict=True
        )
    )
    return Scene(
        arrangement=arrangement,
        objects=objects,
        place=place,
        background=_choose(rng, BACKGROUNDS),
        gradient=_choose(rng, GRADIENTS),
    )


def _choose(rng: random.Random, options: Sequence[_T]) -> _T:
    return options[int(rng.random() * len(options))]


def _uniform(rng: random.Random, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def _draw_count(rng: random.Random) -> int:
    position = rng.random()
    for count, share in SHARE_OF_COUNTS.items():
        position -= share
        if position < 0:
            return count
    return max(SHARE_OF_COUNTS)


def _draw_pairs(rng: random.Random, split: str, count: int) -> list[tuple[str, str]]:
    """The colours and shapes of a scene, in the order of its objects."""
    pairs: list[tuple[str, str]] = []
    if HELD_OUT[split] and rng.random() < HELD_OUT_SHARE:
        pairs.append(_choose(rng, sorted(HELD_OUT[split])))
    while len(pairs) < count:
        pair = _choose(rng, _COMMON_PAIRS)
        if pair not in pairs:
            pairs.append(pair)
    # The pair held out was drawn first and may stand anywhere.
    return sorted(pairs, key=lambda _: rng.random())


def _draw_sizes(rng: random.Random, count: int) -> tuple[list[str], list[float]]:
    """Sizes and diameters, drawn again until they fit side by side."""
    room = 1 - 2 * MARGIN - (count - 1) * GAP
    while True:
        sizes = [_choose(rng, SIZES) for _ in range(count)]
        diameters = [_uniform(rng, *DIAMETERS[size]) for size in sizes]
        if sum(diameters) <= room:
            return sizes, diameters


def _draw_place(rng: random.Random, place: str) -> tuple[float, float]:
    x, y = PLACES[place]
    return x + _uniform(rng, -SWAY, SWAY) / 2, y + _uniform(rng, -SWAY, SWAY) / 2


def _draw_line(
    rng: random.Random, arrangement: str, diameters: list[float]
) -> list[tuple[float, float]]:
    """Centres along a line, the room that is left shared out at random."""
    spare = 1 - 2 * MARGIN - (len(diameters) - 1) * GAP - sum(diameters)
    shares = [rng.random() for _ in range(len(diameters) + 1)]
    scale = spare / sum(shares)
    position = MARGIN
    across = _uniform(rng, 0.42, 0.58)
    centres = []
    for share, diameter in zip(shares, diameters, strict=False):
        position += share * scale + diameter / 2
        off = across + _uniform(rng, -SWAY, SWAY)
        centres.append((position, off) if arrangement == "row" else (off, position))
        position += diameter / 2 + GAP
    return centres
