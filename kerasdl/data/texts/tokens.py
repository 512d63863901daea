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

    Raises:
        ValueError: An attribute is out of its range.
    """

    kind: str = "whitespace"
    max_tokens: int = 512

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
        types = {"kind": str, "max_tokens": int}
        if not isinstance(fields, dict) or not all(
            type(value) is types.get(key) for key, value in fields.items()
        ):
            raise InputError(
                f"{name}: expected an object with kind (a string) and max_tokens (a "
                f"whole number), got {shown(fields)}"
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
    """

    values: np.ndarray
    offsets: np.ndarray

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
        """int64 (N,): how many tokens each sentence has."""
        return np.diff(self.offsets)

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
