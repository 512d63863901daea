"""Long-memory tasks: what must be carried over many steps to be answered at the end.

- **Adding**: of T numbers drawn from U(0, 1) two are marked, one in each half; the answer
  is their sum. Answering 1 always has a mean squared error of 1/6.
- **Copying**: S symbols are shown, then T blanks, then S signs to go on, at which the
  symbols are to be given in their order. Guessing costs ln A nats a symbol.
- **Pixels**: a drawn digit comes pixel by pixel, in one order that was drawn at random;
  the answer is the digit. Guessing is right in a tenth of the cases.

References: Hochreiter and Schmidhuber, Long Short-Term Memory, 1997, experiment 4, in the
form of Le, Jaitly and Hinton, A Simple Way to Initialize Recurrent Networks of Rectified
Linear Units, 2015 (adding; pixels, there of MNIST); Arjovsky, Shah and Bengio, Unitary
Evolution Recurrent Neural Networks, 2016 (copying; the answers at the blanks, which need
no memory, are not asked for here).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

CHANCE = 1.0 / 6.0  # of adding: the variance of a sum of two numbers from U(0, 1)
DIGITS = 10

# The corners that each of seven segments joins: (column 0..1, row 0..2), row 0 on top.
_SEGMENTS = {
    "a": ((0, 0), (1, 0)), "b": ((1, 0), (1, 1)), "c": ((1, 1), (1, 2)),
    "d": ((0, 2), (1, 2)), "e": ((0, 1), (0, 2)), "f": ((0, 0), (0, 1)),
    "g": ((0, 1), (1, 1)),
}  # fmt: skip
_LIT = (
    "abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg",
    "abcdfg",
)  # fmt: skip


class TaskShape(NamedTuple):
    """What a model of a task takes and gives.

    Attributes:
        length: Steps of a sequence.
        channels: Numbers at each step.
        outputs: Length of an answer: 1 number, or the classes.
        answered: How many of the last steps are answered.
        chance: The loss of an answer that knows nothing: a mean squared error, or nats.
    """

    length: int
    channels: int
    outputs: int
    answered: int
    chance: float


def task_shape(task: str, steps: int, symbols: int, alphabet: int) -> TaskShape:
    """What a model of a task takes and gives.

    Args:
        task: `adding`, `copying` or `pixels`.
        steps: T: the numbers of adding, the blanks of copying, the pixels of a picture.
        symbols: S, of copying.
        alphabet: A, of copying.
    """
    if task == "adding":
        return TaskShape(steps, 2, 1, 1, CHANCE)
    if task == "copying":
        length = steps + 2 * symbols
        return TaskShape(length, alphabet + 2, alphabet, symbols, math.log(alphabet))
    return TaskShape(steps, 1, DIGITS, 1, math.log(DIGITS))


def adding_batch(
    random: np.random.Generator, count: int, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws sequences of the adding problem and their targets.

    Args:
        random: The generator drawn from.
        count: N.
        steps: T, at least 2.

    Returns:
        float32 (N, T, 2), numbers and marks, and float32 (N, 1).
    """
    numbers = random.random((count, steps), np.float32)
    rows, half = np.arange(count), steps // 2
    first = random.integers(0, half, count)
    second = random.integers(half, steps, count)
    marks = np.zeros_like(numbers)
    marks[rows, first] = marks[rows, second] = 1.0
    targets = numbers[rows, first] + numbers[rows, second]
    return np.stack([numbers, marks], axis=2), targets[:, np.newaxis]


def copying_batch(
    random: np.random.Generator, count: int, steps: int, symbols: int, alphabet: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws sequences to copy.

    Args:
        random: The generator drawn from.
        count: N.
        steps: T, the blanks between.
        symbols: S.
        alphabet: A.

    Returns:
        float32 (N, S + T + S, A + 2), each step one of the symbols, the blank (channel A)
        or the sign to go on (channel A + 1); and int32 (N, S), the symbols.
    """
    shown = random.integers(0, alphabet, (count, symbols), np.int32)
    codes = np.full((count, 2 * symbols + steps), alphabet)
    codes[:, :symbols] = shown
    codes[:, symbols + steps :] = alphabet + 1
    return np.eye(alphabet + 2, dtype=np.float32)[codes], shown


def digit_batch(
    random: np.random.Generator, count: int, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws digits of seven segments: moved, slanted, bent at their corners, with noise.

    Args:
        random: The generator drawn from.
        count: N.
        side: Pixels of a picture's side.

    Returns:
        float32 (N, side, side) in 0..1, the strokes light, and int32 (N,), the digits.
    """
    digits = random.integers(0, DIGITS, count, np.int32)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, side, dtype=np.float32)] * 2), -1)
    size = random.uniform(0.55, 0.75, (count, 1, 1))
    # (N, 2 columns, 3 rows), x and y.
    x = np.array([-0.6, 0.6]).reshape(1, 2, 1) * size + np.zeros((1, 1, 3))
    y = np.array([-1.0, 0.0, 1.0]).reshape(1, 1, 3) * size + np.zeros((1, 2, 1))
    x = x - random.uniform(-0.2, 0.2, (count, 1, 1)) * y  # slanted
    corners = np.stack([x, y], -1) + random.uniform(-0.2, 0.2, (count, 1, 1, 2))
    corners += random.normal(0.0, 0.04, corners.shape)
    corners = corners.astype(np.float32)
    width = random.uniform(0.08, 0.16, (count, 1, 1)).astype(np.float32)
    ink = np.zeros((count, side, side), np.float32)
    for name, ends in _SEGMENTS.items():
        start, end = (corners[:, column, row] for column, row in ends)  # (N, 2)
        along = (end - start)[:, np.newaxis, np.newaxis]
        offset = grid - start[:, np.newaxis, np.newaxis]  # (N, side, side, 2)
        place = (offset * along).sum(-1) / (along**2).sum(-1)
        nearest = np.clip(place, 0.0, 1.0)[..., np.newaxis] * along
        distance = np.sqrt(((offset - nearest) ** 2).sum(-1))
        lit = np.array([name in segments for segments in _LIT])[digits]
        # A stroke's edge is a pixel wide.
        stroke = np.clip((width - distance) * side / 2 + 0.5, 0.0, 1.0)
        ink = np.maximum(ink, stroke * lit[:, np.newaxis, np.newaxis])
    noisy = ink + random.normal(0.0, 0.05, ink.shape).astype(np.float32)
    return np.clip(noisy, 0.0, 1.0), digits


def pixel_batch(
    random: np.random.Generator, count: int, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draws digits and gives them pixel by pixel.

    Args:
        random: The generator drawn from.
        count: N.
        order: int (T,), the pixels in the order in which they come; T is a square number.

    Returns:
        float32 (N, T, 1) in 0..1, and int32 (N,), the digits.
    """
    pictures, digits = digit_batch(random, count, math.isqrt(len(order)))
    return pictures.reshape(count, -1)[:, order, np.newaxis], digits


def task_batch(
    random: np.random.Generator,
    count: int,
    task: str,
    steps: int,
    symbols: int,
    alphabet: int,
    order: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws sequences of a task and their targets; arguments are as above."""
    if task == "adding":
        return adding_batch(random, count, steps)
    if task == "copying":
        return copying_batch(random, count, steps, symbols, alphabet)
    return pixel_batch(random, count, order)
