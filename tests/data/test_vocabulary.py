"""Files of one class name a line. Vocabularies are tested in the rooms that use them."""

import os

import pytest

from kerasdl.data.vocabulary import (
    class_names_from_bytes,
    class_names_to_bytes,
    read_class_names,
)
from kerasdl.errors import InputError

# At all but the first two of these `str.splitlines` splits, and files of lines do not.
BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def test_names_go_through_a_file(tmp_path):
    names = ("golden retriever", "größer", " 犬 ", "a\tb")
    path = tmp_path / "labels.txt"
    path.write_bytes(class_names_to_bytes(names))
    assert read_class_names(path) == names
    path.write_bytes(class_names_to_bytes(names).replace(b"\n", b"\r\n"))
    assert read_class_names(path) == names


@pytest.mark.parametrize("character", BREAKS + "\0")
def test_a_name_that_would_shift_later_ones_is_refused(character):
    with pytest.raises(InputError, match=r"labels.txt: expected class names on one line"):
        class_names_to_bytes(["ant", f"be{character}e", "cat"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"ant\n\ncat\n", "class names on one line, got ''"),
        (b"ant\nant\n", "line 2: expected each class name once, got 'ant' again"),
        (b"ant\rbee\n", r"class names on one line, got 'ant\\rbee'"),
        (b"\xff\n", "expected UTF-8, got byte 0xff at position 0"),
    ],
)
def test_a_damaged_file_is_refused(data, message):
    with pytest.raises(InputError, match=f"labels.txt: .*{message}"):
        class_names_from_bytes(data)


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "labels.txt")
    with pytest.raises(InputError, match="expected a regular file"):
        read_class_names(tmp_path / "labels.txt")
