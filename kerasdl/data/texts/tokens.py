"""Sentences as tokens, and tokens as ids: what training, exports and predictors share.

Imports nothing but NumPy, so that a predictor on a device can use it.
`kerasdl.data.texts.graph` is the same in TensorFlow.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from kerasdl.errors import InputError

# Ids of the two tokens that no sentence spells.
PADDING, UNKNOWN = 0, 1
SPECIAL_TOKENS = ("<NULL>", "<UNK>")

# "whitespace": tokens are what stands between ASCII white space.
# "text": raw text; Unicode NFKC, case folding, punctuation split off, then as above.
TOKENIZERS = ("whitespace", "text")


def split_tokens(text: str) -> list[str]:
    r"""The tokens between ASCII white space: space, \t, \n, \v, \f and \r.

    It equals `tf.strings.split`. `str.split` would also split at the separators U+001C
    to U+001F, at U+0085, U+00A0 and the wider Unicode spaces.

    Example:
        >>> split_tokens(" not\ta  bad\u00a0place .\n")
        ['not', 'a', 'bad\xa0place', '.']
    """
    # `bytes.split` knows exactly the six ASCII characters, and UTF-8 never hides one of
    # them inside another character.
    return [token.decode("utf-8") for token in text.encode("utf-8").split()]


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
    def from_json(cls, text: str) -> Tokenizer:
        """What `to_json` wrote."""
        return cls(**json.loads(text))


class TextVocabulary:
    """The words that a classifier knows, each with an id.

    Ids 0 and 1 are padding and the unknown word; the words follow. A word that is not
    there, or that is spelt like `<NULL>` or `<UNK>`, is the unknown one.

    Args:
        words: The words in the order of their ids.

    Raises:
        ValueError: A word is empty, holds ASCII white space, is spelt like a special
            token, or stands there twice.

    Example:
        >>> vocabulary = TextVocabulary(["good", "bad"])
        >>> vocabulary.encode(["not", "bad"])
        [1, 3]
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(words)
        self._ids: dict[str, int] = {}
        for index, word in enumerate(self.words, start=len(SPECIAL_TOKENS)):
            if split_tokens(word) != [word]:
                raise ValueError(
                    "Received an invalid value for argument `words`, expected words "
                    f"without white space, got {word!r}."
                )
            if word in self._ids or word in SPECIAL_TOKENS:
                raise ValueError(
                    "Received an invalid value for argument `words`, expected each word "
                    f"once and no special token, got {word!r} again."
                )
            self._ids[word] = index

    @classmethod
    def build(
        cls, tokens: Iterable[str], min_count: int = 1, max_size: int = 0
    ) -> TextVocabulary:
        """Collects the words of the training sentences.

        The most frequent word comes first, words of equal frequency in the order of
        their code points.

        Args:
            tokens: The tokens of all sentences, one after the other.
            min_count: A word that occurs less often is unknown.
            max_size: How many ids there may be, the two special ones included; the
                rarest words are left out. 0 for no limit.
        """
        counts = collections.Counter(tokens)
        words = [
            word
            for word, count in counts.items()
            if count >= min_count and word not in SPECIAL_TOKENS
        ]
        words.sort(key=lambda word: (-counts[word], word))
        return cls(words[: max(0, max_size - len(SPECIAL_TOKENS))] if max_size else words)

    @property
    def tokens(self) -> tuple[str, ...]:
        """What each id stands for, the special tokens first."""
        return SPECIAL_TOKENS + self.words

    def __len__(self) -> int:
        return len(SPECIAL_TOKENS) + len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextVocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)

    def __repr__(self) -> str:
        return f"TextVocabulary({len(self)} ids)"

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """The id of each token."""
        return [self._ids.get(token, UNKNOWN) for token in tokens]

    def to_bytes(self) -> bytes:
        """One token a line in UTF-8, the special ones too: line k holds id k - 1."""
        return "".join(f"{token}\n" for token in self.tokens).encode("utf-8")

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "vocab.txt") -> TextVocabulary:
        """Reads what `to_bytes` wrote.

        Args:
            data: The file's content.
            name: What messages call the file.

        Raises:
            InputError: It is not UTF-8, does not begin with the special tokens, or a
                line is empty, holds white space or repeats a word.
        """
        try:
            tokens = data.decode("utf-8").removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{name}: expected UTF-8, got byte 0x{data[error.start]:02x} at position "
                f"{error.start}"
            ) from error
        seen: set[str] = set()
        for line, token in enumerate(tokens, start=1):
            if split_tokens(token) != [token]:
                raise InputError(f"{name}: line {line}: expected one word, got {token!r}")
            if line <= len(SPECIAL_TOKENS) and token != SPECIAL_TOKENS[line - 1]:
                raise InputError(
                    f"{name}: line {line}: expected {SPECIAL_TOKENS[line - 1]}, got "
                    f"{token!r}"
                )
            if token in seen:
                raise InputError(
                    f"{name}: line {line}: expected each word once, got {token!r} again"
                )
            seen.add(token)
        if len(tokens) < len(SPECIAL_TOKENS):
            raise InputError(
                f"{name}: line {len(tokens) + 1}: expected "
                f"{SPECIAL_TOKENS[len(tokens)]}, got the end of the file"
            )
        return cls(tokens[len(SPECIAL_TOKENS) :])

    def save(self, path: str | os.PathLike) -> None:
        """Writes `to_bytes` to a file, whole or not at all."""
        path = Path(path)
        temporary = path.with_name(f".{os.getpid()}.{path.name}")
        try:
            temporary.write_bytes(self.to_bytes())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike) -> TextVocabulary:
        """Reads what `save` wrote.

        Raises:
            InputError: The file cannot be read or `from_bytes` refuses it.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        return cls.from_bytes(data, str(path))


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
