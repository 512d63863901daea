"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

# Seconds between two lines where there is no terminal to draw a bar on.
LINE_INTERVAL = 10.0


def track(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yields `items` and shows how far along they are, on standard error.

    Args:
        items: What is worked through.
        total: How many there are.
        what: What the work is, such as `"features"`.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what, leave=False, dynamic_ncols=True)
        return
    last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last >= LINE_INTERVAL and done < total:
            last = time.monotonic()
            say(f"{what}: {done} of {total}")


def say(line: str) -> None:
    """Prints a line on standard error, beside a bar if one is drawn."""
    if sys.stderr.isatty():
        tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr, flush=True)
