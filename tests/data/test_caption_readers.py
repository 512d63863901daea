"""Readers on layouts written by the tests, and on the real ones where they are."""

import csv
import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.data.caption_readers import CaptionedPicture, read_captions
from kerasdl.data.vocabulary import caption_tokens
from kerasdl.errors import InputError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

examples = settings(max_examples=25, deadline=None)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def summary(pictures):
    return [(picture.name, picture.captions) for picture in pictures]


# Flickr8k


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
    (b"", "expected text, got none"),
    (b" \t ", "expected text, got none"),
    (b"b.jpg#0\tcaf\xe9", "expected UTF-8, got byte 0xe9 at byte 12"),
    (b"b.jpg#0\tA\0dog", "expected text, got NUL at character 10"),
    (b"b.jpg#0\t" + b"a" * 100_000, "at most 100000 characters, got 100008"),
    (b"b.jpg#0\t" + b"a" * 900_000, "at most 100000 characters, got 900009 bytes"),
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
    # An empty last line without a line end is no line.
    expected = 2 if line else 1
    assert dataset.skipped_lines == expected
    (note,) = dataset.notes
    assert f"{expected} bad lines skipped, the first: {path}: line 3: " in note


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("none.jpg", "with captions in Flickr8k.token.txt, got 'none.jpg'"),
        ("a.jpg", "each picture once, got 'a.jpg', .*trainImages.txt: line 2"),
        ("./b.jpg", r"each picture once, got './b.jpg', .*trainImages.txt: line 1"),
        ("../b.jpg", "inside the data set's folder, got '../b.jpg'"),
        ("x/../../b.jpg", "inside the data set's folder, got 'x/../../b.jpg'"),
        ("/etc/b.jpg", "inside the data set's folder, got '/etc/b.jpg'"),
        ("", "expected text, got none"),
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


# COCO


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
    path = coco / "annotations" / "captions_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"].append(annotation)
    write(path, json.dumps(content))
    with pytest.raises(InputError, match=rf"val2017.json: annotations\[1\]: .*{message}"):
        read_captions(coco)
    dataset = read_captions(coco, skip_bad_lines=True)
    assert dataset.skipped_lines == 1
    assert summary(dataset.val) == [("v.jpg", ("Val",))]


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
    path = coco / "annotations" / "captions_val2017.json"
    content = json.loads(path.read_text())
    content["images"].append(image)
    write(path, json.dumps(content))
    message = message.replace(" train", ".*train")
    with pytest.raises(InputError, match=rf"val2017.json: images\[1\]: .*{message}"):
        read_captions(coco)
    dataset = read_captions(coco, skip_bad_lines=True)
    assert dataset.skipped_lines == 1
    assert summary(dataset.val) == [("v.jpg", ("Val",))]


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


# Tables


def test_csv_with_splits(tmp_path):
    write(
        tmp_path / "captions.csv",
        "image,caption,split\r\n"
        'sub/a.png,"A dog, a cat and ""Rex""",train\r\n'
        "b.jpg,A bird,dev\r\n"
        "sub/a.png,Two animals,Train\r\n"
        "c.JPG,A fish,test\r\n",
    )
    write(tmp_path / "sub" / "a.png", b"beside")
    write(tmp_path / "images" / "b.jpg", b"within")
    dataset = read_captions(tmp_path)
    assert summary(dataset.train) == [
        ("sub/a.png", ('A dog, a cat and "Rex"', "Two animals"))
    ]
    assert summary(dataset.val) == [("b.jpg", ("A bird",))]
    assert summary(dataset.test) == [("c.JPG", ("A fish",))]
    assert dataset.train[0].bytes() == b"beside"
    assert dataset.val[0].bytes() == b"within"
    assert dataset.notes == ()


def test_csv_columns_in_any_order_after_a_byte_order_mark(tmp_path):
    path = write(
        tmp_path / "mine.csv", b"\xef\xbb\xbf Caption ,id,IMAGE\nA dog,7,a.jpg\n"
    )
    dataset = read_captions(path)
    assert summary(dataset.train) == [("a.jpg", ("A dog",))]
    assert dataset.notes == (f"{path}: columns not used: id",)


