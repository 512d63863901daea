"""What is in a drawn scene: one to three shapes in a place, a row or a column.

Scenes are drawn from a seed, the same ones on every platform: only
`random.Random.random` is used, whose values Python guarantees.

Some combinations of size, colour and shape are held out of training (`HELD_OUT`): there
is no small red circle in it, though there are small circles, red circles and small red
squares. Half of the validation pictures show one of validation's combinations, and half
of the test pictures one of the test's, so that a model is scored on things it never saw.
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


def _held_out(shift: int) -> frozenset[tuple[str, str, str]]:
    """Two combinations a colour, over all shapes and sizes: (size, colour, shape)."""
    return frozenset(
        (
            SIZES[(index + half + shift) % len(SIZES)],
            colour,
            SHAPES[(index + 3 * half + shift) % len(SHAPES)],
        )
        for index, colour in enumerate(COLOURS)
        for half in range(2)
    )


# The combinations of size, colour and shape that are in this split alone.
HELD_OUT = {"train": frozenset(), "val": _held_out(1), "test": _held_out(0)}
_COMMON = [
    combination
    for combination in itertools.product(SIZES, COLOURS, SHAPES)
    if not any(combination in held_out for held_out in HELD_OUT.values())
]
# How many of the validation and test pictures show one of theirs.
HELD_OUT_SHARE = 0.5

# Between neighbours and at the edge, as shares of the side.
GAP = 0.04
MARGIN = 0.02
# How far a shape may stand off the line of a row or column.
SWAY = 0.05

BACKGROUNDS = ("cream", "sky", "mint", "sand", "lilac", "mist", "rose", "stone")
GRADIENTS = ("down", "across", "diagonal")

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
    def combination(self) -> tuple[str, str, str]:
        """Its size, colour and shape, by which it may be held out of training."""
        return self.size, self.colour, self.shape


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a picture shows.

    Attributes:
        arrangement: One of `ARRANGEMENTS`.
        objects: One to three shapes, from left to right or from top to bottom, no two of
            the same colour and shape.
        place: One of `PLACES` where the arrangement is `single`, else empty.
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
    combinations = _draw_combinations(rng, split, count)
    diameters = [_uniform(rng, *DIAMETERS[size]) for size, _, _ in combinations]
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
        for (size, colour, shape), diameter, (x, y) in zip(
            combinations, diameters, centres, strict=True
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


def _draw_combinations(
    rng: random.Random, split: str, count: int
) -> list[tuple[str, str, str]]:
    """Size, colour and shape of each object, drawn again until they fit side by side."""
    room = 1 - 2 * MARGIN - (count - 1) * GAP
    while True:
        drawn = []
        if HELD_OUT[split] and rng.random() < HELD_OUT_SHARE:
            drawn.append(_choose(rng, sorted(HELD_OUT[split])))
        while len(drawn) < count:
            combination = _choose(rng, _COMMON)
            if combination[1:] not in [other[1:] for other in drawn]:
                drawn.append(combination)
        if sum(DIAMETERS[size][1] for size, _, _ in drawn) <= room:
            # The one held out was drawn first and may stand anywhere.
            return sorted(drawn, key=lambda _: rng.random())


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
