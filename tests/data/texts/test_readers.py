import csv
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.data.texts import tables
from kerasdl.data.texts.dataset import sort_labels
from kerasdl.data.texts.readers import read_texts
from kerasdl.errors import InputError

COLUMNS = {"text_column": "text", "label_column": "label"}


def write(folder, **files):
    for name, content in files.items():
        stem, _, suffix = name.partition("_")
        data = content if isinstance(content, bytes) else content.encode()
        (folder / f"{stem}.{suffix}").write_bytes(data)
    return str(folder)


def read(root, **options):
    return read_texts(str(root), **(COLUMNS | options))


def test_label_lines(tmp_path):
    root = write(
        tmp_path,
        train_txt="1 good food .\n0 bad\tfood\r\n1 so\u00a0good\n",
        dev_txt="\ufeff0 awful\n",
        test_txt="1 fine\n",
        notes_md="x",
    )
    dataset = read(root)
    assert dataset.train.texts == ["good food .", "bad\tfood", "so\u00a0good"]
    assert dataset.train.labels.tolist() == [1, 0, 1]
    assert dataset.train.labels.dtype == np.int32
    assert (dataset.val.texts, dataset.val.labels.tolist()) == (["awful"], [0])
    assert dataset.test.texts == ["fine"]
    assert dataset.label_names == ("0", "1")
    assert dataset.notes == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"good food", "begin with its label, a number, got 'good'"),
        (b"1" * 5000 + b" food", "its label, a number, got '1111"),
        ("١ food".encode(), "a number, got '١'"),
        (b"1", "expected a sentence or text, got none"),
        (b"1 \t ", "expected a sentence or text, got none"),
        (b"1 caf\xe9", "expected UTF-8, got byte 0xe9 at byte 6"),
        (b"1 a\0b", "expected text, got NUL at character 4"),
        (b"1 " + b"a" * 100_000, "expected at most 100000 characters, got 100002"),
    ],
)
def test_bad_lines(tmp_path, line, message):
    root = write(tmp_path, train_txt=b"0 bad\n" + line + b"\n1 good\n", dev_txt="0 a\n")
    where = f"{tmp_path / 'train.txt'}: line 2: "
    with pytest.raises(InputError, match=re.escape(where)) as caught:
        read(root)
    assert message in str(caught.value)
    skipped = read(root, skip_bad_lines=True)
    assert skipped.train.texts == ["bad", "good"]
    assert skipped.skipped_lines == 1
    assert where in skipped.notes[-1]


def test_a_label_that_training_lacks_is_a_bad_line(tmp_path):
    root = write(tmp_path, train_txt="0 a\n1 b\n", dev_txt="0 a\n2 b\n")
    with pytest.raises(InputError, match=r"dev.txt: line 2: expected a label of 0, 1, "):
        read(root)
    assert read(root, skip_bad_lines=True).val.texts == ["a"]


def test_more_classes_and_given_labels(tmp_path):
    root = write(tmp_path, train_txt="10 a\n9 b\n0 c\n9 d\n", dev_txt="0 a\n")
    dataset = read(root)
    assert dataset.label_names == ("0", "9", "10")
    assert dataset.train.labels.tolist() == [2, 1, 0, 1]
    with pytest.raises(InputError, match="line 1: expected a label of 0, 9, got '10'"):
        read(root, labels=("0", "9"))
    assert read(root, labels=("10", "9", "0", "7")).train.labels.tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize(
    ("suffix", "rows"),
    [
        ("csv", 'id,stars,review\n1,good,"nice, ""very"" nice"\n2,bad,awful\n'),
        ("tsv", 'id\tstars\treview\n1\tgood\tnice, "very" nice\n2\tbad\tawful\n'),
    ],
)
def test_tables_with_named_columns(tmp_path, suffix, rows):
    (tmp_path / f"train.{suffix}").write_text(rows)
    (tmp_path / f"valid.{suffix}").write_text(rows)
    dataset = read(tmp_path, text_column="review", label_column="stars")
    assert dataset.train.texts == ['nice, "very" nice', "awful"]
    assert dataset.label_names == ("bad", "good")
    assert dataset.train.labels.tolist() == [1, 0]


