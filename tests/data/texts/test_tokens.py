import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.data.texts.tokens import (
    PADDING,
    UNKNOWN,
    TextVocabulary,
    Tokenizer,
    TokenRows,
    split_tokens,
)
from kerasdl.errors import InputError

# What Python, Unicode or tensorflow-text might take for white space.
SPACES = " \t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2003\u2028\u202f\u3000\ufeff\0"
TEXTS = st.text(
    st.sampled_from(SPACES + "aé.漢") | st.characters(exclude_categories=["Cs"])
)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_tokens_are_those_of_tf_strings_split(text):
    expected = [t.decode() for t in tf.strings.split(text.encode()).numpy()]
    assert split_tokens(text) == expected


def test_only_ascii_white_space_separates():
    assert split_tokens("a\u00a0b\u2003c\x1cd e\vf\fg\rh\ti\nj") == [
        "a\u00a0b\u2003c\x1cd", "e", "f", "g", "h", "i", "j",
    ]  # fmt: skip


def test_tokenizer_cuts_and_goes_through_json():
    tokenizer = Tokenizer(max_tokens=2)
    assert tokenizer(" a b c") == ["a", "b"]
    assert Tokenizer.from_json(tokenizer.to_json()) == tokenizer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "bpe"}, "`kind`, expected one of whitespace, text, got 'bpe'."),
        ({"max_tokens": 0}, "`max_tokens`, expected a positive integer, got 0."),
    ],
)
def test_tokenizer_refuses(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Tokenizer(**arguments)


def test_raw_text_needs_tensorflow_text():
    with pytest.raises(ValueError, match="'text' needs TensorFlow Text"):
        Tokenizer("text")("a b")


def test_vocabulary_is_ordered_by_frequency_then_code_point():
    tokens = ["b", "a", "c", "c", "<UNK>", "<NULL>", "d", "d", "d"]
    assert TextVocabulary.build(tokens).words == ("d", "c", "a", "b")
    assert TextVocabulary.build(tokens, min_count=2).words == ("d", "c")
    assert TextVocabulary.build(tokens, max_size=3).words == ("d",)
    assert TextVocabulary.build(reversed(tokens)) == TextVocabulary.build(tokens)


def test_unknown_words_and_special_spellings_are_unknown():
    vocabulary = TextVocabulary(["good"])
    assert vocabulary.encode(["good", "bad", "<NULL>", "<UNK>"]) == [2, 1, 1, 1]
    assert len(vocabulary) == 3
    assert "good" in vocabulary and "<NULL>" not in vocabulary


@pytest.mark.parametrize("words", [["a b"], [""], ["a", "a"], ["<UNK>"], ["a\n"]])
def test_vocabulary_refuses(words):
    with pytest.raises(ValueError, match=re.escape(repr(words[-1]))):
        TextVocabulary(words)


@settings(max_examples=25, deadline=None)
@given(st.lists(TEXTS))
def test_vocabulary_goes_through_a_file(tmp_path_factory, texts):
    vocabulary = TextVocabulary.build(t for text in texts for t in split_tokens(text))
    path = tmp_path_factory.mktemp("v") / "vocab.txt"
    vocabulary.save(path)
    assert TextVocabulary.load(path) == vocabulary
    assert [p.name for p in path.parent.iterdir()] == ["vocab.txt"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "line 1: expected <NULL>, got ''"),
        (b"<NULL>\n", "line 2: expected <UNK>, got the end of the file"),
        (b"<NULL>\n<START>\n", "line 2: expected <UNK>, got '<START>'"),
        (b"<NULL>\n<UNK>\na b\n", "line 3: expected one word, got 'a b'"),
        (b"<NULL>\n<UNK>\na\n\n", "line 4: expected one word, got ''"),
        (b"<NULL>\n<UNK>\na\na\n", "line 4: expected each word once, got 'a' again"),
        (b"<NULL>\n<UNK>\n\xff\n", "expected UTF-8, got byte 0xff at position 13"),
    ],
)
def test_vocabulary_file_refused(data, message):
    with pytest.raises(InputError, match=re.escape(f"words: {message}")):
        TextVocabulary.from_bytes(data, "words")


def test_missing_vocabulary_file(tmp_path):
    with pytest.raises(InputError, match=r"v\.txt: cannot be read: No such file"):
        TextVocabulary.load(tmp_path / "v.txt")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(2, 9), max_size=5), max_size=8), st.randoms())
def test_padded_rows_hold_the_sentences(rows, random):
    packed = TokenRows.from_lists(rows)
    assert packed.lengths.tolist() == [len(row) for row in rows]
    chosen = [random.randrange(len(rows)) for _ in range(4)] if rows else []
    ids = packed.padded(np.array(chosen, int))
    width = max([len(rows[index]) for index in chosen] + [1])
    assert ids.shape == (len(chosen), width) and ids.dtype == np.int32
    for row, index in zip(ids.tolist(), chosen, strict=True):
        assert row == rows[index] + [PADDING] * (width - len(rows[index]))


def test_ids_of_special_tokens():
    assert (PADDING, UNKNOWN) == (0, 1)
    assert TextVocabulary([]).tokens == ("<NULL>", "<UNK>")


@pytest.mark.parametrize(
    "content",
    [
        b"null",
        b"[]",
        b'"whitespace"',
        b'{"kind": 1}',
        b'{"max_tokens": "9"}',
        b'{"max_tokens": true}',
        b'{"max_tokens": 1.5}',
        b'{"max_tokens": 0}',
        b'{"kind": "bpe"}',
        b'{"kind": "whitespace", "extra": 1}',
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"max_tokens": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_damaged_tokenizer_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"tokenizer\.json: ") as caught:
        Tokenizer.load(path)
    assert len(str(caught.value)) < 400
    with pytest.raises(InputError, match="zip: "):
        Tokenizer.from_json(content, "zip")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_a_vocabulary_that_an_editor_saved_is_the_same(tmp_path, end, bom):
    vocabulary = TextVocabulary(["good", "b\xa0d", "caf\u00e9"])
    text = vocabulary.to_bytes().decode()
    (tmp_path / "vocab.txt").write_bytes((bom + text.replace("\n", end)).encode())
    assert TextVocabulary.load(tmp_path / "vocab.txt") == vocabulary


def test_a_carriage_return_within_a_line_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"line 3: expected one word, got 'a\\rb'"):
        TextVocabulary.from_bytes(b"<NULL>\n<UNK>\na\rb\n")
