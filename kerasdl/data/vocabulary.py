"""Captions as tokens, and tokens as ids."""

from __future__ import annotations

import collections
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from kerasdl.data.captions.ptb_tokens import ptb_tokens
from kerasdl.errors import InputError

NULL, START, END, UNK = 0, 1, 2, 3
SPECIAL_TOKENS = ("<NULL>", "<START>", "<END>", "<UNK>")

# How the Treebank writes brackets: letters, but no word.
_BRACKET = re.compile("-[lr][rcs]b-")


def caption_tokens(text: str) -> list[str]:
    """Splits a caption into lower-case words.

    The words are the Penn Treebank tokens of `ptb_tokens` that hold a letter or a digit,
    so that "cake." is the word "cake", and "dog's" is "dog" and "'s". Vocabulary,
    training and metrics all count these tokens.

    Example:
        >>> caption_tokens("A tri-colored dog's ball, bouncing.")
        ['a', 'tri-colored', 'dog', "'s", 'ball', 'bouncing']
    """
    tokens = (_BRACKET.sub("", token) for token in ptb_tokens(text))
    # A token such as "1 1/2" holds a no-break space.
    words = (word for token in tokens for word in token.split())
    return [word for word in words if any(character.isalnum() for character in word)]


class Vocabulary:
    """The words that a captioner can say, each with an id.

    Ids 0 to 3 are `<NULL>`, `<START>`, `<END>` and `<UNK>`; the words follow.

    Args:
        words: The words, in the order of their ids, without the special tokens.

    Raises:
        ValueError: A word is empty, holds white space, is a special token, or stands
            there twice.

    Example:
        >>> vocabulary = Vocabulary(["a", "dog"])
        >>> vocabulary.encode(["a", "cat"])
        [4, 3]
        >>> vocabulary.decode([1, 4, 5, 2, 0])
        'a dog'
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.tokens: tuple[str, ...] = SPECIAL_TOKENS + tuple(words)
        self._ids: dict[str, int] = {}
        for index, word in enumerate(self.tokens):
            if word.split() != [word]:
                raise ValueError(
                    "Received an invalid value for argument `words`, expected words "
                    f"without white space, got {word!r}."
                )
            if word in self._ids:
                raise ValueError(
                    "Received an invalid value for argument `words`, expected each word "
                    f"once and no special token, got {word!r} again."
                )
            self._ids[word] = index

    @classmethod
    def build(
        cls,
        token_lists: Iterable[Sequence[str]],
        min_count: int = 1,
        max_size: int = 0,
    ) -> Vocabulary:
        """Collects the words of the training captions.

        The most frequent word comes first, words of equal frequency in the order of
        their code points, so the same captions give the same ids in whatever order they
        are read.

        Args:
            token_lists: The tokens of each caption, from `caption_tokens`.
            min_count: A word that occurs less often than this is `<UNK>`.
            max_size: The largest vocabulary, the four special tokens included; the
                rarest words are dropped. 0 for no limit.

        Raises:
            ValueError: `min_count` is below 1, or `max_size` is neither 0 nor above 4.
        """
        if min_count < 1:
            raise ValueError(
                "Received an invalid value for argument `min_count`, expected a "
                f"positive integer, got {min_count}."
            )
        if max_size != 0 and max_size <= len(SPECIAL_TOKENS):
            raise ValueError(
                "Received an invalid value for argument `max_size`, expected 0 (no "
                f"limit) or more than {len(SPECIAL_TOKENS)} (the special tokens), got "
                f"{max_size}."
            )
        counts = collections.Counter(token for tokens in token_lists for token in tokens)
        frequent = [
            word
            for word, count in counts.items()
            if count >= min_count and word not in SPECIAL_TOKENS
        ]
        frequent.sort(key=lambda word: (-counts[word], word))
        if max_size:
            frequent = frequent[: max_size - len(SPECIAL_TOKENS)]
        return cls(frequent)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens)"

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """The id of each token, `UNK` for a word that is not in the vocabulary.

        Neither `START` nor `END` is added, and a token spelt like a special one is a
        word that is not in the vocabulary.
        """
        ids = (self._ids.get(token, UNK) for token in tokens)
        return [index if index > UNK else UNK for index in ids]

    def decode(self, ids: Iterable[int]) -> str:
        """The words of a caption, up to `END`, special tokens left out.

        Args:
            ids: Token ids, (T,), of any integer type.

        Raises:
            ValueError: An id is outside the vocabulary.
        """
        words = []
        for index in ids:
            if not 0 <= index < len(self.tokens):
                raise ValueError(
                    "Received an invalid value for argument `ids`, expected ids below "
                    f"{len(self.tokens)}, got {int(index)}."
                )
            if index == END:
                break
            if index > UNK:
                words.append(self.tokens[index])
        return " ".join(words)

    def encode_captions(
        self, captions: Sequence[str], max_words: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets for teacher forcing.

        A caption w_1 … w_n is read as `<START>` w_1 … w_n and predicted as w_1 … w_n
        `<END>`, so a target stands at the position of the input that precedes it. Both
        are padded with `NULL` at the end. Of a caption longer than `max_words`, the first
        `max_words` words are kept.

        Args:
            captions: N captions, as written.
            max_words: The longest caption kept whole, in words.

        Returns:
            Inputs and targets, both (N, T) int32, T being 1 + the number of words of the
            longest caption kept.

        Raises:
            ValueError: `max_words` is below 1, or a caption holds no word.
        """
        if max_words < 1:
            raise ValueError(
                "Received an invalid value for argument `max_words`, expected a "
                f"positive integer, got {max_words}."
            )
        encoded = []
        for caption in captions:
            ids = self.encode(caption_tokens(caption)[:max_words])
            if not ids:
                raise ValueError(
                    "Received an invalid value for argument `captions`, expected at "
                    f"least one word in each, got {caption!r}."
                )
            encoded.append(ids)
        steps = 1 + max((len(ids) for ids in encoded), default=0)
        inputs = np.full((len(encoded), steps), NULL, np.int32)
        targets = np.full((len(encoded), steps), NULL, np.int32)
        for row, ids in enumerate(encoded):
            inputs[row, 0] = START
            inputs[row, 1 : 1 + len(ids)] = ids
            targets[row, : len(ids)] = ids
            targets[row, len(ids)] = END
        return inputs, targets

    def save(self, path: str | os.PathLike) -> None:
        """Writes one token a line in UTF-8, in the order of ids, special ones first."""
        path = Path(path)
        temporary = path.with_name(f".{os.getpid()}.{path.name}")
        try:
            temporary.write_text(
                "".join(f"{token}\n" for token in self.tokens),
                encoding="utf-8",
                newline="\n",
            )
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Vocabulary:
        """Reads what `save` wrote.

        Raises:
            InputError: The file cannot be read, does not begin with the special tokens,
                or a line is empty, holds white space or repeats a word.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: expected UTF-8, got byte 0x{error.object[error.start]:02x} at "
                f"position {error.start}"
            ) from error
        tokens = text.removesuffix("\n").split("\n")
        for index, expected in enumerate(SPECIAL_TOKENS):
            received = tokens[index] if index < len(tokens) else "the end of the file"
            if received != expected:
                raise InputError(
                    f"{path}: line {index + 1}: expected {expected}, got {received!r}"
                )
        seen: set[str] = set()
        for line, token in enumerate(tokens, start=1):
            if token.split() != [token]:
                raise InputError(f"{path}: line {line}: expected one word, got {token!r}")
            if token in seen:
                raise InputError(
                    f"{path}: line {line}: expected each word once, got {token!r} again"
                )
            seen.add(token)
        return cls(tokens[len(SPECIAL_TOKENS) :])
