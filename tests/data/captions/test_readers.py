"""What holds of every layout of captions."""

import os

import pytest

from kerasdl.data.captions.readers import CaptionedPicture, read_captions
from kerasdl.errors import InputError
from tests.data.captions.caption_files import table_of, write


@pytest.mark.parametrize("name", ["captions.tsv", "captions.xml"])
def test_refuses_a_file_of_another_ending(tmp_path, name):
    path = write(tmp_path / name, "image,caption\na.jpg,A dog\n")
    with pytest.raises(InputError, match=rf"ending in .csv, .jsonl, .txt, got '{name}'"):
        read_captions(path)


def test_refuses_a_folder_of_no_layout(tmp_path):
    with pytest.raises(
        InputError, match=r"Flickr8k.token.txt, annotations/captions_\*.json or one of"
    ):
        read_captions(tmp_path)
    with pytest.raises(InputError, match="none: expected a folder or a table"):
        read_captions(tmp_path / "none")


def test_refuses_two_tables(tmp_path):
    write(tmp_path / "captions.csv", table_of(["a.jpg"]))
    write(tmp_path / "captions.txt", table_of(["a.jpg"]))
    with pytest.raises(InputError, match=r"one table .* captions.csv and captions.txt"):
        read_captions(tmp_path)


def test_refuses_a_data_set_without_a_picture(tmp_path):
    path = write(tmp_path / "a.csv", "image,caption,split\n,A dog,val\n,x,val\n")
    with pytest.raises(InputError, match=r"got none; the first bad line is .*: line 2"):
        read_captions(path, skip_bad_lines=True)


def test_a_data_set_may_be_for_testing_alone(tmp_path):
    path = write(tmp_path / "a.csv", "image,caption,split\na.jpg,A dog,test\n")
    dataset = read_captions(path)
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (0, 0, 1)


def test_a_missing_picture_is_told_when_it_is_read(tmp_path):
    path = write(
        tmp_path / "captions.csv", table_of(["gone.jpg", "here.jpg", "x" * 300 + ".jpg"])
    )
    write(tmp_path / "here.jpg", b"bytes")
    dataset = read_captions(path)
    pictures = {picture.name: picture for picture in dataset.train + dataset.val}
    assert pictures["here.jpg"].bytes() == b"bytes"
    with pytest.raises(InputError, match=r"gone.jpg: cannot be read: No such"):
        pictures["gone.jpg"].bytes()
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        pictures["x" * 300 + ".jpg"].bytes()


def test_a_picture_in_memory_needs_no_file():
    assert CaptionedPicture("a", ("A dog",), data=b"bytes").bytes() == b"bytes"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads files without permission")
def test_a_file_that_may_not_be_read(tmp_path):
    path = write(tmp_path / "captions.csv", table_of(["a.jpg"]))
    path.chmod(0)
    with pytest.raises(InputError, match=r"captions.csv: cannot be read: Permission"):
        read_captions(path)
