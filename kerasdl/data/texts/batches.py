"""Minibatches of sentences of about the same length, a function of seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kerasdl.data.batches import EpochBatches
from kerasdl.data.texts.tokens import TokenRows

# Batches whose sentences are sorted together: more of them waste less padding, fewer mix
# the lengths better.
POOL_BATCHES = 50


class TextBatches(EpochBatches):
    """Length-bucketed minibatches.

    An epoch's sentences are shuffled, cut into pools of `POOL_BATCHES` batches, sorted
    by length within a pool and cut into batches, which are shuffled again: a batch holds
    sentences of nearly one length, and both its company and its turn change each epoch.

    Args:
        rows: The sentences.
        labels: int (N,), the class of each.
        batch_size, seed, shard: As in `EpochBatches`.
    """

    def __init__(
        self,
        rows: TokenRows,
        labels: np.ndarray,
        batch_size: int,
        seed: int,
        shard: slice = slice(None),
    ) -> None:
        super().__init__(len(rows), batch_size, seed, shard)
        self._rows = rows
        self._labels = np.asarray(labels, np.int32)

    def order(self, epoch: int) -> list[np.ndarray]:
        """The sentences of each batch of `epoch`, as indices."""
        random = np.random.default_rng([self._seed, epoch])
        shuffled = random.permutation(len(self._rows))
        lengths = self._rows.lengths
        batches = []
        for start in range(0, len(shuffled), POOL_BATCHES * self._size):
            pool = shuffled[start : start + POOL_BATCHES * self._size]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            batches += [
                pool[first : first + self._size]
                for first in range(0, len(pool), self._size)
            ]
        return [batches[index] for index in random.permutation(len(batches))]

    def read(self, epoch: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids, int32 (B, T), and labels, int32 (B,)."""
        return self._rows.padded(rows), self._labels[rows]


def in_order(rows: TokenRows, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All sentences once, those of like length together, for evaluation.

    Yields:
        Which sentences, int (B,), and their ids, int32 (B, T).
    """
    by_length = np.argsort(rows.lengths, kind="stable")
    for start in range(0, len(by_length), batch_size):
        chosen = by_length[start : start + batch_size]
        yield chosen, rows.padded(chosen)
