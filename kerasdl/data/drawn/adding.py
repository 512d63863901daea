"""The adding problem: does a recurrent network remember across hundreds of steps?

A sequence has two channels: numbers drawn from U(0, 1), and marks, which are 1 at two
steps (one in each half) and 0 elsewhere. The target is the sum of the two marked numbers.
Answering 1 always has a mean squared error of 1/6.

Reference: Hochreiter and Schmidhuber, Long Short-Term Memory, 1997, experiment 4, in the
form of Le, Jaitly and Hinton, 2015.
"""

from __future__ import annotations

import numpy as np

CHANCE = 1.0 / 6.0  # the variance of a sum of two numbers from U(0, 1)


def adding_batch(
    random: np.random.Generator, count: int, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws sequences and their targets.

    Args:
        random: The generator drawn from.
        count: N.
        steps: T, at least 2.

    Returns:
        float32 (N, T, 2), and float32 (N, 1).
    """
    numbers = random.random((count, steps), np.float32)
    rows, half = np.arange(count), steps // 2
    first = random.integers(0, half, count)
    second = random.integers(half, steps, count)
    marks = np.zeros_like(numbers)
    marks[rows, first] = marks[rows, second] = 1.0
    targets = numbers[rows, first] + numbers[rows, second]
    return np.stack([numbers, marks], axis=2), targets[:, np.newaxis]
