import io
import urllib.error

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from kerasdl.data.pictures import hymenoptera_builder
from kerasdl.data.pictures.tfds_sets import read_picture_tfds
from kerasdl.errors import InputError


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(request, timeout):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def jpeg(value):
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 10, 3), value, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def manual(tmp_path):
    """A folder of TFDS with the zip's contents, unpacked by hand."""
    root = tmp_path / "downloads" / "manual" / "hymenoptera_data"
    for number, name in enumerate(
        ("train/ants/a.jpg", "train/ants/b.jpg", "train/bees/c.jpg", "val/bees/d.jpg")
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(40 * number))
    (root / "val" / "ants").mkdir()
    (root / "train" / "ants" / "imageNotFound.gif").write_bytes(b"GIF89a")
    return tmp_path


def test_hymenoptera_from_the_manual_folder(manual):
    dataset = read_picture_tfds("hymenoptera", folder=str(manual))
    assert dataset.class_names == ("ants", "bees")
    assert sorted(p.label for p in dataset.train) == [0, 0, 1]
    assert [p.label for p in dataset.val] == [1] and dataset.test == []
    assert dataset.val[0].bytes() == jpeg(120)  # the file's own bytes
    again = read_picture_tfds("hymenoptera", folder=str(manual))  # prepared by now
    assert [p.name for p in again.train] == [p.name for p in dataset.train]


def test_the_builder_knows_the_zip():
    (info,) = hymenoptera_builder.Hymenoptera.url_infos.values()
    assert info.size == 47_286_322 and len(info.checksum) == 64
    assert set(hymenoptera_builder.Hymenoptera.url_infos) == {hymenoptera_builder.URL}


def test_without_a_network_it_says_so_at_once(tmp_path):
    with pytest.raises(InputError, match=r"tfds:hymenoptera: not prepared .*pytorch.org"):
        read_picture_tfds("hymenoptera", folder=str(tmp_path))


def test_an_unknown_set_is_refused(tmp_path):
    with pytest.raises(InputError, match="tfds:no_such_set: no such set"):
        read_picture_tfds("no_such_set", folder=str(tmp_path))


def test_a_set_of_captions_is_refused(tmp_path):
    import kerasdl.data.drawn.scenes_builder  # noqa: F401 (registers drawn_scenes)

    with pytest.raises(
        InputError, match=r"tfds:drawn_scenes: expected a label.*captions"
    ):
        read_picture_tfds("drawn_scenes", folder=str(tmp_path))


class OneSplit(tfds.core.GeneratorBasedBuilder):
    """A set with training examples alone."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "picture": tfds.features.Image(encoding_format="jpeg"),
                    "kind": tfds.features.ClassLabel(names=["dark", "light"]),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(40):
            value = jpeg(number * 6)
            yield number, {"picture": io.BytesIO(value), "kind": int(number >= 20)}


def test_a_set_without_validation_is_divided(tmp_path):
    dataset = read_picture_tfds("one_split", val_share=0.4, folder=str(tmp_path))
    assert dataset.class_names == ("dark", "light")
    assert len(dataset.train) + len(dataset.val) == 40 and 4 <= len(dataset.val) <= 28
    assert "held out by the hash" in dataset.notes[0]
