"""Learning rates as functions of the epoch, counted with its fraction.

A schedule is a pure function, so a resumed run needs no state of it.
"""

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def exponential_decay(rate: float, decay: float) -> Schedule:
    """`rate` times `decay` to the power of the whole epochs that have passed.

    >>> schedule = exponential_decay(1.0, 0.5)
    >>> schedule(0.9), schedule(2.0)
    (1.0, 0.25)
    """
    return lambda epoch: rate * decay ** math.floor(epoch)


def step_decay(rate: float, factor: float, every: int) -> Schedule:
    """`rate`, times `factor` after each `every` epochs.

    >>> schedule = step_decay(1.0, 0.5, every=7)
    >>> schedule(6.9), schedule(7.0), schedule(14.0)
    (1.0, 0.5, 0.25)
    """
    return lambda epoch: rate * factor ** (math.floor(epoch) // every)


def cosine_decay(rate: float, epochs: float, warmup: float = 0.0) -> Schedule:
    """Linear warm-up over `warmup` epochs, then half a cosine down to 0 at `epochs`.

    Source: Loshchilov & Hutter 2017, SGDR, equation 5 without restarts.

    >>> schedule = cosine_decay(1.0, epochs=10, warmup=2)
    >>> schedule(1.0), round(schedule(6.0), 6), round(schedule(10.0), 6)
    (0.5, 0.5, 0.0)
    """

    def schedule(epoch: float) -> float:
        if epoch < warmup:
            return rate * epoch / warmup
        passed = min(1.0, (epoch - warmup) / max(epochs - warmup, 1e-9))
        return rate * 0.5 * (1.0 + math.cos(math.pi * passed))

    return schedule
