"""Tokens of sentences and ids of tokens, for training, exports and predictors.

Imports NumPy alone, so that a predictor on a device can use it.
`kerasdl.data.texts.graph` is the same in TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence

import numpy as np

from kerasdl.data.json_files import parse_json, read_json
from kerasdl.data.texts.subwords import MOST_CHARACTERS, subword_buckets
from kerasdl.data.vocabulary import Vocabulary, split_tokens
from kerasdl.errors import InputError, shown

# Ids of the two tokens that no sentence spells.
PADDING, UNKNOWN = 0, 1

# "whitespace": tokens are what stands between ASCII white space.
# "text": raw text; Unicode NFKC, case folding, punctuation split off, then as above.
TOKENIZERS = ("whitespace", "text")


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """How a text becomes tokens.

    Attributes:
        kind: One of `TOKENIZERS`.
        max_tokens: Of a longer sentence the first `max_tokens` tokens are kept.
        min_subword, max_subword: Lengths of the character n-grams that each token has
            ids of besides its own; 0 for none.
        subword_buckets: How many ids the n-grams share.

    Raises:
        ValueError: An attribute is out of its range.
    """

    kind: str = "whitespace"
    max_tokens: int = 512
    min_subword: int = 0
    max_subword: int = 0
    subword_buckets: int = 0

    def __post_init__(self) -> None:
        if self.kind not in TOKENIZERS:
            raise ValueError(
                "Received an invalid value for argument `kind`, expected one of "
                f"{', '.join(TOKENIZERS)}, got {self.kind!r}."
            )
        if self.max_tokens < 1:
            raise ValueError(
                "Received an invalid value for argument `max_tokens`, expected a "
                f"positive integer, got {self.max_tokens}."
            )
        numbers = (self.min_subword, self.max_subword, self.subword_buckets)
        if numbers != (0, 0, 0) and not (
            1 <= self.min_subword <= self.max_subword <= MOST_CHARACTERS
            and 1 <= self.subword_buckets < 2**30
        ):
            raise ValueError(
                "Received invalid values for arguments `min_subword`, `max_subword` and "
                "`subword_buckets`, expected 1 <= min_subword <= max_subword <= "
                f"{MOST_CHARACTERS} and buckets, or 0 each, got {numbers}."
            )

    def __call__(self, text: str) -> list[str]:
        """The tokens of a text of kind "whitespace".

        Raises:
            ValueError: The kind needs TensorFlow Text: use `kerasdl.data.texts.graph`.
        """
        if self.kind != "whitespace":
            raise ValueError(
                f"A tokenizer of kind {self.kind!r} needs TensorFlow Text; only "
                "'whitespace' runs without it."
            )
        return split_tokens(text)[: self.max_tokens]

    @property
    def extra_ids(self) -> int:
        """How many ids stand behind those of the vocabulary."""
        return self.subword_buckets

    def ids(self, tokens: Sequence[str], vocabulary: TextVocabulary) -> list[list[int]]:
        """The ids of each token: its own, then those of its n-grams."""
        first = len(vocabulary)
        numbers = (self.min_subword, self.max_subword, self.subword_buckets)
        return [
            [word, *(first + b for b in subword_buckets(token, *numbers))]
            if self.subword_buckets
            else [word]
            for token, word in zip(tokens, vocabulary.encode(tokens), strict=True)
        ]

    def to_json(self) -> str:
        """The attributes as one JSON object."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, data: bytes | str, name: str = "tokenizer.json") -> Tokenizer:
        """Reads what `to_json` wrote.

        Args:
            data: The file's content.
            name: What messages call the file.

        Raises:
            InputError: It is not JSON, no object, or a field is unknown or out of range.
        """
        return cls._from_fields(parse_json(data, name), name)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Tokenizer:
        """Reads the file of what `to_json` wrote.

        Raises:
            InputError: The file cannot be read, or as `from_json`.
        """
        return cls._from_fields(read_json(path), str(path))

    @classmethod
    def _from_fields(cls, fields: object, name: str) -> Tokenizer:
        types = {field.name: int for field in dataclasses.fields(cls)} | {"kind": str}
        if not isinstance(fields, dict) or not all(
            type(value) is types.get(key) for key, value in fields.items()
        ):
            raise InputError(
                f"{name}: expected an object with kind (a string) and max_tokens (a "
                f"whole number) or another field of a tokenizer, got {shown(fields)}"
            )
        try:
            return cls(**fields)
        except ValueError as error:
            raise InputError(f"{name}: {error}") from error


class TextVocabulary(Vocabulary):
    """The words that a classifier knows: ids 0 and 1 are padding and the unknown word."""


@dataclasses.dataclass(frozen=True)
class TokenRows:
    """Sentences of many lengths as ids in one array.

    Attributes:
        values: int32 (M,), the ids of all sentences, one after the other.
        offsets: int64 (N + 1,); sentence n is `values[offsets[n] : offsets[n + 1]]`.
        owners: int32 (M,), the place in its sentence of the token that each id is of, if
            tokens have ids of their parts too; None if each id is a token.
    """

    values: np.ndarray
    offsets: np.ndarray
    owners: np.ndarray | None = None

    @classmethod
    def from_lists(cls, rows: Sequence[Sequence[int]]) -> TokenRows:
        """From the ids of each sentence."""
        lengths = np.array([len(row) for row in rows], np.int64)
        values = np.array([index for row in rows for index in row], np.int32)
        return cls(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """int64 (N,): how many ids each sentence has."""
        return np.diff(self.offsets)

    @property
    def tokens(self) -> np.ndarray:
        """int64 (N,): how many tokens each sentence has."""
        if self.owners is None:
            return self.lengths
        last = np.append(self.owners, -1)[self.offsets[1:] - 1]
        return np.where(self.lengths > 0, last + 1, 0).astype(np.int64)

    def by_token(self, chosen: int, effects: np.ndarray) -> np.ndarray:
        """Figures of a sentence's ids, (T,) and more, added up for each of its tokens."""
        length = int(self.lengths[chosen])
        if self.owners is None:
            return effects[:length]
        start = self.offsets[chosen]
        owners = self.owners[start : start + length]
        return np.bincount(owners, effects[:length])

    def take(self, chosen: np.ndarray) -> TokenRows:
        """The sentences with the indices int (B,)."""
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        steps = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        places = np.repeat(self.offsets[:-1][chosen], lengths) + steps
        owners = None if self.owners is None else self.owners[places]
        return TokenRows(self.values[places], offsets, owners)

    def padded(self, chosen: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Sentences as one rectangle, `PADDING` after the last token of each.

        Args:
            chosen: Which sentences, int (B,) or a slice.

        Returns:
            int32 (B, T), T being the length of the longest, 1 at least.
        """
        starts, lengths = self.offsets[:-1][chosen], self.lengths[chosen]
        steps = np.arange(max(1, lengths.max(initial=0)))
        inside = steps < lengths[:, np.newaxis]  # (B, T)
        ids = np.full(inside.shape, PADDING, np.int32)
        ids[inside] = self.values[(starts[:, np.newaxis] + steps)[inside]]
        return ids
