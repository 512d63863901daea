"""Character n-grams: the same ids in Python and in a graph, and what they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.data.texts.graph import encode_texts
from kerasdl.data.texts.subwords import MODULUS, MULTIPLIER, subword_buckets
from kerasdl.data.texts.tokens import TextVocabulary, Tokenizer, TokenRows

VOCABULARY = TextVocabulary(["food", "é"])
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=70)


def bucket(characters, buckets):
    """The polynomial written out, in integers of any size."""
    powers = range(len(characters) - 1, -1, -1)
    value = sum(ord(c) * MULTIPLIER**p for c, p in zip(characters, powers, strict=True))
    return value % MODULUS % buckets


def test_the_ngrams_of_a_word():
    parts = ["<ab", "abc", "bc>", "<abc", "abc>"]
    assert subword_buckets("abc", 3, 4, 97) == [bucket(part, 97) for part in parts]
    assert subword_buckets("a", 1, 2, 97) == [bucket(p, 97) for p in ("a", "<a", "a>")]


@settings(max_examples=15, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=4), st.sampled_from([(1, 2), (3, 6), (5, 5)]))
def test_a_graph_has_the_same_ids(texts, lengths):
    tokenizer = Tokenizer(max_tokens=3, **dict(zip(FIELDS, (*lengths, 50), strict=True)))
    rows = encode_texts(texts, tokenizer, VOCABULARY)
    for place, text in enumerate(texts):
        parts = tokenizer.ids(tokenizer(text), VOCABULARY)
        flat = [index for part in parts for index in part]
        start, end = rows.offsets[place : place + 2]
        assert rows.values[start:end].tolist() == flat
        assert rows.tokens[place] == len(parts)
        ones = np.ones(end - start)
        assert rows.by_token(place, ones).tolist() == [len(part) for part in parts]


FIELDS = ("min_subword", "max_subword", "subword_buckets")


def test_figures_of_ids_that_are_tokens():
    rows = TokenRows.from_lists([[2, 3], [4]])
    assert rows.by_token(0, np.array([0.5, 1.0, 0.0])).tolist() == [0.5, 1.0]
    assert rows.tokens.tolist() == [2, 1]


@pytest.mark.parametrize("numbers", [(3, 2, 10), (0, 3, 10), (3, 6, 0), (3, 65, 9)])
def test_numbers_out_of_range_are_refused(numbers):
    with pytest.raises(ValueError, match=r"1 <= min_subword <= max_subword <= 64 .* got"):
        Tokenizer("whitespace", 9, *numbers)
