import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.data.texts.lines import (
    MAX_LINE_CHARACTERS,
    LineErrors,
    read_lines,
    read_unlabelled,
)
from kerasdl.errors import InputError


def lines_of(tmp_path, content, errors):
    path = tmp_path / "lines.txt"
    path.write_bytes(content)
    return list(read_lines(path, errors))


def test_lines_end_in_lf_or_cr_lf_and_nowhere_else(tmp_path):
    content = "\ufeffone\r\ntwo\u2028still\x0btwo\n\tthree".encode()
    assert lines_of(tmp_path, content, LineErrors()) == [
        (1, "one"),
        (2, "two\u2028still\x0btwo"),
        (3, "\tthree"),
    ]


@pytest.mark.parametrize("character", ["a", "ß", "犬", "😀"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_longest_line_is_counted_in_characters(tmp_path, character, bom, end):
    longest = character * MAX_LINE_CHARACTERS
    content = bom + longest.encode() + end
    assert lines_of(tmp_path, content, LineErrors()) == [(1, longest)]
    content = bom + longest.encode() + character.encode() + end
    with pytest.raises(InputError, match=r"line 1: expected at most 100000 characters"):
        lines_of(tmp_path, content, LineErrors())


@pytest.mark.parametrize("length", [400_004, 400_005, 400_006, 800_010, 800_011, 10**6])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_far_too_long_is_one_bad_line(tmp_path, length, end):
    errors = LineErrors(skip=True)
    content = b"first\n" + b"a" * length + end + (b"last\n" if end else b"")
    expected = [(1, "first"), (3, "last")] if end else [(1, "first")]
    assert lines_of(tmp_path, content, errors) == expected
    assert errors.count == 1
    assert "line 2: expected at most 100000 characters, got " in errors.first


def test_skipping_keeps_the_first_message(tmp_path):
    errors = LineErrors(skip=True)
    content = b"a\n\nb\n\xff\nc\x00\nd\n"
    assert lines_of(tmp_path, content, errors) == [(1, "a"), (3, "b"), (6, "d")]
    assert errors.count == 2
    assert errors.first.endswith(
        "lines.txt: line 4: expected UTF-8, got byte 0xff at byte 1"
    )


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blank_lines_are_passed_over_and_keep_their_places(tmp_path, end):
    path = tmp_path / "lines.txt"
    lines = ["\ufeffa film", "", " \t", "bad\0", "good", ""]
    path.write_bytes("".join(f"{line}{end}" for line in lines).encode())
    errors = LineErrors(skip=True)
    assert list(read_lines(path, errors)) == [(1, "a film"), (5, "good")]
    assert errors.count == 1
    assert read_unlabelled(path, errors) == ["a film", "", "", "", "good", ""]
    path.write_text("\n \n")
    with pytest.raises(InputError, match=r"lines.txt: expected sentences, .* got none"):
        read_unlabelled(path, errors)


def test_a_pipe_or_a_device_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    for path in (tmp_path / "pipe.txt", "/dev/zero"):
        with pytest.raises(InputError, match=f"{path}: .*expected a regular file"):
            list(read_lines(path, LineErrors(skip=True)))


def test_a_huge_line_without_an_end_is_refused_at_once(tmp_path):
    with open(tmp_path / "sparse.txt", "wb") as file:
        file.truncate(8 * 2**30)
    with pytest.raises(InputError, match=r"line 1: .*, got more than 400005 bytes"):
        list(read_lines(tmp_path / "sparse.txt", LineErrors()))


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n")).map(
            lambda text: "x" + text.removesuffix("\r")
        ),
        max_size=8,
    )
)
@settings(max_examples=25, deadline=None)
def test_lines_are_read_as_they_were_written(tmp_path_factory, texts):
    content = "".join(f"{text}\n" for text in texts).encode()
    read = lines_of(tmp_path_factory.mktemp("lines"), content, LineErrors())
    assert read == list(enumerate(texts, start=1))


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(InputError, match=r"none.txt: cannot be read: No such file"):
        list(read_lines(tmp_path / "none.txt", LineErrors()))
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        list(read_lines(tmp_path, LineErrors()))
