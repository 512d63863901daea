import io
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kerasdl.data.pictures.class_folders import (
    LabelledPicture,
    content_digest,
    hold_out,
    is_held_out,
    read_class_folders,
    read_test_folder,
)
from kerasdl.errors import InputError


def picture(value):
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write(root, *names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))


def test_splits_of_class_folders(tmp_path):
    write(
        tmp_path,
        *("train/bees/b.JPG", "train/ants/deeper/a.png", "train/ants/z.webp"),
        *("val/ants/c.png", "test/bees/d.png", "train/ants/.hidden.png"),
        *("train/ants/imageNotFound.gif", "train/bees/notes.txt", "val/bees/Thumbs.db"),
    )
    dataset = read_class_folders(tmp_path)
    assert dataset.class_names == ("ants", "bees")
    assert [(p.name, p.label) for p in dataset.train] == [
        ("train/ants/z.webp", 0),
        ("train/ants/deeper/a.png", 0),
        ("train/bees/b.JPG", 1),
    ]
    assert [(p.name, p.label) for p in dataset.val] == [("val/ants/c.png", 0)]
    assert [(p.name, p.label) for p in dataset.test] == [("test/bees/d.png", 1)]
    assert dataset.train[2].bytes() == picture(0)
    (note,) = dataset.notes
    assert "2 left out" in note and "train/ants/imageNotFound.gif" in note


def test_one_folder_is_divided_by_content(tmp_path):
    write(tmp_path, *(f"{c}/{i}.png" for c in ("ants", "bees") for i in range(60)))
    copy = tmp_path / "bees" / "copy.png"
    copy.write_bytes((tmp_path / "ants" / "7.png").read_bytes())
    dataset = read_class_folders(tmp_path, val_share=0.3)
    assert len(dataset.train) + len(dataset.val) == 121
    assert 15 <= len(dataset.val) <= 60
    assert not {p.bytes() for p in dataset.train} & {p.bytes() for p in dataset.val}
    assert "held out by the hash" in dataset.notes[0]
    # What is held out does not depend on what else is there.
    (tmp_path / "ants" / "7.png").unlink()
    fewer = read_class_folders(tmp_path, val_share=0.3)
    assert {p.name for p in fewer.val} | {"ants/7.png"} >= {p.name for p in dataset.val}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=8)), st.floats(0, 0.99))
def test_hold_out_keeps_copies_together(contents, share):
    pictures = [LabelledPicture(str(i), i % 2, data=d) for i, d in enumerate(contents)]
    train, val = hold_out(pictures, share)
    assert not {p.data for p in train} & {p.data for p in val}
    assert sorted((*train, *val), key=lambda p: int(p.name)) == pictures


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=3)), min_size=1),
    st.floats(0, 0.99),
)
def test_hold_out_leaves_every_class_a_picture(examples, share):
    pictures = [LabelledPicture(f"{d}", label, data=d) for label, d in examples]
    train, _ = hold_out(pictures, share)
    assert {p.label for p in train} == {p.label for p in pictures}


def test_the_share_held_out_is_the_share_asked_for():
    digests = [content_digest(i.to_bytes(4, "big")) for i in range(4000)]
    held = [is_held_out(digest, 0.2) for digest in digests]
    assert abs(np.mean(held) - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 4000)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(InputError, match=f"val_share must be .*got {share}"):
        hold_out([], share)


def test_what_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"must name a folder, got '.*nowhere'"):
        read_class_folders(tmp_path / "nowhere")
    write(tmp_path, "one.png")
    with pytest.raises(InputError, match="pictures in class folders, got none"):
        read_class_folders(tmp_path)


def test_classes_are_checked(tmp_path):
    write(tmp_path / "a", "train/ants/1.png", "val/ants/2.png")
    with pytest.raises(InputError, match="at least two classes, got ants"):
        read_class_folders(tmp_path / "a")
    write(tmp_path / "b", "train/ants/1.png", "train/bees/2.png", "val/wasps/3.png")
    with pytest.raises(InputError, match="expected the classes ants, bees, got 'wasps'"):
        read_class_folders(tmp_path / "b")
    write(tmp_path / "c", "train/ants/1.png", "val/ants/2.png")
    (tmp_path / "c" / "train" / "bees").mkdir()
    with pytest.raises(InputError, match=r"training pictures of every class.*bees"):
        read_class_folders(tmp_path / "c")
    write(tmp_path / "d", "val/ants/1.png", "val/bees/2.png")
    with pytest.raises(InputError, match="d/val, no train"):
        read_class_folders(tmp_path / "d")


