"""The drawn scenes as a TensorFlow Datasets builder.

Importing this module registers it:

    import tensorflow_datasets as tfds
    import kerasdl.data.drawn.scenes_builder

    scenes = tfds.load("drawn_scenes", split="train")

Nothing is downloaded.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from kerasdl.data.captions.dataset import SPLITS
from kerasdl.data.drawn import scenes
from kerasdl.data.drawn.scene_content import COLOURS, SHAPES, SIZES, scene
from kerasdl.data.drawn.scene_grammar import CAPTIONS_PER_PICTURE


@dataclasses.dataclass(eq=False, kw_only=True)
class DrawnScenesConfig(tfds.core.BuilderConfig):
    """Which scenes, and how many.

    Attributes:
        seed: The seed of `kerasdl.data.drawn.scenes.drawn_scenes`.
        train: The number of training pictures.
        val: The number of validation pictures.
        test: The number of test pictures.
        side: Height and width of the pictures, in pixels.
    """

    seed: int = 0
    train: int = scenes.DEFAULT_COUNTS["train"]
    val: int = scenes.DEFAULT_COUNTS["val"]
    test: int = scenes.DEFAULT_COUNTS["test"]
    side: int = scenes.DEFAULT_SIDE


class DrawnScenes(tfds.core.GeneratorBasedBuilder):
    """Coloured shapes side by side and one above the other, each with five captions.

    Features of an example: `image` uint8 (side, side, 3); `captions` string (5,);
    `objects`, the shapes from left to right or from top to bottom: `shape`, `colour` and
    `size` as labels, `centre` (x, y) and `diameter` as shares of the side; `name` string.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "One to three shapes, alone, in a row or in a column."
    }
    BUILDER_CONFIGS: ClassVar[list[DrawnScenesConfig]] = [
        DrawnScenesConfig(name="default", description="The scenes of seed 0.")
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        side = self.builder_config.side
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Pictures of one to three coloured shapes in a place, a row or a column, "
                f"drawn from a seed, each with {CAPTIONS_PER_PICTURE} captions. Some "
                "pairs of colour and shape are held out of training."
            ),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(side, side, 3), encoding_format="png"
                    ),
                    "captions": tfds.features.Sequence(
                        tfds.features.Text(), length=CAPTIONS_PER_PICTURE
                    ),
                    "objects": tfds.features.Sequence(
                        {
                            "shape": tfds.features.ClassLabel(names=SHAPES),
                            "colour": tfds.features.ClassLabel(names=COLOURS),
                            "size": tfds.features.ClassLabel(names=SIZES),
                            "centre": tfds.features.Tensor(shape=(2,), dtype=np.float32),
                            "diameter": tfds.features.Scalar(dtype=np.float32),
                        }
                    ),
                    "name": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "captions"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {
            tfds.Split.TRAIN: self._generate_examples("train"),
            tfds.Split.VALIDATION: self._generate_examples("val"),
            tfds.Split.TEST: self._generate_examples("test"),
        }

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        config = self.builder_config
        counts = dict.fromkeys(SPLITS, 0) | {split: getattr(config, split)}
        dataset = scenes.drawn_scenes(config.seed, side=config.side, **counts)
        for index, picture in enumerate(getattr(dataset, split)):
            drawn = scene(config.seed, split, index)
            yield (
                picture.name,
                {
                    "image": io.BytesIO(picture.bytes()),
                    "captions": list(picture.captions),
                    "objects": [
                        {
                            "shape": shape.shape,
                            "colour": shape.colour,
                            "size": shape.size,
                            "centre": (shape.x, shape.y),
                            "diameter": shape.diameter,
                        }
                        for shape in drawn.objects
                    ],
                    "name": picture.name,
                },
            )
