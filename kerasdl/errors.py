"""The one exception that a command prints as a single line and ends on."""


class InputError(ValueError):
    """Input that a user can mend: a flag, a file, a line of a file.

    The message is one line that names the argument or file (and line), the rule, and
    what was received. Commands print it without a traceback and exit with code 1.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))