def test_json_lines(tmp_path):
    lines = [
        {"image": "a.jpg", "caption": "Ein Hünd", "split": "train", "id": 3},
        {"image": "b.jpg", "caption": "A cat", "split": "val"},
    ]
    path = write(
        tmp_path / "captions.jsonl", "".join(json.dumps(line) + "\n" for line in lines)
    )
    for root in (tmp_path, path, str(tmp_path)):
        dataset = read_captions(root)
        assert summary(dataset.train) == [("a.jpg", ("Ein Hünd",))]
        assert summary(dataset.val) == [("b.jpg", ("A cat",))]
        assert dataset.train[0].path == str(tmp_path / "a.jpg")


def table_of(names):
    return "image,caption\n" + "".join(f"{name},Picture {name}\n" for name in names)


def test_without_splits_a_tenth_is_for_validation_whatever_the_order(tmp_path):
    names = [f"{k}.jpg" for k in range(50)]
    dataset = read_captions(write(tmp_path / "one.csv", table_of(names)))
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (45, 5, 0)
    assert {p.name for p in dataset.train} | {p.name for p in dataset.val} == set(names)
    turned = read_captions(write(tmp_path / "two.csv", table_of(names[::-1])))
    assert {p.name for p in turned.val} == {p.name for p in dataset.val}


@pytest.mark.parametrize(("count", "val"), [(1, 0), (2, 1), (4, 1), (15, 2)])
def test_without_splits_few_pictures(tmp_path, count, val):
    names = [f"{k}.jpg" for k in range(count)]
    dataset = read_captions(write(tmp_path / "few.csv", table_of(names)))
    assert (len(dataset.train), len(dataset.val)) == (count - val, val)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"b.jpg,A cat", r"3 fields \(image,caption,split\), got 2: 'b.jpg,A cat'"),
        (b"b.jpg,A, cat,val", "3 fields .*, got 4: 'b.jpg,A, cat,val'"),
        (b'b.jpg,"A cat,val', "quotes that close on the line, got"),
        (b'b.jpg,"A" cat,val', "quotes that close on the line, got"),
        (b"b.jpg,A cat,holdout", "a split of train, val or test, got 'holdout'"),
        (b"b.jpg,A cat,", "a split of train, val or test, got ''"),
        (b"a.jpg,A cat,val", "in one split, got 'a.jpg' in val, .*train in .*: line 2"),
        (b"b.jpg,,val", "expected text, got none"),
        (b"b.jpg,...,val", "a caption with a word in it, got '...'"),
        (b"../b.jpg,A cat,val", "inside the data set's folder, got '../b.jpg'"),
        (b",A cat,val", "expected text, got none"),
        (b"", "expected text, got none"),
        (b"b.jpg,A c\xe3t,val", "expected UTF-8, got byte 0xe3 at byte 10"),
        (b"b.jpg,A c\0t,val", "got NUL at character 10"),
    ],
)
def test_csv_names_a_bad_line(tmp_path, line, message):
    path = write(
        tmp_path / "captions.csv",
        b"image,caption,split\na.jpg,A dog,train\n" + line + b"\nc.jpg,A cow,val\n",
    )
    with pytest.raises(InputError, match=f"captions.csv: line 3: .*{message}"):
        read_captions(path)
    dataset = read_captions(path, skip_bad_lines=True)
    assert dataset.skipped_lines == 1
    assert summary(dataset.train) == [("a.jpg", ("A dog",))]
    assert summary(dataset.val) == [("c.jpg", ("A cow",))]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("a.jpg,A dog", "header image,caption.*, got 'a.jpg,A dog'"),
        ("image,captions", "header image,caption.*, got 'image,captions'"),
        ("image,caption,image", "each column once, got 'image,caption,image'"),
        ("", "expected text, got none"),
    ],
)
def test_csv_refuses_another_header_even_where_bad_lines_are_skipped(
    tmp_path, header, message
):
    path = write(tmp_path / "captions.csv", f"{header}\na.jpg,A dog\n")
    with pytest.raises(InputError, match=f"captions.csv: line 1: .*{message}"):
        read_captions(path, skip_bad_lines=True)


