"""Flickr8k in layouts written here, and the real one where it is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasdl.data.captions.readers import read_captions
from kerasdl.errors import InputError
from tests.data.captions.caption_files import SHARED, examples, summary, write


@pytest.fixture
def flickr(tmp_path):
    write(
        tmp_path / "Flickr8k.token.txt",
        "b.jpg#0\tA dog runs .\na.jpg#0\tA cat .\nb.jpg#1\tIt , runs\n"
        "c.jpg#0\tThree\nunused.jpg.1#0\tOn no list\n",
    )
    write(tmp_path / "Flickr_8k.trainImages.txt", "b.jpg\na.jpg\n")
    write(tmp_path / "Flickr_8k.devImages.txt", "c.jpg\n")
    (tmp_path / "images").mkdir()
    return tmp_path


def test_flickr8k_keeps_the_order_of_lists_and_captions(flickr):
    dataset = read_captions(flickr)
    assert summary(dataset.train) == [
        ("b.jpg", ("A dog runs .", "It , runs")),
        ("a.jpg", ("A cat .",)),
    ]
    assert summary(dataset.val) == [("c.jpg", ("Three",))]
    assert dataset.test == []
    assert dataset.train[0].path == str(flickr / "images" / "b.jpg")
    assert (dataset.skipped_lines, dataset.notes) == (0, ())


def test_flickr8k_as_its_archives_unpack(flickr):
    (flickr / "Flickr8k_text").mkdir()
    for path in flickr.glob("*.txt"):
        path.rename(flickr / "Flickr8k_text" / path.name)
    (flickr / "images").rename(flickr / "Flicker8k_Dataset")
    write(flickr / "Flickr8k_text" / "Flickr_8k.testImages.txt", "unused.jpg\n")
    write(
        flickr / "Flickr8k_text" / "Flickr8k.token.txt",
        "b.jpg#0\tB\r\na.jpg#0\tA\r\nc.jpg#0\tC\r\nunused.jpg#0\tD\r\n",
    )
    dataset = read_captions(flickr)
    assert summary(dataset.test) == [("unused.jpg", ("D",))]
    assert dataset.test[0].path == str(flickr / "Flicker8k_Dataset" / "unused.jpg")


BAD_FLICKR_LINES = [
    (b"b.jpg#0\tcaf\xe9", "expected UTF-8, got byte 0xe9 at byte 12"),
    (b"b.jpg#0\tA\0dog", "expected text, got NUL at character 10"),
    (b"b.jpg#0\t" + b"a" * 100_000, "at most 100000 characters, got 100008"),
    (
        b"b.jpg#0\t" + b"a" * 900_000,
        "100000 characters, got more than 400005 bytes",
    ),
    (b"b.jpg\tA dog", r"PICTURE#NUMBER, a tab and a caption, got 'b.jpg\\tA dog'"),
    (b"b.jpg#0 A dog", "PICTURE#NUMBER, a tab and a caption, got 'b.jpg#0 A dog'"),
    (b"b.jpg#0\t ", "expected text, got none"),
    (b"b.jpg#0\t.", "expected a caption with a word in it, got '.'"),
]


@pytest.mark.parametrize(("line", "message"), BAD_FLICKR_LINES)
def test_flickr8k_refuses_a_bad_caption_line(flickr, line, message):
    path = flickr / "Flickr8k.token.txt"
    lines = path.read_bytes().splitlines()
    write(path, b"\n".join([*lines[:2], line, *lines[2:], b""]))
    with pytest.raises(InputError, match=f"Flickr8k.token.txt: line 3: .*{message}"):
        read_captions(flickr)


@pytest.mark.parametrize(("line", "message"), BAD_FLICKR_LINES)
def test_flickr8k_skips_and_counts_a_bad_caption_line(flickr, line, message):
    before = read_captions(flickr)
    path = flickr / "Flickr8k.token.txt"
    lines = path.read_bytes().splitlines()
    write(path, b"\n".join([*lines[:2], line, *lines[2:], line]))
    dataset = read_captions(flickr, skip_bad_lines=True)
    assert (dataset.train, dataset.val) == (before.train, before.val)
    assert dataset.skipped_lines == 2
    (note,) = dataset.notes
    assert f"2 bad lines skipped, the first: {path}: line 3: " in note


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("none.jpg", "with captions in Flickr8k.token.txt, got 'none.jpg'"),
        ("a.jpg", "each picture once, got 'a.jpg', .*trainImages.txt: line 2"),
        ("./b.jpg", r"each picture once, got './b.jpg', .*trainImages.txt: line 1"),
        ("../b.jpg", "inside the data set's folder, got '../b.jpg'"),
        ("x/../../b.jpg", "inside the data set's folder, got 'x/../../b.jpg'"),
        ("/etc/b.jpg", "inside the data set's folder, got '/etc/b.jpg'"),
    ],
)
def test_flickr8k_refuses_a_bad_line_of_a_list(flickr, line, message):
    write(flickr / "Flickr_8k.devImages.txt", f"c.jpg\n{line}\n")
    with pytest.raises(InputError, match=f"devImages.txt: line 2: .*{message}"):
        read_captions(flickr)
    dataset = read_captions(flickr, skip_bad_lines=True)
    assert dataset.skipped_lines == 1
    assert [picture.name for picture in dataset.val] == ["c.jpg"]


def test_flickr8k_notes_names_that_are_no_pictures_once(flickr):
    write(flickr / "Flickr_8k.devImages.txt", "c.jpg\nd.gif\ne.txt\nf\ng.gif\n")
    dataset = read_captions(flickr)
    assert [picture.name for picture in dataset.val] == ["c.jpg"]
    assert dataset.skipped_lines == 0
    assert dataset.notes == (
        f"{flickr}: 4 left out, no pictures by their endings: d.gif, e.txt, f, …",
    )


def test_flickr8k_without_a_list_or_its_pictures(flickr):
    (flickr / "images").rmdir()
    with pytest.raises(InputError, match="pictures in one of the folders images, Images"):
        read_captions(flickr)
    (flickr / "images").mkdir()
    (flickr / "Flickr_8k.devImages.txt").unlink()
    with pytest.raises(InputError, match=r"devImages.txt: cannot be read: No such file"):
        read_captions(flickr)


@given(
    line=st.one_of(
        st.text(max_size=40),
        st.builds("{}#{}\t{}".format, st.text(), st.integers(0), st.text(max_size=9)),
    )
)
@examples
def test_any_flickr8k_line_is_read_or_refused_in_one_line(tmp_path_factory, line):
    root = tmp_path_factory.mktemp("flickr")
    (root / "images").mkdir()
    content = f"a.jpg#0\tA dog\nb.jpg#0\tA cat\n{line}\n"
    write(root / "Flickr8k.token.txt", content.encode("utf-8", "surrogatepass"))
    write(root / "Flickr_8k.trainImages.txt", "a.jpg\n")
    write(root / "Flickr_8k.devImages.txt", "b.jpg\n")
    try:
        dataset = read_captions(root)
    except InputError as error:
        assert "Flickr8k.token.txt: line " in str(error)
        assert "\n" not in str(error)
    else:
        assert not line.strip() or ("#" in line and "\t" in line)
        assert [picture.name for picture in dataset.train] == ["a.jpg"]


@pytest.mark.skipif(
    not (SHARED / "flickr8k").is_dir(), reason="shared/data/flickr8k is not here"
)
def test_the_real_flickr8k():
    dataset = read_captions(SHARED / "flickr8k")
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (800, 100, 0)
    assert all(len(p.captions) == 5 for p in dataset.train + dataset.val)
    assert dataset.train[0].name == "1001773457_577c3a7d70.jpg"
    assert dataset.train[0].captions[0] == "A black dog and a spotted dog are fighting"
    assert all(Path(p.path).is_file() for p in dataset.train + dataset.val)
    assert (dataset.skipped_lines, dataset.notes) == (0, ())


@pytest.mark.parametrize("folder", ["images", "flickr30k-images", "flickr30k_images"])
@pytest.mark.parametrize("form", ["token", "table"])
def test_flickr30k(tmp_path, form, folder):
    (tmp_path / folder).mkdir()
    captions = [
        (f"{i}.jpg", k, f"Caption {k} , of {i} .") for i in range(30) for k in "01"
    ]
    if form == "token":
        lines = [f"{name}#{number}\t{text}" for name, number, text in captions]
        path = write(tmp_path / "results_20130124.token", "\n".join(lines))
    else:
        lines = [f"{name}| {number}| {text}" for name, number, text in captions]
        # As in every copy of the table, a line lacks its second bar.
        lines[9] = lines[9].replace("| 1|", "| 1  ")
        lines = ["image_name| comment_number| comment", *lines]
        path = write(tmp_path / "results.csv", "\n".join(lines))
    for root in (tmp_path, path):
        dataset = read_captions(root)
        assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (27, 3, 0)
        pictures = {picture.name: picture for picture in dataset.train + dataset.val}
        assert pictures["4.jpg"].captions == ("Caption 0 , of 4 .", "Caption 1 , of 4 .")
        assert pictures["4.jpg"].path == str(tmp_path / folder / "4.jpg")
        assert dataset.skipped_lines == 0


def test_flickr30k_refuses_a_bad_line(tmp_path):
    (tmp_path / "images").mkdir()
    write(tmp_path / "results.csv", "image_name| comment_number| comment\na.jpg, 0, A\n")
    with pytest.raises(InputError, match=r"line 2: expected PICTURE. NUMBER. CAPT"):
        read_captions(tmp_path)
    write(tmp_path / "results.csv", "../a.jpg| 0| A dog\nb.jpg| 0| A cat\n")
    with pytest.raises(InputError, match=r"line 1: expected a picture inside the da"):
        read_captions(tmp_path)
    write(tmp_path / "other.token", "a.jpg#0\tA dog\n")
    with pytest.raises(InputError, match=r"one file .*, got other.token and results.csv"):
        read_captions(tmp_path)
