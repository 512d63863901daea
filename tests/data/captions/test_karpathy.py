"""Karpathy's json of COCO, Flickr8k and Flickr30k."""

import json

import pytest

from kerasdl.data.captions.readers import read_captions
from kerasdl.errors import InputError
from tests.data.captions.caption_files import summary, write


def image(name, split, *captions, **more):
    sentences = [{"raw": text, "tokens": text.split(), "sentid": 0} for text in captions]
    return {"filename": name, "split": split, "sentences": sentences, "imgid": 0} | more


@pytest.fixture
def coco(tmp_path):
    images = [
        image("a.jpg", "train", "A dog.", "A hound.", filepath="train2014", cocoid=1),
        image("b.jpg", "restval", "A cat.", filepath="val2014"),
        image("c.jpg", "val", "A cow.", filepath="val2014"),
        image("d.jpg", "test", "A hen.", filepath="val2014"),
    ]
    content = json.dumps({"images": images, "dataset": "coco"})
    write(tmp_path / "dataset_coco.json", content)
    for folder in ("train2014", "val2014"):
        (tmp_path / folder).mkdir()
    return tmp_path


def test_coco_by_karpathy(coco):
    for root in (coco, coco / "dataset_coco.json"):
        dataset = read_captions(root)
        assert summary(dataset.train) == [
            ("train2014/a.jpg", ("A dog.", "A hound.")),
            ("val2014/b.jpg", ("A cat.",)),
        ]
        assert summary(dataset.val) == [("val2014/c.jpg", ("A cow.",))]
        assert summary(dataset.test) == [("val2014/d.jpg", ("A hen.",))]
        assert dataset.train[1].path == str(coco / "val2014" / "b.jpg")


def test_pictures_of_coco_in_images(coco):
    (coco / "images").mkdir()
    (coco / "train2014").rename(coco / "images" / "train2014")
    dataset = read_captions(coco)
    assert dataset.train[0].path == str(coco / "images" / "train2014" / "a.jpg")


@pytest.mark.parametrize("folder", ["flickr30k-images", "images", "."])
def test_flickr30k_by_karpathy(tmp_path, folder):
    images = [image("1.jpg", "train", "A dog ."), image("2.jpg", "test", "A cat .")]
    write(tmp_path / "dataset_flickr30k.json", json.dumps({"images": images}))
    (tmp_path / folder).mkdir(exist_ok=True)
    dataset = read_captions(tmp_path)
    assert summary(dataset.test) == [("2.jpg", ("A cat .",))]
    assert dataset.train[0].path == str(tmp_path / folder / "1.jpg")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"filename": "x.jpg"}, "an object with filename, split and sentences"),
        ([1], "an object with filename"),
        (image("x.jpg", "val") | {"sentences": [{"raw": 1}]}, "each with the string raw"),
        (image("x.jpg", "holdout", "A"), "restval, val or test, got 'holdout'"),
        (image("../x.jpg", "val", "A"), "inside the data set's folder"),
        (image("x.jpg", "val", "."), "a caption with a word in it"),
        (image("a.jpg", "val", "A", filepath="train2014"), "each picture once, got 'tr"),
        (image("x.jpg", "val", "A", filepath=3), "an object with filename"),
    ],
)
def test_a_bad_entry_is_named(coco, entry, message):
    path = coco / "dataset_coco.json"
    content = json.loads(path.read_text())
    content["images"].append(entry)
    write(path, json.dumps(content))
    with pytest.raises(InputError, match=rf"dataset_coco.json: images\[4\]: .*{message}"):
        read_captions(coco)
    dataset = read_captions(coco, skip_bad_lines=True)
    assert dataset.skipped_lines == 1
    assert len(dataset.val) == 1


def test_another_json_is_refused(tmp_path):
    path = write(tmp_path / "dataset_coco.json", "[1]")
    with pytest.raises(InputError, match=r"an object with the list images, got \[1\]"):
        read_captions(path)
    write(path, "[" * 99_999)
    with pytest.raises(InputError, match="expected JSON, got"):
        read_captions(path)
