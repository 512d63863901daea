"""Minibatches of a training split: the one rule of their order, and reading ahead."""

from __future__ import annotations

import abc
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

# Minibatches read ahead of the one in training, at least.
AHEAD = 3


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order in which an epoch takes its examples: int (count,)."""
    return np.random.default_rng([seed, epoch]).permutation(count)


class EpochBatches(abc.ABC):
    """The minibatches of each epoch, a function of seed and epoch, from any step on.

    A run that is resumed in the middle of an epoch reads nothing of the steps before.

    Args:
        count: N, the examples.
        batch_size: How many a step takes; the last step of an epoch takes the rest.
        seed: The run's.
        shard: The rows of each minibatch that this process takes.

    Attributes:
        threads: Of reading ahead; 0 reads each minibatch when it is asked for.
    """

    threads = 0

    def __init__(
        self, count: int, batch_size: int, seed: int, shard: slice = slice(None)
    ) -> None:
        self._count, self._size = count, batch_size
        self._seed, self._shard = seed, shard

    def __len__(self) -> int:
        return -(-self._count // self._size)

    def order(self, epoch: int) -> list[np.ndarray]:
        """The examples of each minibatch of `epoch` (counted from 0), as indices."""
        order = epoch_order(self._seed, epoch, self._count)
        starts = range(0, self._count, self._size)
        return [order[start : start + self._size] for start in starts]

    @abc.abstractmethod
    def read(self, epoch: int, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """The arrays of the examples `rows`, an int array, in `epoch`."""

    def __call__(self, epoch: int, first: int = 0) -> Iterator[tuple[np.ndarray, ...]]:
        """The minibatches of `epoch` from step `first` on (both counted from 0)."""
        batches = (rows[self._shard] for rows in self.order(epoch)[first:])
        if not self.threads:
            yield from (self.read(epoch, rows) for rows in batches)
            return
        with ThreadPoolExecutor(self.threads) as threads:
            waiting: deque[Future] = deque()
            for rows in batches:
                waiting.append(threads.submit(self.read, epoch, rows))
                if len(waiting) > max(AHEAD, self.threads):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
