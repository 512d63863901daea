"""Inputs that cannot be read: a few are skipped with a warning, many end the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from kerasdl.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")

# The share of a run's inputs that may be broken.
MOST_BROKEN = 0.05
SHOWN = 5


@dataclasses.dataclass
class BrokenInputs:
    """The inputs of a run that could not be read.

    Attributes:
        messages: One an input.
        total: How many inputs were tried.
    """

    messages: list[str] = dataclasses.field(default_factory=list)
    total: int = 0

    @property
    def notes(self) -> list[str]:
        """How many pictures were broken, and the first few."""
        count = f"{len(self.messages)} of {self.total} pictures could not be read"
        return [f"{count} and were left out.", *self.messages[:SHOWN]]

    def readable(
        self,
        items: Sequence[Item],
        read: Callable[[Item], Result],
        what: str,
        warn: Callable[[str], None],
        track: Callable[[Iterable, int, str], Iterable] = lambda items, *_: items,
    ) -> tuple[list[Item], list[Result]]:
        """The items that `read` can read, and what it made of them.

        Args:
            items: Of one split.
            read: Raises InputError for a broken item.
            what: What the items are: "train pictures".
            warn: Is given a line for each broken item.
            track: Shows progress through an iterable of known length.

        Raises:
            InputError: More than `MOST_BROKEN` of them are broken.
        """
        kept = []

        def read_and_keep(item: Item) -> Result:
            result = read(item)
            kept.append(item)
            return result

        broken: list[str] = []
        tracked = track(items, len(items), f"reading {what}")
        results = list(
            each_readable(tracked, read_and_keep, warn, what, len(items), broken)
        )
        self.messages += broken
        self.total += len(items)
        return kept, results


def each_readable(
    items: Iterable[Item],
    read: Callable[[Item], Result],
    warn: Callable[[str], None],
    what: str = "inputs",
    count: int | None = None,
    broken: list[str] | None = None,
) -> Iterator[Result]:
    """`read` of each item; those it refuses are skipped with a warning.

    Args:
        items: A sequence, or any iterable if `count` is given.
        read: Raises InputError for a broken item.
        warn: Is given a line for each broken item.
        what: What the items are, for messages.
        count: The number of items.
        broken: Takes the messages.

    Raises:
        InputError: After the last item, if more than `MOST_BROKEN` of them were refused;
            at once, if there is only one.
    """
    count = len(items) if count is None else count
    broken = [] if broken is None else broken
    for item in items:
        try:
            result = read(item)
        except InputError as error:
            if count == 1:
                raise
            broken.append(str(error))
            warn(f"skipped: {error}")
            continue
        yield result
    check_broken(broken, count, what)


def check_broken(broken: Sequence[str], count: int, what: str) -> None:
    """Refuses `count` inputs of which too many are broken.

    Raises:
        InputError: More than `MOST_BROKEN` of them are.
    """
    if len(broken) > MOST_BROKEN * count:
        raise InputError(
            f"{len(broken)} of {count} {what} cannot be read, more than "
            f"{MOST_BROKEN:.0%}; the first: {broken[0]}"
        )
