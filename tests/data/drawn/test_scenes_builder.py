import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from kerasdl.data.drawn import scene_content, scenes, scenes_builder

COUNTS = {"train": 6, "val": 3, "test": 4}


@pytest.fixture(scope="module")
def small_config():
    return scenes_builder.DrawnScenesConfig(
        name="small", description="A few.", seed=5, side=64, **COUNTS
    )


@pytest.fixture(scope="module")
def loaded(small_config, tmp_path_factory):
    return tfds.load(
        "drawn_scenes",
        data_dir=tmp_path_factory.mktemp("tfds"),
        builder_kwargs={"config": small_config},
        with_info=True,
    )


def test_splits_have_the_counts_of_the_config(loaded):
    _, info = loaded
    counts = {name: info.splits[name].num_examples for name in info.splits}
    assert counts == {"train": 6, "validation": 3, "test": 4}


@pytest.mark.parametrize(
    ("tfds_split", "split"), [("train", "train"), ("validation", "val"), ("test", "test")]
)
def test_reads_the_pictures_and_captions_that_are_drawn(loaded, tfds_split, split):
    expected = {
        picture.name: picture
        for picture in getattr(scenes.drawn_scenes(5, side=64, **COUNTS), split)
    }
    for example in tfds.as_numpy(loaded[0][tfds_split]):
        picture = expected.pop(example["name"].decode())
        captions = tuple(caption.decode() for caption in example["captions"])
        assert captions == picture.captions
        drawn = np.asarray(Image.open(io.BytesIO(picture.bytes())))
        np.testing.assert_array_equal(example["image"], drawn)
    assert not expected


def test_objects_are_those_of_the_scene(loaded):
    for example in tfds.as_numpy(loaded[0]["test"]):
        index = int(example["name"].decode()[len("test/") : -len(".png")])
        drawn = scene_content.scene(5, "test", index)
        objects = example["objects"]
        assert [scene_content.SHAPES[k] for k in objects["shape"]] == [
            shape.shape for shape in drawn.objects
        ]
        assert [scene_content.COLOURS[k] for k in objects["colour"]] == [
            shape.colour for shape in drawn.objects
        ]
        np.testing.assert_allclose(
            objects["centre"], [(shape.x, shape.y) for shape in drawn.objects], rtol=1e-6
        )


def test_the_registered_default_draws_the_default_counts():
    builder = tfds.builder("drawn_scenes", data_dir="unused")
    config = builder.builder_config
    counts = {split: getattr(config, split) for split in scenes.DEFAULT_COUNTS}
    assert counts == scenes.DEFAULT_COUNTS
    assert builder.info.features["image"].shape == (160, 160, 3)
