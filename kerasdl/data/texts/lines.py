"""Lines of text files, checked as they are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kerasdl.errors import InputError

MAX_LINE_CHARACTERS = 100_000
# UTF-8 takes up to four bytes a character; the rest is for a byte-order mark and CR LF.
_MAX_LINE_BYTES = 4 * MAX_LINE_CHARACTERS + 5


def check_text(text: str) -> str | None:
    """The rule that a text breaks, and what was received; None for good text.

    Bad are empty text, NUL, more than `MAX_LINE_CHARACTERS` characters, and half of a
    UTF-16 pair, which JSON can spell and no UTF-8 file can hold.
    """
    if not text.strip():
        return "expected text, got none"
    if len(text) > MAX_LINE_CHARACTERS:
        return f"expected at most {MAX_LINE_CHARACTERS} characters, got {len(text)}"
    if "\0" in text:
        return f"expected text, got NUL at character {text.index(chr(0)) + 1}"
    surrogate = next((c for c in text if "\ud800" <= c <= "\udfff"), None)
    if surrogate is not None:
        return f"expected Unicode text, got the lone surrogate U+{ord(surrogate):04X}"
    return None


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


def read_lines(path: Path, errors: LineErrors) -> Iterator[tuple[int, str]]:
    """The good lines of a UTF-8 file, with their numbers from 1.

    Lines end in LF or CR LF; a byte-order mark at the start is dropped. A line that is
    not UTF-8, or that `check_text` refuses, goes to `errors`.

    Raises:
        InputError: The file cannot be read, or `errors` does not skip its bad line.
    """
    number = 0
    try:
        with open(path, "rb") as file:
            while raw := file.readline(_MAX_LINE_BYTES):
                number += 1
                length = len(raw)
                piece = raw
                while len(piece) == _MAX_LINE_BYTES and not piece.endswith(b"\n"):
                    piece = file.readline(_MAX_LINE_BYTES)
                    length += len(piece)
                if length > len(raw):
                    rule = (
                        f"expected at most {MAX_LINE_CHARACTERS} characters, got "
                        f"{length} bytes"
                    )
                    errors.report(f"{path}: line {number}: {rule}")
                    continue
                line, rule = _decode(raw, first=number == 1)
                if rule is not None:
                    errors.report(f"{path}: line {number}: {rule}")
                    continue
                yield number, line
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _decode(raw: bytes, first: bool) -> tuple[str, str | None]:
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    if first:
        raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        return "", f"expected UTF-8, got byte 0x{byte:02x} at byte {error.start + 1}"
    return line, check_text(line)
