"""Words and their ids, and files with one name per line: vocabularies and class names.

Imports nothing but the standard library, so that a predictor on a device can use it.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Self

from kerasdl.errors import InputError
from kerasdl.files import atomic_path, open_regular

MAX_NAMES_BYTES = 2**28


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
    encoded = text.encode("utf-8", "surrogatepass")
    return [token.decode("utf-8", "surrogatepass") for token in encoded.split()]


class Vocabulary:
    """The words that a model knows, each with an id.

    The special tokens have the first ids; the words follow. A word that is not there, or
    that is spelt like a special token, is the unknown word, `<UNK>`.

    Args:
        words: The words in the order of their ids, without the special tokens.

    Attributes:
        special_tokens: The tokens that no text spells, `<UNK>` among them.
        words: As above.

    Raises:
        ValueError: A word is empty, holds white space, is a special token, or stands
            there twice.
    """

    special_tokens: ClassVar[tuple[str, ...]] = ("<NULL>", "<UNK>")

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(words)
        self._ids: dict[str, int] = {}
        for index, word in enumerate(self.words, start=len(self.special_tokens)):
            if split_tokens(word) != [word]:
                raise ValueError(
                    "Received an invalid value for argument `words`, expected words "
                    f"without white space, got {word!r}."
                )
            if word in self._ids or word in self.special_tokens:
                raise ValueError(
                    "Received an invalid value for argument `words`, expected each word "
                    f"once and no special token, got {word!r} again."
                )
            self._ids[word] = index

    @classmethod
    def build(
        cls, tokens: Iterable[str], *, min_count: int = 1, max_size: int = 0
    ) -> Self:
        """Collects the words of the training texts.

        The most frequent word comes first, words of equal frequency in the order of
        their code points, so the same texts give the same ids in whatever order they
        are read.

        Args:
            tokens: The tokens of all texts.
            min_count: A word that occurs less often than this is `<UNK>`.
            max_size: The largest vocabulary, the special tokens included; the rarest
                words are left out. 0 for no limit.

        Raises:
            ValueError: `min_count` is below 1, or `max_size` leaves no room for a word.
        """
        special = len(cls.special_tokens)
        if min_count < 1:
            raise ValueError(
                "Received an invalid value for argument `min_count`, expected a "
                f"positive integer, got {min_count}."
            )
        if max_size != 0 and max_size <= special:
            raise ValueError(
                "Received an invalid value for argument `max_size`, expected 0 (no "
                f"limit) or more than {special} (the special tokens), got {max_size}."
            )
        counts = collections.Counter(tokens)
        words = [
            word
            for word, count in counts.items()
            # Caption readers give a special token that a data set spells in lower case.
            if count >= min_count and word.upper() not in cls.special_tokens
        ]
        words.sort(key=lambda word: (-counts[word], word))
        return cls(words[: max_size - special] if max_size else words)

    @property
    def tokens(self) -> tuple[str, ...]:
        """What each id stands for, the special tokens first."""
        return self.special_tokens + self.words

    def __len__(self) -> int:
        return len(self.special_tokens) + len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} ids)"

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """The id of each token."""
        unknown = self.special_tokens.index("<UNK>")
        return [self._ids.get(token, unknown) for token in tokens]

    def to_bytes(self) -> bytes:
        """One token a line in UTF-8, the special ones too: line k holds id k - 1."""
        return "".join(f"{token}\n" for token in self.tokens).encode("utf-8")

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "vocab.txt") -> Self:
        """Reads what `to_bytes` wrote.

        Args:
            data: The file's content.
            name: What messages call the file.

        Raises:
            InputError: It is not UTF-8, does not begin with the special tokens, or a
                line is empty, holds white space or repeats a word.
        """
        tokens = _lines(data, name)
        for line, expected in enumerate(cls.special_tokens, start=1):
            received = (
                repr(tokens[line - 1]) if line <= len(tokens) else "the end of the file"
            )
            if received != repr(expected):
                raise InputError(
                    f"{name}: line {line}: expected {expected}, got {received}"
                )
        for line, token in enumerate(tokens, start=1):
            if split_tokens(token) != [token]:
                raise InputError(f"{name}: line {line}: expected one word, got {token!r}")
        _check_distinct(tokens, name, "word")
        return cls(tokens[len(cls.special_tokens) :])

    def save(self, path: str | os.PathLike) -> None:
        """Writes `to_bytes` to a file, whole or not at all."""
        data = self.to_bytes()
        with atomic_path(Path(path), len(data)) as temporary:
            temporary.write_bytes(data)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads what `save` wrote.

        Raises:
            InputError: The file cannot be read or `from_bytes` refuses it.
        """
        with open_regular(path, MAX_NAMES_BYTES) as file:
            return cls.from_bytes(file.read(), str(path))


def check_class_names(names: Sequence[str], where: str) -> None:
    """Refuses names of which a file with one name a line would lose the order.

    Raises:
        InputError: A name is empty, has a line break or another control character, or
            stands there twice; `where` begins the message.
    """
    for name in names:
        if not name.strip() or len(name.splitlines()) != 1 or "\0" in name:
            raise InputError(
                f"{where}: expected class names on one line, got {name!r}: labels.txt "
                "holds one a line"
            )
    _check_distinct(names, where, "class name")


def class_names_to_bytes(names: Sequence[str]) -> bytes:
    """One class name a line in UTF-8, in the order of the classes.

    Raises:
        InputError: As `check_class_names`.
    """
    check_class_names(names, "labels.txt")
    return "".join(f"{name}\n" for name in names).encode("utf-8")


def class_names_from_bytes(data: bytes, name: str = "labels.txt") -> tuple[str, ...]:
    """Reads what `class_names_to_bytes` wrote.

    Raises:
        InputError: It is not UTF-8, or as `check_class_names`.
    """
    names = tuple(_lines(data, name))
    check_class_names(names, name)
    return names


def read_class_names(path: str | os.PathLike) -> tuple[str, ...]:
    """The class names in a file with one per line.

    Raises:
        InputError: The file cannot be read, or as `class_names_from_bytes`.
    """
    with open_regular(path, MAX_NAMES_BYTES) as file:
        return class_names_from_bytes(file.read(), str(path))


def _lines(data: bytes, name: str) -> list[str]:
    """The lines of a file; they may end as Windows ends them, and nowhere else."""
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}: expected UTF-8, got byte 0x{error.object[error.start]:02x} at "
            f"position {error.start}"
        ) from error
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _check_distinct(names: Sequence[str], where: str, what: str) -> None:
    counts = collections.Counter(names)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        second = [line for line, name in enumerate(names, 1) if name == repeated[0]][1]
        raise InputError(
            f"{where}: line {second}: expected each {what} once, got {repeated[0]!r} "
            "again"
        )