def test_a_test_folder_has_the_classes_of_training(tmp_path):
    write(tmp_path, "bees/1.png", "ants/2.png", "x/test/bees/3.png")
    names = ("ants", "bees")
    assert [p.label for p in read_test_folder(tmp_path / "x", names)] == [1]
    with pytest.raises(InputError, match="got 'x'"):
        read_test_folder(tmp_path, names)
    with pytest.raises(InputError, match=r"data.test must name a folder, got '.*none'"):
        read_test_folder(tmp_path / "none", names)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: expected pictures"):
        read_test_folder(tmp_path / "empty", names)


def test_a_file_that_is_gone_is_named(tmp_path):
    gone = LabelledPicture("gone.png", 0, path=str(tmp_path / "gone.png"))
    with pytest.raises(InputError, match=r"gone.png: cannot be read: No such file"):
        gone.bytes()


@pytest.mark.parametrize(
    ("train", "val"),
    [("Train", "Val"), ("Training", "Testing"), ("TRAIN", "VAL"), ("train", "Valid")],
)
def test_split_folders_have_any_case(tmp_path, train, val):
    write(
        tmp_path, *(f"{s}/{c}/{i}.png" for s in (train, val) for c in "ab" for i in "12")
    )
    (tmp_path / "notes").mkdir()
    dataset = read_class_folders(tmp_path)
    assert dataset.class_names == ("a", "b")
    if val == "Testing":
        assert len(dataset.test) == 4
        assert len(dataset.train) + len(dataset.val) == 4
    else:
        assert (len(dataset.train), len(dataset.val)) == (4, 4)
    assert dataset.notes[0] == f"{tmp_path}: folders of no split left out: notes"


def test_two_folders_of_a_split_are_refused(tmp_path):
    write(tmp_path, "train/a/1.png", "train/b/2.png", "val/a/3.png", "Dev/a/4.png")
    with pytest.raises(InputError, match="one folder a split, got Dev and val"):
        read_class_folders(tmp_path)


@pytest.mark.parametrize("split", ["train", "val", "Test"])
@pytest.mark.parametrize("flat", [False, True])
def test_a_split_without_a_picture_in_a_class_folder_is_refused(tmp_path, split, flat):
    write(tmp_path, "train/a/1.png", "train/b/2.png", "val/a/3.png")
    if (tmp_path / split).exists():
        shutil.rmtree(tmp_path / split)
    (tmp_path / split).mkdir()
    if flat:
        write(tmp_path, f"{split}/4.png")
    with pytest.raises(InputError, match=f"{split}: expected pictures in class folders"):
        read_class_folders(tmp_path)


def test_a_linked_folder_below_a_class_is_read(tmp_path):
    write(
        tmp_path, "data/cat/a.png", "data/dog/b.png", *(f"far/{i}.png" for i in "12345")
    )
    (tmp_path / "data" / "dog" / "more").symlink_to(tmp_path / "far")
    dataset = read_class_folders(tmp_path / "data", val_share=0)
    assert [p.label for p in dataset.train] == [0] + [1] * 6


def test_an_unreadable_picture_is_left_for_the_run_to_skip(tmp_path):
    write(tmp_path, *(f"{c}/{i}.png" for c in "ab" for i in range(30)))
    (tmp_path / "b" / "gone.png").symlink_to("nowhere.png")
    dataset = read_class_folders(tmp_path)
    assert len(dataset.train) + len(dataset.val) == 61
    assert "b/gone.png" in [picture.name for picture in dataset.train]


def test_a_class_name_that_would_shift_later_labels_is_refused(tmp_path):
    write(tmp_path, "ant/1.png", "dog\ncat/2.png", "eel/3.png")
    with pytest.raises(InputError, match=r"class names on one line, got 'dog\\ncat'"):
        read_class_folders(tmp_path)
