"""The built-in data set of captioned pictures: what is in a scene.

A scene is one to three shapes, each of some colour and size, in a place, a row or a
column. Everything is drawn from a seed: `drawn_scenes` gives the same scenes on every
platform, since only `random.Random.random` is used, whose values Python guarantees.
How a scene is drawn is in `scene_drawing`, what is said of it in `scene_grammar`.

Some pairs of colour and shape are held out of training (`HELD_OUT`). A good half of the
validation pictures show one of validation's pairs, and of the test pictures one of the
test's, so a model that learns pictures by heart, and not colours and shapes, is found
out.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import TypeVar

from kerasdl.data.caption_readers import CaptionDataset, CaptionedPicture

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
# How many of the validation and test pictures show a pair held out of training.
HELD_OUT_SHARE = 1 / 3
HELD_OUT = {
    "train": frozenset[tuple[str, str]](),
    "val": frozenset({("green", "heart"), ("red", "square"), ("black", "triangle")}),
    "test": frozenset({("blue", "star"), ("yellow", "circle"), ("purple", "cross")}),
}

# Between neighbours and at the edge, as shares of the side.
GAP = 0.04
MARGIN = 0.02
# How far a shape may stand off the line of a row or column.
SWAY = 0.05

BACKGROUNDS = ("cream", "sky", "mint", "sand", "lilac", "mist", "rose", "stone")
GRADIENTS = ("down", "across", "diagonal")

DEFAULT_COUNTS = {"train": 3000, "val": 300, "test": 300}
DEFAULT_SIDE = 160

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


def drawn_scenes(
    seed: int,
    train: int = DEFAULT_COUNTS["train"],
    val: int = DEFAULT_COUNTS["val"],
    test: int = DEFAULT_COUNTS["test"],
    side: int = DEFAULT_SIDE,
) -> CaptionDataset:
    """Draws the data set, in memory.

    Args:
        seed: Any integer. The same seed gives the same pixels and captions; a longer
            split begins with the pictures of a shorter one.
        train: The number of training pictures.
        val: The number of validation pictures.
        test: The number of test pictures.
        side: Height and width of the pictures, in pixels.

    Returns:
        Pictures as PNG, each with five captions.

    Raises:
        ValueError: A count is negative, or `side` is below 32.
    """
    # Imported here, as both import this module.
    from kerasdl.data.scene_drawing import draw_png
    from kerasdl.data.scene_grammar import captions_of

    splits: dict[str, list[CaptionedPicture]] = {}
    for split, count in (("train", train), ("val", val), ("test", test)):
        if count < 0:
            raise ValueError(
                f"Received an invalid value for argument `{split}`, expected a "
                f"non-negative integer, got {count}."
            )
        splits[split] = []
        for index in range(count):
            drawn = scene(seed, split, index)
            splits[split].append(
                CaptionedPicture(
                    name=f"{split}/{index:05d}.png",
                    captions=captions_of(drawn),
                    data=draw_png(drawn, side),
                )
            )
    return CaptionDataset(**splits)


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
    held_out = frozenset().union(*HELD_OUT.values())
    common = [(c, s) for c in COLOURS for s in SHAPES if (c, s) not in held_out]
    pairs: list[tuple[str, str]] = []
    if HELD_OUT[split] and rng.random() < HELD_OUT_SHARE:
        pairs.append(_choose(rng, sorted(HELD_OUT[split])))
    while len(pairs) < count:
        pair = _choose(rng, common)
        if pair not in pairs:
            pairs.append(pair)
    # The held-out pair was drawn first and may stand anywhere.
    return sorted(pairs, key=lambda _: rng.random())


def _draw_sizes(rng: random.Random, count: int) -> tuple[list[str], list[float]]:
    """Sizes that fit side by side: drawn again until they do."""
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