def test_a_table_may_name_splits(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("label,text,split\na,x,train\nb,y,train\na,z,validation\nb,w,TEST\n")
    dataset = read(path)
    assert [s.texts for s in (dataset.train, dataset.val, dataset.test)] == [
        ["x", "y"],
        ["z"],
        ["w"],
    ]
    path.write_text("label,text,split\na,x,train\nb,y,elsewhere\n")
    with pytest.raises(InputError, match=r"line 3: expected a split .* got 'elsewhere'"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: expected a header with the column 'text' once, got ''"),
        ("text,text,label\n", "column 'text' once, got 'text,text,label'"),
        ("text,stars\n", "column 'label' once"),
        ("text,label\na\n", "line 2: expected 2 fields (text,label), got 1"),
        ('text,label\n"a,b\n', "line 2: expected quotes that close"),
        ("text,label\na, \n", "line 2: expected a label, got none"),
        ("text,label\n ,b\n", "line 2: expected a sentence or text, got none"),
    ],
)
def test_bad_tables(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(f"{path}: ")) as caught:
        read(path)
    assert message in str(caught.value)


def test_validation_is_held_out_by_text_alone(tmp_path):
    lines = [f"{i % 2} sentence number {i % 400}\n" for i in range(500)]
    root = write(tmp_path, train_txt="".join(lines))
    dataset = read(root)
    assert 30 <= len(dataset.val) <= 75
    assert len(dataset.val) + len(dataset.train) == 500
    assert not set(dataset.val.texts) & set(dataset.train.texts)
    assert "no validation split" in dataset.notes[0]
    write(tmp_path, train_txt="".join(reversed(lines)))
    assert set(read(root).val.texts) == set(dataset.val.texts)


def test_a_test_file_replaces_the_set_s_own(tmp_path):
    root = write(tmp_path, train_txt="0 a\n1 b\n", dev_txt="0 a\n", test_txt="bad")
    other = tmp_path / "held.csv"
    other.write_text("label,text\n1,c\n0,d\n")
    assert read(root, test=str(other)).test.texts == ["c", "d"]
    with pytest.raises(InputError, match=re.escape("absent.txt: cannot be read")):
        read(root, test=str(tmp_path / "absent.txt"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "expected train.txt, train.csv or train.tsv, got []"),
        ({"train_txt": ""}, "expected labelled texts to train on, got none"),
        ({"train_txt": "1 a\n1 b\n"}, "expected two labels or more, got '1' alone"),
        (
            {"train_txt": "1 a\n", "train_csv": "label,text\n"},
            "expected one file a split, got train.csv and train.txt",
        ),
        (
            {"train_txt": "1 a\n0 b\n", "dev_txt": "0 a\n", "val_txt": "0 a\n"},
            "expected one file a split, got dev.txt and val.txt",
        ),
    ],
)
def test_bad_folders(tmp_path, files, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read(write(tmp_path, **files))


def test_no_such_root_and_another_ending(tmp_path):
    with pytest.raises(InputError, match=r"--config.data.root names no folder"):
        read(tmp_path / "absent")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match=re.escape("ending in .txt, .csv, .tsv")):
        read(tmp_path / "a.json")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.text(
                st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]),
                min_size=1,
            ).filter(lambda text: text.strip() and text.encode().split()),
        ),
        min_size=3,
    )
)
def test_written_lines_are_read(tmp_path_factory, pairs):
    pairs = [(0, "a"), (1, "b"), (2, "c"), *pairs]
    path = tmp_path_factory.mktemp("lines") / "all.txt"
    path.write_text("".join(f"{label} {text}\n" for label, text in pairs), newline="\n")
    dataset = read(path)
    got = [
        (int(label), text)
        for split in (dataset.train, dataset.val)
        for label, text in zip(split.labels, split.texts, strict=True)
    ]
    assert sorted(got) == sorted(pairs)


def test_labels_sort_as_numbers_where_all_are():
    assert sort_labels({"2", "10", "1"}) == ("1", "2", "10")
    assert sort_labels({"2", "10", "a"}) == ("10", "2", "a")


def test_labels_that_are_numbers_may_be_negative_or_decimal(tmp_path):
    assert sort_labels(["1", "0", "-1", "-2"]) == ("-2", "-1", "0", "1")
    assert sort_labels(["10.0", "2.0", "-.5", "+3."]) == ("-.5", "2.0", "+3.", "10.0")
    root = write(tmp_path, train_txt="-1 bad\n0 so so\n1 good\n", dev_txt="1 good\n")
    assert read(root).label_names == ("-1", "0", "1")
    write(tmp_path, train_txt="1 bad\n1.0 so so\n2 good\n")
    with pytest.raises(InputError, match=r"number to be spelt in one way, got .* 1, 1.0"):
        read(root)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("train.txt", ["", "0 bad", " ", "1 good", ""]),
        ("train.csv", ["text,label", "", "bad,0", "good,1", " \t"]),
        ("train.tsv", ["text\tlabel", "bad\t0", "", "good\t1", ""]),
    ],
)
def test_blank_lines_are_passed_over(tmp_path, name, lines, end):
    (tmp_path / name).write_bytes(end.join([*lines, ""]).encode("utf-8-sig"))
    (tmp_path / "dev.txt").write_text("1 x\n")
    dataset = read(tmp_path)
    assert (dataset.train.texts, dataset.skipped_lines) == (["bad", "good"], 0)


