"""Tokenisation in TensorFlow: the same ids as `kerasdl.data.texts.tokens`, in a graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kerasdl.data.texts.subwords import MODULUS, MOST_CHARACTERS, MULTIPLIER
from kerasdl.data.texts.tokens import (
    UNKNOWN,
    TextVocabulary,
    Tokenizer,
    TokenRows,
)

# Sentences tokenised at a time: the ragged result of one piece stays in the caches.
CHUNK = 65_536
# Likewise, if the n-grams of their words are hashed, which takes more memory.
CHUNK_OF_PARTS = 4_096


def normalise_text(texts: tf.Tensor) -> tf.Tensor:
    """Raw text as tokens with one space between them.

    Unicode NFKC, case folding, then every punctuation mark and symbol becomes a token of
    its own. White space and control characters of any alphabet separate tokens. Needs
    tensorflow-text, and so does a graph that this is part of.

    Args:
        texts: string (N,), UTF-8.

    Returns:
        string (N,).
    """
    import tensorflow_text

    texts = tensorflow_text.case_fold_utf8(
        tensorflow_text.normalize_utf8(texts, normalization_form="NFKC")
    )
    texts = tf.strings.regex_replace(texts, r"[\p{Z}\p{C}\s]+", " ")
    return tf.strings.regex_replace(texts, r"([\p{P}\p{S}])", r" \1 ")


def split_in_graph(texts: tf.Tensor, tokenizer: Tokenizer) -> tf.RaggedTensor:
    """The tokens of each text.

    Args:
        texts: string (N,), UTF-8.
        tokenizer: Its kind "text" puts tensorflow-text ops into the graph.

    Returns:
        Ragged string (N, None), at most `tokenizer.max_tokens` tokens per row.
    """
    if tokenizer.kind == "text":
        texts = normalise_text(texts)
    return tf.strings.split(texts)[:, : tokenizer.max_tokens]


class VocabularyTable(tf.Module):
    """A vocabulary as a lookup table, saved with the graph that uses it.

    Args:
        vocabulary: The words and their ids.
        saved: Whether the table is to be saved; TensorFlow never frees such a table, not
            even after the last reference to it.
    """

    def __init__(self, vocabulary: TextVocabulary, saved: bool = True) -> None:
        super().__init__()
        self.size = len(vocabulary)
        ids = np.arange(len(vocabulary), dtype=np.int64)
        # A word spelt like padding is a word all the same, and an unknown one.
        ids[: len(vocabulary.special_tokens)] = UNKNOWN
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant([token.encode() for token in vocabulary.tokens]),
                tf.constant(ids),
            ),
            default_value=UNKNOWN,
            experimental_is_anonymous=not saved,
        )

    def __call__(self, tokens: tf.RaggedTensor) -> tf.RaggedTensor:
        """The int32 id of each token."""
        ids = tf.cast(self.table.lookup(tokens.flat_values), tf.int32)
        return tokens.with_flat_values(ids)


def ids_in_graph(
    tokens: tf.RaggedTensor, table: VocabularyTable, tokenizer: Tokenizer
) -> tf.RaggedTensor:
    """The ids of each token, as `Tokenizer.ids`.

    Args:
        tokens: Ragged string (N, None), as `split_in_graph` returns them.
        table: From tokens to ids.
        tokenizer: Says whether tokens have ids of their n-grams too.

    Returns:
        Ragged int32 (N, None, None), by sentence and token.
    """
    words = tokens.flat_values
    own = tf.expand_dims(table(tokens).flat_values, 1)  # (M, 1)
    ids = tf.RaggedTensor.from_tensor(own)
    if tokenizer.subword_buckets:
        distinct, place = tf.unique(words)  # a word comes often, its n-grams are the same
        parts = tf.gather(_subword_buckets(distinct, tokenizer), place)
        ids = tf.concat([ids, parts + table.size], axis=1)
    return tokens.with_flat_values(ids)


def _subword_buckets(words: tf.Tensor, tokenizer: Tokenizer) -> tf.RaggedTensor:
    """`subword_buckets` of each word: ragged int32 (M, None) from string (M,)."""
    cut = tf.strings.substr(words, 0, MOST_CHARACTERS, unit="UTF8_CHAR")
    marked = tf.strings.join(["<", cut, ">"])
    codes = tf.strings.unicode_decode(marked, "UTF-8")
    lengths = tf.cast(codes.row_lengths(), tf.int32)[:, tf.newaxis]
    codes = tf.cast(codes.to_tensor(), tf.int64)  # (M, L)
    buckets, real = [], []
    for n in range(tokenizer.min_subword, tokenizer.max_subword + 1):
        count = tf.maximum(tf.shape(codes)[1] - n + 1, 0)
        value = tf.zeros_like(codes[:, :count])
        for offset in range(n):
            following = codes[:, offset : offset + count]
            value = tf.math.floormod(value * MULTIPLIER + following, MODULUS)
        starts = tf.range(count)
        inside = starts + n <= lengths
        if n == 1:  # neither mark is an n-gram
            inside &= (starts > 0) & (starts < lengths - 1)
        buckets.append(tf.math.floormod(value, tokenizer.subword_buckets))
        real.append(inside)
    parts = tf.ragged.boolean_mask(tf.concat(buckets, 1), tf.concat(real, 1))
    return tf.cast(parts, tf.int32)


def tokens_of(texts: Sequence[str], tokenizer: Tokenizer) -> list[str]:
    """The tokens of all texts, one after the other."""
    tokens: list[str] = []
    for start in range(0, len(texts), CHUNK):
        ragged = split_in_graph(tf.constant(texts[start : start + CHUNK]), tokenizer)
        tokens += [token.decode("utf-8") for token in ragged.flat_values.numpy()]
    return tokens


class TextEncoder:
    """Turns texts into ids, in a graph that is built once.

    Args:
        tokenizer, vocabulary: From texts to ids.
    """

    def __init__(self, tokenizer: Tokenizer, vocabulary: TextVocabulary) -> None:
        # The function refers to the table's resource, which lives as long as the table.
        self._table = table = VocabularyTable(vocabulary, saved=False)
        self._has_parts = bool(tokenizer.subword_buckets)
        self._chunk = CHUNK_OF_PARTS if self._has_parts else CHUNK

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)], autograph=False)
        def encode(texts):
            tokens = split_in_graph(texts, tokenizer)
            if not tokenizer.subword_buckets:
                return table(tokens).flat_values, tokens.row_lengths()
            ids = ids_in_graph(tokens, table, tokenizer)
            places = tf.ragged.range(tokens.row_lengths())  # of each token
            owners = tf.repeat(places.flat_values, ids.values.row_lengths())
            lengths = ids.merge_dims(1, 2).row_lengths()
            return ids.flat_values, lengths, tf.cast(owners, tf.int32)

        self._encode = encode

    def __call__(self, texts: Sequence[str]) -> TokenRows:
        """The ids of the tokens of each text."""
        values, lengths = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
        owners = [np.zeros(0, np.int32)]
        for start in range(0, len(texts), self._chunk):
            found = self._encode(tf.constant(texts[start : start + self._chunk]))
            for parts, part in zip((values, lengths, owners), found, strict=False):
                parts.append(part.numpy())
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
        return TokenRows(
            np.concatenate(values),
            offsets.astype(np.int64),
            np.concatenate(owners) if self._has_parts else None,
        )


def encode_texts(
    texts: Sequence[str], tokenizer: Tokenizer, vocabulary: TextVocabulary
) -> TokenRows:
    """The ids of the tokens of each text; `TextEncoder` if there are more to come."""
    return TextEncoder(tokenizer, vocabulary)(texts)
