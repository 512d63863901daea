"""Lines of text files, checked as they are read.

Training, `--predict` and the exports all read lines here: they end in LF or CR LF, a
byte-order mark at the start is dropped, and blank ones are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kerasdl.errors import InputError
from kerasdl.files import open_regular

MAX_LINE_CHARACTERS = 100_000
# UTF-8 takes up to four bytes a character; the rest is for a byte-order mark and CR LF.
_MAX_LINE_BYTES = 4 * MAX_LINE_CHARACTERS + 5
_NO_TEXT = "expected text, got none"


def check_text(text: str) -> str | None:
    """The rule that a text breaks, and what was received; None for good text.

    Bad are empty text, NUL, more than `MAX_LINE_CHARACTERS` characters, and half of a
    UTF-16 pair, which JSON can spell and no UTF-8 file can hold.
    """
    if not text.strip():
        return _NO_TEXT
    if len(text) > MAX_LINE_CHARACTERS:
        return f"expected at most {MAX_LINE_CHARACTERS} characters, got {len(text)}"
    if "\0" in text:
        return f"expected text, got NUL at character {text.index(chr(0)) + 1}"
    surrogate = next((c for c in text if "\ud800" <= c <= "\udfff"), None)
    if surrogate is not None:
        return f"expected Unicode text, got the lone surrogate U+{ord(surrogate):04X}"
    return None


def decode_text(raw: bytes) -> tuple[str, str | None]:
    """The text that UTF-8 spells, and the rule that it breaks, if it breaks one."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        return "", f"expected UTF-8, got byte 0x{byte:02x} at byte {error.start + 1}"
    return text, check_text(text)


class LineErrors:
    """What becomes of a bad line: it ends the run, or is skipped and counted.

    Args:
        skip: Whether bad lines are skipped.

    Attributes:
        count: The number of bad lines so far.
        first: The message of the first, empty while there is none.
    """

    def __init__(self, skip: bool = False) -> None:
        self.skip = skip
        self.count = 0
        self.first = ""

    def report(self, message: str) -> None:
        """Counts a bad line.

        Raises:
            InputError: Bad lines are not skipped.
        """
        if not self.skip:
            raise InputError(message)
        self.count += 1
        self.first = self.first or message

    def notes(self, source: object) -> list[str]:
        """One line on what was skipped, if anything was."""
        if not self.count:
            return []
        return [f"{source}: {self.count} bad lines skipped, the first: {self.first}"]


def read_lines(
    path: str | Path, errors: LineErrors, blank: bool = False
) -> Iterator[tuple[int, str]]:
    """The good lines of a UTF-8 file, with their numbers from 1.

    A line that is not UTF-8, or that `check_text` refuses, goes to `errors`.

    Args:
        path: The file.
        errors: What becomes of bad lines.
        blank: Whether blank lines, and bad ones that are skipped, come too, as "".

    Raises:
        InputError: The file cannot be read, or `errors` does not skip its bad line.
    """
    number = 0
    with open_regular(path) as file:
        try:
            while raw := file.readline(_MAX_LINE_BYTES):
                number += 1
                line, rule = _checked(raw, first=number == 1)
                if rule is None:
                    yield number, line
                    continue
                if rule != _NO_TEXT:
                    errors.report(f"{path}: line {number}: {rule}")
                while _is_cut(raw):
                    raw = file.readline(_MAX_LINE_BYTES)
                if blank:
                    yield number, ""
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def read_unlabelled(path: str | Path, errors: LineErrors) -> list[str]:
    """Sentences to label, one per line: line k of the file is item k - 1.

    A blank line, and a bad one that `errors` skips, keeps its place as "" and is to get
    an empty answer.

    Raises:
        InputError: The file cannot be read, has no sentence, or a line is bad and not to
            be skipped.
    """
    sentences = [line for _, line in read_lines(path, errors, blank=True)]
    if not any(sentences):
        raise InputError(f"{path}: expected sentences, one a line, got none")
    return sentences


def _is_cut(raw: bytes) -> bool:
    """Whether a line goes on after these bytes of it."""
    return len(raw) == _MAX_LINE_BYTES and not raw.endswith(b"\n")


def _checked(raw: bytes, first: bool) -> tuple[str, str | None]:
    if _is_cut(raw):
        rule = f"expected at most {MAX_LINE_CHARACTERS} characters, got more than"
        return "", f"{rule} {len(raw)} bytes"
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    return decode_text(raw.removeprefix(b"\xef\xbb\xbf") if first else raw)
