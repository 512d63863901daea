"""The built-in data set of pictures to classify: each shows one drawn shape.

Each picture shows one shape of some colour, size, place and turn on some background. Of
each shape one colour is held out of training, so that a classifier which goes by colour
is found out.
"""

from __future__ import annotations

import random

from kerasdl.data.drawn.scene_content import (
    BACKGROUNDS,
    COLOURS,
    GRADIENTS,
    SHAPES,
    Scene,
    SceneObject,
)
from kerasdl.data.drawn.scene_drawing import draw_png
from kerasdl.data.pictures.class_folders import SPLITS, LabelledPicture, PictureDataset

DEFAULT_SIDE = 96
# The shape's diameter as a share of the side, and how far it is turned, in degrees.
DIAMETERS = (0.3, 0.6)
LARGEST_TURN = 25.0
MARGIN = 0.05


def drawn_shapes(
    seed: int, train: int, val: int, test: int, side: int = DEFAULT_SIDE
) -> PictureDataset:
    """Draws the data set, in memory.

    Args:
        seed: Any integer. A longer split begins with the pictures of a shorter one.
        train: The number of training pictures; classes follow one another in turn.
        val: The number of validation pictures.
        test: The number of test pictures.
        side: Height and width of the pictures, in pixels.

    Returns:
        PNG pictures; the classes are `kerasdl.data.drawn.scene_content.SHAPES`.

    Raises:
        ValueError: A count is negative, or `side` is below 32.
    """
    splits: dict[str, list[LabelledPicture]] = {}
    for split, count in zip(SPLITS, (train, val, test), strict=True):
        if count < 0:
            raise ValueError(
                f"Received an invalid value for argument `{split}`, expected a "
                f"non-negative integer, got {count}."
            )
        splits[split] = [_picture(seed, split, index, side) for index in range(count)]
    return PictureDataset(class_names=SHAPES, **splits)


def _picture(seed: int, split: str, index: int, side: int) -> LabelledPicture:
    # Only `random`, whose values Python guarantees on every platform.
    rng = random.Random(f"shapes/{seed}/{split}/{index}")
    label = index % len(SHAPES)
    shape = SHAPES[label]
    colour = _choose(rng, shown_colours(split, shape))
    low, high = DIAMETERS
    diameter = low + (high - low) * rng.random()
    least = MARGIN + diameter / 2
    x, y = (least + (1 - 2 * least) * rng.random() for _ in range(2))
    drawn = Scene(
        arrangement="single",
        objects=(
            SceneObject(
                shape=shape,
                colour=colour,
                size="large",
                x=x,
                y=y,
                diameter=diameter,
                angle=LARGEST_TURN * (2 * rng.random() - 1),
            ),
        ),
        place="middle",
        background=_choose(rng, BACKGROUNDS),
        gradient=_choose(rng, GRADIENTS),
    )
    return LabelledPicture(
        name=f"{split}/{shape}/{index:05d}.png", label=label, data=draw_png(drawn, side)
    )


def shown_colours(split: str, shape: str) -> tuple[str, ...]:
    """The colours that a shape has in a split: in training all but one."""
    held_out = COLOURS[SHAPES.index(shape)]
    return tuple(c for c in COLOURS if split != "train" or c != held_out)


def _choose(rng: random.Random, options: tuple[str, ...]) -> str:
    return options[int(rng.random() * len(options))]
