import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
        (b"", "expected text, got none"),
        (b"   ", "expected text, got none"),
        (b"good food", "begin with its label, a whole number, got 'good'"),
        (b"-1 food", "begin with its label, a whole number, got '-1'"),
        ("١ food".encode(), "a whole number, got '١'"),
        (b"1", "expected a sentence after the label, got none"),
        (b"1 \t ", "expected a sentence after the label, got none"),
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
        ("text,label\na\n", "line 2: expected 2 fields, got 1"),
        ('text,label\n"a,b\n', "line 2: expected quotes that close on the line"),
        ("text,label\na, \n", "line 2: expected a label, got none"),
        ("text,label\n ,b\n", "line 2: expected a text, got none"),
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
