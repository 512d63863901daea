"""Captioned sets of TensorFlow Datasets, prepared from the package's own drawings."""

import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import kerasdl.data.drawn.scenes_builder
from kerasdl.data.captions.readers import read_captions
from kerasdl.data.captions.tfds_sets import unpack_tfds
from kerasdl.data.drawn.scenes import drawn_scenes
from kerasdl.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASDL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class TinyCoco(tfds.core.GeneratorBasedBuilder):
    """A set with the features and the splits that coco_captions has."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        caption = {"id": np.int64, "text": tfds.features.Text()}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "image/filename": tfds.features.Text(),
                    "captions": tfds.features.Sequence(caption),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {
            s: self._generate_examples(s) for s in ("train", "restval", "val", "test")
        }

    def _generate_examples(self, split):
        image = io.BytesIO()
        Image.new("RGB", (9, 8), "red").save(image, "JPEG")
        image.seek(0)
        captions = [{"id": k, "text": f"A {split} picture, {k}."} for k in range(2)]
        name = f"{split}.jpg"
        yield 0, {"image": image, "image/filename": name, "captions": captions}


def test_coco_captions_of_tfds(tmp_path, cache):
    dataset = read_captions("tfds:tiny_coco", tfds_folder=str(tmp_path))
    assert [p.captions[1] for p in dataset.train] == [
        "A train picture, 1.",
        "A restval picture, 1.",
    ]
    assert [len(s) for s in (dataset.val, dataset.test)] == [1, 1]
    with Image.open(io.BytesIO(dataset.val[0].bytes())) as picture:
        assert (picture.format, picture.size) == ("JPEG", (9, 8))
    (table,) = cache.rglob("captions.jsonl")
    written = table.stat().st_mtime_ns
    again = read_captions("tfds:tiny_coco", tfds_folder=str(tmp_path))
    assert again == dataset and table.stat().st_mtime_ns == written


def test_our_own_scenes(tmp_path):
    builder = kerasdl.data.drawn.scenes_builder.DrawnScenes
    config = builder.BUILDER_CONFIGS[0]
    small = dict.fromkeys(("train", "val", "test"), 2)
    with pytest.MonkeyPatch.context() as patch:
        for split, count in small.items():
            patch.setattr(config, split, count)
        dataset = read_captions("tfds:drawn_scenes", tfds_folder=str(tmp_path))
    expected = drawn_scenes(0, **small)
    for split in small:
        given = {p.bytes(): p.captions for p in getattr(dataset, split)}
        assert given == {p.bytes(): p.captions for p in getattr(expected, split)}


def test_a_set_without_captions_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"tfds:no_such_set_here: no such set"):
        unpack_tfds("no_such_set_here", str(tmp_path))
