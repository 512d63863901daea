"""The exception that a command prints as a single line before it ends."""


class InputError(ValueError):
    """Input that a user can mend: a flag, a file, a line of a file.

    The message is one line that names the argument or file (and line), the rule, and
    what was received. Commands print it without a traceback and exit with code 1.
    Control characters and bytes that are no text (in file names, for instance) are
    escaped, so that a message can be printed anywhere.
    """

    def __init__(self, message: str) -> None:
        line = " ".join(str(message).split())
        if not line.isprintable():
            line = "".join(
                c if c.isprintable() else c.encode("unicode_escape").decode()
                for c in line
            )
        super().__init__(line)


def shown(value: object, limit: int = 60) -> str:
    """A value as an error message shows it: on one line, shortened.

    >>> shown("a dog"), shown("a" * 10, limit=5)
    ("'a dog'", "'aaaa…")
    """
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}…"


def listed(names: list[str], limit: int = 3) -> str:
    """The first few of some names, for a message.

    >>> listed(["a", "b"]), listed(["a", "b", "c"], limit=2)
    ('a, b', 'a, b, …')
    """
    return ", ".join(names[:limit]) + (", …" if len(names) > limit else "")
