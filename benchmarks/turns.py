"""A process that takes turns with others: its side of the pipe."""

import sys
import time
from collections.abc import Callable


def serve_steps(step: Callable[[], object], warm_up: int) -> None:
    """For each line on standard input, prints the seconds of that many steps.

    Args:
        step: What is timed.
        warm_up: How many steps are taken before it says that it is ready.
    """
    for _ in range(warm_up):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            step()
        print(time.perf_counter() - started, flush=True)
