"""Ctrl-C and SIGTERM take effect between two steps, not in the middle of one."""

import signal
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """A run that stopped at a signal, after it had saved what it needs to go on."""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(f"{signal.Signals(signal_number).name}: {message}")
        self.signal_number = signal_number


class SignalCatcher:
    """Notes the first SIGINT or SIGTERM; a second one acts as if nobody listened.

    Outside the main thread, where Python allows no handlers, it notes nothing.

    Attributes:
        received: The signal's number, 0 while there was none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "SignalCatcher":
        for number in SIGNALS:
            try:
                self._previous[number] = signal.signal(number, self._note)
            except ValueError:
                break
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