def test_a_quoted_field_may_hold_line_breaks_commas_and_quotes(tmp_path):
    content = 'text,label\n"good film\n\nnot ""bad"", no",1\nawful,0\n'
    root = write(tmp_path, train_csv=content, dev_csv="text,label\nfine,1\n")
    for skip in (False, True):
        dataset = read(root, skip_bad_lines=skip)
        assert dataset.train.texts == ['good film\n\nnot "bad", no', "awful"]
        assert dataset.skipped_lines == 0


def test_a_quote_that_does_not_close_costs_one_line(tmp_path):
    write(tmp_path, train_csv='text,label\n"lost,1\ngood,1\n"b,\nad",0\n')
    write(tmp_path, dev_csv="text,label\ngood,1\n")
    with pytest.raises(InputError, match=r"line 2: expected comma-separated fields"):
        read(tmp_path)
    dataset = read(tmp_path, skip_bad_lines=True)
    assert dataset.train.texts == ["good", "b,\nad"]
    assert dataset.skipped_lines == 1


def test_many_quotes_that_do_not_close_are_no_table(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MOST_UNCLOSED", 2)
    unclosed = '"a\n' + f"{'b' * 9_999}\n" * 11
    write(tmp_path, train_csv="text,label\n" + unclosed * 3)
    with pytest.raises(InputError, match="quotes before it do not close: no table"):
        read(tmp_path, skip_bad_lines=True)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"))
        .map(lambda text: f"x{text}")
        .map(lambda text: "\n".join(text.split("\n"))),
        min_size=2,
    )
)
def test_tables_are_read_as_they_were_written(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("table") / "all.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["label", "text", "split"])
        writer.writerows([i % 2, text, "train"] for i, text in enumerate(texts))
        writer.writerow([0, "validated", "val"])
    assert read(path).train.texts == texts


def test_fasttext_lines(tmp_path):
    lines = "__label__pos a good film\n__label__neg bad , bad\n"
    (tmp_path / "train.ft.txt").write_text(lines)
    (tmp_path / "valid.txt").write_text("__label__neg awful\n")
    dataset = read(tmp_path)
    assert dataset.label_names == ("neg", "pos")
    assert dataset.train.texts == ["a good film", "bad , bad"]
    assert dataset.val.labels.tolist() == [0]


@pytest.mark.parametrize(
    "line", ["no label", "1 number", "__label__a __label__b two labels", "__label__ none"]
)
def test_bad_fasttext_lines(tmp_path, line):
    path = tmp_path / "all.txt"
    path.write_text(f"__label__a one\n{line}\n__label__b two\n__label__b three\n")
    with pytest.raises(InputError, match=r"all.txt: line 2: expected a l"):
        read(path)
    assert read(path, skip_bad_lines=True).skipped_lines == 1


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_tables_without_a_header_by_column_number(tmp_path, suffix):
    rows = [("3", "title", "the text"), ("1", "t", "other"), ("3", "u", "more")]
    between = {"csv": ",", "tsv": "\t"}[suffix]
    for split in ("train", "test", "val"):
        content = "".join(between.join(row) + "\n" for row in rows)
        (tmp_path / f"{split}.{suffix}").write_text(content)
    dataset = read(tmp_path, text_column="3", label_column="1")
    assert dataset.train.texts == ["the text", "other", "more"]
    assert dataset.label_names == ("1", "3")
    with pytest.raises(InputError, match=r"line 1: expected .* the column '9'"):
        read(tmp_path, text_column="9", label_column="1")


def test_a_column_whose_name_is_a_number(tmp_path):
    write(tmp_path, train_csv="2,1\na,x\nb,y\n", dev_csv="2,1\na,x\n")
    assert read(tmp_path, text_column="1", label_column="2").train.texts == ["x", "y"]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("9" * 5000, "expected a label of at most 100 characters, got 5000"),
        ('"dog\ncat"', r"expected a label on one line, got 'dog\ncat'"),
    ],
)
def test_labels_that_would_shift_others_or_hang(tmp_path, label, message):
    path = tmp_path / "all.csv"
    path.write_text(f"label,text\na,x\nb,y\n{label},z\n")
    with pytest.raises(InputError, match=re.escape(f"{path}: line 4: {message}")):
        read(path)
