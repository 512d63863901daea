"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")

# Seconds between two lines if there is no terminal to draw a bar on.
LINE_INTERVAL = 10.0
LINE_WIDTH = 80


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


def epoch_line(what: str, row: Mapping[str, float], monitor: str, is_best: bool) -> str:
    """An epoch's figures in a line of up to `LINE_WIDTH` columns, the monitored first.

    >>> row = {"epoch": 2, "train/loss": 1.5, "val/loss": 2.25, "seconds": 3.04}
    >>> epoch_line("epoch 2/9", row, "val/loss", True)
    'epoch 2/9: val/loss 2.25 (best), train/loss 1.5, 3.0 s'
    """
    line = f"{what}: {monitor} {row[monitor]:.4g}{' (best)' if is_best else ''}"
    end = f", {row['seconds']:.1f} s"
    others = sorted(row.keys() - {monitor, "epoch", "seconds"}, key=_interest)
    for name in others:
        figure = f", {name} {row[name]:.4g}"
        if len(line + figure + end) > LINE_WIDTH:
            break
        line += figure
    return line + end


def _interest(name: str) -> tuple[bool, bool, str]:
    """Losses and accuracies come before other scores, these before norms."""
    is_state = name.startswith("train/") and name != "train/loss"
    return is_state, not name.endswith(("/loss", "/accuracy")), name


def print_figures(metrics: Mapping[str, Any]) -> None:
    """Prints a run's final figures, one per line, on standard output."""
    width = max(map(len, metrics), default=0) + 1
    for name, value in metrics.items():
        shown = f"{value:.6g}" if isinstance(value, float) else value
        print(f"{name:{width}} {shown}")