def test_csv_that_is_empty(tmp_path):
    path = write(tmp_path / "captions.csv", "")
    with pytest.raises(InputError, match=r"line 1: expected the header .*, got ''"):
        read_captions(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "a JSON object with the strings image, caption .*, got '{'"),
        ('["b.jpg", "A cat"]', "a JSON object"),
        ('{"image": "b.jpg"}', "a JSON object"),
        ('{"image": "b.jpg", "caption": 3}', "a JSON object"),
        ('{"image": "b.jpg", "caption": "A", "split": null}', "a JSON object"),
        ("[" * 5000, "a JSON object"),
        ('{"image": "b.jpg", "caption": "A"}', "a split on every line or on none, got"),
        (
            '{"image": "b.jpg", "caption": "\\ud800", "split": "val"}',
            "the lone surrogate U.D800",
        ),
    ],
)
def test_json_lines_name_a_bad_line(tmp_path, line, message):
    good = '{"image": "a.jpg", "caption": "A dog", "split": "train"}'
    path = write(tmp_path / "captions.jsonl", f"{good}\n{line}\n")
    with pytest.raises(InputError, match=f"captions.jsonl: line 2: .*{message}"):
        read_captions(path)
    assert read_captions(path, skip_bad_lines=True).skipped_lines == 1


names = st.from_regex(r"[a-z0-9_ü]{1,8}\.(jpg|PNG|webp)", fullmatch=True)
captions = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r"), max_size=30
).filter(caption_tokens)
rows = st.lists(
    st.tuples(names, captions, st.sampled_from(["val", "test"])), min_size=1, max_size=12
)


def grouped(table):
    """What a reader should give, computed apart from it."""
    splits = {"val": {}, "test": {}}
    first = {}
    for name, caption, split in table:
        split = first.setdefault(name, split)
        splits[split].setdefault(name, []).append(" ".join(caption.split()))
    return {
        split: [(name, tuple(texts)) for name, texts in pictures.items()]
        for split, pictures in splits.items()
    }


@given(table=rows)
@examples
def test_tables_give_back_what_was_written(tmp_path_factory, table):
    first = {}
    table = [(name, text, first.setdefault(name, split)) for name, text, split in table]
    table.append(("training.jpg", "To train on", "train"))
    folder = tmp_path_factory.mktemp("tables")
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerows([("image", "caption", "split"), *table])
    as_csv = write(folder / "a.csv", buffer.getvalue())
    keys = ("image", "caption", "split")
    as_json = write(
        folder / "a.jsonl",
        "".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in table),
    )
    expected = grouped(table[:-1])
    for path in (as_csv, as_json):
        dataset = read_captions(path)
        assert summary(dataset.val) == expected["val"]
        assert summary(dataset.test) == expected["test"]


@given(content=st.binary(max_size=200), at=st.integers(0, 60))
@examples
@pytest.mark.parametrize("name", ["captions.csv", "captions.jsonl"])
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, name, content, at):
    good = {
        "captions.csv": b"image,caption\na.jpg,A dog\nb.jpg,A cat\n",
        "captions.jsonl": b'{"image": "a.jpg", "caption": "A dog"}\n' * 2,
    }[name]
    path = write(tmp_path_factory.mktemp("bytes") / name, good[:at] + content + good[at:])
    for skip in (False, True):
        try:
            dataset = read_captions(path, skip_bad_lines=skip)
        except InputError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)
        else:
            assert dataset.train
            assert all(picture.captions for picture in dataset.train)


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
        assert "#" in line and "\t" in line
        assert [picture.name for picture in dataset.train] == ["a.jpg"]


# What holds of every layout


@pytest.mark.parametrize("name", ["captions.tsv", "captions.json"])
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
    with pytest.raises(
        InputError, match=r"gone.jpg: the picture cannot be read: No such"
    ):
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
