"""CSV and JSON-lines tables of captions."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasdl.data.captions.readers import read_captions
from kerasdl.data.captions.tokens import caption_tokens
from kerasdl.errors import InputError
from tests.data.captions.caption_files import examples, summary, table_of, write


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
        (b'b.jpg,"A cat,val', "quotes that close: "),
        (b'b.jpg,"A" cat,val', "comma-separated fields, got ',' expected after"),
        (b"b.jpg,A cat,holdout", "a split of train, val or test, got 'holdout'"),
        (b"b.jpg,A cat,", "a split of train, val or test, got ''"),
        (b"a.jpg,A cat,val", "in one split, got 'a.jpg' in val, .*train in .*: line 2"),
        (b"b.jpg,,val", "expected text, got none"),
        (b"b.jpg,...,val", "a caption with a word in it, got '...'"),
        (b"../b.jpg,A cat,val", "inside the data set's folder, got '../b.jpg'"),
        (b",A cat,val", "expected text, got none"),
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
        ("image,words", "header image,caption.*, got 'image,words'"),
        ("image,caption,image", "each column once, got 'image,caption,image'"),
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
        ("{", "a JSON object, got '{'"),
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


@pytest.mark.parametrize("caption", ["text", "caption"])
def test_hugging_face_metadata_beside_the_pictures(tmp_path, caption):
    write(tmp_path / "metadata.csv", f"file_name,{caption}\na.png,A dog\nb.png,A cat\n")
    write(tmp_path / "a.png", b"beside")
    dataset = read_captions(tmp_path)
    pictures = {picture.name: picture for picture in dataset.train + dataset.val}
    assert pictures["a.png"].captions == ("A dog",)
    assert pictures["a.png"].bytes() == b"beside"


def test_hugging_face_metadata_in_a_folder_a_split(tmp_path):
    rows = {
        "train": {"file_name": "0.png", "text": "A dog"},
        "validation": {"file_name": "0.png", "captions": ["A cat", "A kitten"]},
        "test": {"file_name": "deep/0.png", "text": "A cow"},
    }
    for split, row in rows.items():
        write(tmp_path / split / "metadata.jsonl", json.dumps(row) + "\n")
    dataset = read_captions(tmp_path)
    assert summary(dataset.train) == [("train/0.png", ("A dog",))]
    assert summary(dataset.val) == [("validation/0.png", ("A cat", "A kitten"))]
    assert dataset.test[0].path == str(tmp_path / "test" / "deep" / "0.png")
    write(tmp_path / "dev" / "metadata.csv", "file_name,text\n0.png,A\n")
    with pytest.raises(InputError, match="expected one folder a split, got two of val"):
        read_captions(tmp_path)


def test_blank_lines_and_quoted_line_breaks(tmp_path):
    path = write(
        tmp_path / "captions.csv",
        'image,caption\n\na.jpg,"A dog\nruns, ""fast"""\n\nb.jpg,A cat\n\n',
    )
    dataset = read_captions(path)
    captions = sorted(p.captions for p in dataset.train + dataset.val)
    assert captions == [("A cat",), ('A dog runs, "fast"',)]
    assert dataset.skipped_lines == 0
