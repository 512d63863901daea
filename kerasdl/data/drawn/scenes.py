"""The built-in data set of captioned pictures: scenes drawn from a seed.

What is in a scene is in `scene_content`, which also says what is held out of training;
how it is drawn in `scene_drawing`; what is said of it in `scene_grammar`.
"""

from __future__ import annotations

from kerasdl.data.captions.dataset import CaptionDataset, CaptionedPicture
from kerasdl.data.drawn.scene_content import scene
from kerasdl.data.drawn.scene_drawing import draw_png
from kerasdl.data.drawn.scene_grammar import captions_of

DEFAULT_COUNTS = {"train": 3000, "val": 300, "test": 300}
DEFAULT_SIDE = 160


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
