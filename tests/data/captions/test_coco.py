"""COCO in layouts written here, and the real one where it is."""

import json
from pathlib import Path

import pytest

from kerasdl.data.captions.readers import read_captions
from kerasdl.errors import InputError
from tests.data.captions.caption_files import SHARED, summary, write


def coco_json(names, captions, **more):
    images = [{"id": 10 + k, "file_name": name} for k, name in enumerate(names)]
    annotations = [{"image_id": 10 + k, "caption": text} for k, text in captions]
    return json.dumps({"images": images, "annotations": annotations} | more)


@pytest.fixture
def coco(tmp_path):
    write(
        tmp_path / "annotations" / "captions_train2017.json",
        coco_json(["b.jpg", "a.jpg"], [(1, "A cat."), (0, "A\ndog "), (1, "Cat")]),
    )
    write(
        tmp_path / "annotations" / "captions_val2017.json",
        coco_json(["v.jpg"], [(0, "Val")]),
    )
    (tmp_path / "train2017").mkdir()
    (tmp_path / "val2017").mkdir()
    return tmp_path


def test_coco_keeps_the_order_of_images_and_annotations(coco):
    dataset = read_captions(coco)
    assert summary(dataset.train) == [
        ("b.jpg", ("A dog",)),
        ("a.jpg", ("A cat.", "Cat")),
    ]
    assert summary(dataset.val) == [("v.jpg", ("Val",))]
    assert dataset.val[0].path == str(coco / "val2017" / "v.jpg")
    assert dataset.test == []


@pytest.mark.parametrize("folder", ["images/val2017", "images"])
def test_coco_finds_its_pictures(coco, folder):
    (coco / "val2017").rmdir()
    (coco / folder).mkdir(parents=True)
    assert read_captions(coco).val[0].path == str(coco / folder / "v.jpg")


def test_coco_without_the_folder_of_its_pictures(coco):
    (coco / "val2017").rmdir()
    with pytest.raises(InputError, match="the folders val2017, images/val2017, images"):
        read_captions(coco)


def test_coco_leaves_out_pictures_without_a_caption(coco):
    path = coco / "annotations" / "captions_val2017.json"
    write(path, coco_json(["v.jpg", "w.jpg", "x.jpg"], [(1, "Second")]))
    dataset = read_captions(coco)
    assert summary(dataset.val) == [("w.jpg", ("Second",))]
    assert dataset.notes == (
        f"{path}: 2 pictures without a caption left out, the first: v.jpg",
    )


def check_bad_entry(coco, key, entry, message):
    """An entry after the good one is named, and can be skipped."""
    path = coco / "annotations" / "captions_val2017.json"
    content = json.loads(path.read_text())
    content[key].append(entry)
    write(path, json.dumps(content))
    with pytest.raises(InputError, match=rf"val2017.json: {key}\[1\]: .*{message}"):
        read_captions(coco)
    dataset = read_captions(coco, skip_bad_lines=True)
    assert dataset.skipped_lines == 1
    assert summary(dataset.val) == [("v.jpg", ("Val",))]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"image_id": 10}, "image_id .a number. and caption .a string., got {'image_id"),
        ({"image_id": "10", "caption": "A"}, "image_id .a number.*got {'image_id': '10'"),
        ({"image_id": True, "caption": "A"}, "image_id .a number.*got {'image_id': True"),
        ({"image_id": 10, "caption": ["A"]}, "caption .a string.*got {'image_id': 10"),
        ("A", "expected an object .*, got 'A'"),
        ({"image_id": 7, "caption": "A"}, "id of one of images, got image_id 7"),
        ({"image_id": 10, "caption": " \n"}, "expected text, got none"),
        ({"image_id": 10, "caption": "!"}, "a caption with a word in it, got '!'"),
        ({"image_id": 10, "caption": "a\0"}, "got NUL at character 2"),
        ({"image_id": 10, "caption": "a\ud83d"}, r"got the lone surrogate U\+D83D"),
        ({"image_id": 10, "caption": "a" * 100_001}, "at most 100000 characters, got"),
    ],
)
def test_coco_names_a_bad_annotation(coco, annotation, message):
    check_bad_entry(coco, "annotations", annotation, message)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ({"id": 11}, "id .a number. and file_name .a string., got {'id': 11}"),
        ({"id": 11, "file_name": "../x.jpg"}, "the data set's folder, got '../x.jpg'"),
        ({"id": 10, "file_name": "x.jpg"}, "each id once, got 10 again"),
        ({"id": 11, "file_name": "a.jpg"}, r"got 'a.jpg', .* train2017.json: images.1"),
    ],
)
def test_coco_names_a_bad_image(coco, image, message):
    message = message.replace(" train", ".*train")
    check_bad_entry(coco, "images", image, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{\n"images": [],\n}', r"line 3: expected JSON, got an error at column 1"),
        (b'{"images": "caf\xe9"}', "expected UTF-8, got byte 0xe9 at byte 16"),
        (b"[1, 2]", r"an object with the list images, got \[1, 2\]"),
        (b'{"images": []}', "an object with the list annotations, got {'images"),
        (b'{"annotations": []}', "an object with the list images, got {'annotations"),
        (b"[" * 100_000, "expected JSON, got .*recursion"),
        (b'{"images": ' + b"9" * 5000 + b"}", "expected JSON, got Exceeds the limit"),
        (b"", "line 1: expected JSON, got an error at column 1"),
    ],
)
def test_coco_refuses_a_file_that_is_no_such_json(coco, content, message):
    write(coco / "annotations" / "captions_val2017.json", content)
    with pytest.raises(InputError, match=f"captions_val2017.json: .*{message}"):
        read_captions(coco, skip_bad_lines=True)


def test_coco_refuses_two_years(coco):
    write(coco / "annotations" / "captions_val2014.json", coco_json([], []))
    with pytest.raises(
        InputError, match=r"one captions_val.*, got captions_val2014.json and .*2017.json"
    ):
        read_captions(coco)


@pytest.mark.skipif(not (SHARED / "coco").is_dir(), reason="shared/data/coco is not here")
def test_the_real_coco():
    dataset = read_captions(SHARED / "coco")
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (50, 26, 0)
    assert all(len(p.captions) == 5 for p in dataset.train + dataset.val)
    assert dataset.val[0].captions[0] == (
        "A kitchen filled with a stove top oven and a refrigerator."
    )
    assert all(Path(p.path).is_file() for p in dataset.train + dataset.val)
    assert (dataset.skipped_lines, dataset.notes) == (0, ())
