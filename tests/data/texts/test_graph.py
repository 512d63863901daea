import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.data.texts import graph
from kerasdl.data.texts.graph import (
    VocabularyTable,
    encode_texts,
    normalise_text,
    split_in_graph,
    tokens_of,
)
from kerasdl.data.texts.tokens import TextVocabulary, Tokenizer, TokenRows

TEXTS = st.text(
    st.sampled_from(" \t\n\v\f\r\x1c\x85\xa0\u2003\u3000ab.é")
    | st.characters(exclude_categories=["Cs"])
)


@settings(max_examples=50, deadline=None)
@given(st.lists(TEXTS, max_size=6), st.integers(1, 4))
def test_ids_in_the_graph_are_those_without_it(texts, max_tokens):
    tokenizer = Tokenizer(max_tokens=max_tokens)
    vocabulary = TextVocabulary.build(
        token for text in texts[:3] for token in tokenizer(text)
    )
    got = encode_texts(texts, tokenizer, vocabulary)
    expected = TokenRows.from_lists([vocabulary.encode(tokenizer(t)) for t in texts])
    np.testing.assert_array_equal(got.values, expected.values)
    np.testing.assert_array_equal(got.offsets, expected.offsets)
    assert got.values.dtype == np.int32 and got.offsets.dtype == np.int64


def test_texts_are_encoded_in_pieces(monkeypatch):
    texts = [f"w{i} w{i + 1}" for i in range(10)]
    vocabulary = TextVocabulary.build(tokens_of(texts, Tokenizer()))
    whole = encode_texts(texts, Tokenizer(), vocabulary)
    monkeypatch.setattr(graph, "CHUNK", 3)
    pieces = encode_texts(texts, Tokenizer(), vocabulary)
    np.testing.assert_array_equal(whole.values, pieces.values)
    np.testing.assert_array_equal(whole.offsets, pieces.offsets)


def test_a_module_with_the_table_is_saved_and_loaded(tmp_path):
    module = tf.Module()
    module.table = VocabularyTable(TextVocabulary(["good", "bad"]))
    module.ids = tf.function(
        lambda texts: module.table(split_in_graph(texts, Tokenizer())).to_tensor(),
        input_signature=[tf.TensorSpec((None,), tf.string)],
    )
    tf.saved_model.save(module, str(tmp_path / "m"))
    loaded = tf.saved_model.load(str(tmp_path / "m"))
    assert loaded.ids(tf.constant(["bad good new", "good"])).numpy().tolist() == [
        [3, 2, 1],
        [2, 0, 0],
    ]


def test_raw_text_is_normalised_lower_cased_and_split_at_punctuation():
    texts = ["It's GREAT!!", "ﬁne\u00a0wine\u200b, 5€", "Straße…  ok", "日本語。"]
    normal = [text.decode() for text in normalise_text(tf.constant(texts)).numpy()]
    assert [text.split() for text in normal] == [
        ["it", "'", "s", "great", "!", "!"],
        ["fine", "wine", ",", "5", "€"],
        ["strasse", ".", ".", ".", "ok"],
        ["日本語", "。"],
    ]
    assert tokens_of(texts[:1], Tokenizer("text", max_tokens=3)) == ["it", "'", "s"]
