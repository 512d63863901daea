"""A learning rate by trial: the rate grows at every step until the loss explodes.

Source: Smith, Cyclical Learning Rates for Training Neural Networks, 2017, section 3.3.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kerasdl.tuning.optimizers import restored

if TYPE_CHECKING:
    from kerasdl.reports.curves import Chart

# The first and the last rate, and the steps from one to the other.
LOWEST, HIGHEST, STEPS = 1e-7, 10.0, 100
# Weight of the past in the smoothed loss; how often its least value the end is at.
SMOOTHING, DIVERGENCE = 0.9, 4.0


@dataclasses.dataclass(frozen=True)
class RateCurve:
    """Losses at learning rates that grow from step to step.

    Attributes:
        rates: float (M,), growing.
        losses: float (M,), of one minibatch each.
        smoothed: float (M,), their exponential average, corrected for its start.
        steepest: The rate at which the smoothed loss falls most, by log rate.
        suggestion: The rate in the middle, by log rate, of the longest fall: the longest
            subsequence of smoothed losses in which each is below the one before.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    steepest: float
    suggestion: float

    @classmethod
    def of(cls, rates: Sequence[float], losses: Sequence[float]) -> RateCurve:
        """The curve of at least two finite losses.

        Raises:
            ValueError: There are fewer.
        """
        rates, losses = np.asarray(rates, float), np.asarray(losses, float)
        if len(losses) < 2:
            raise ValueError(
                "the loss was not finite at the second step of the sweep: start it at a "
                "lower rate."
            )
        smoothed = smooth(losses)
        slopes = np.gradient(smoothed, np.log(rates))
        first, last = longest_fall(smoothed)
        return cls(
            rates,
            losses,
            smoothed,
            float(rates[slopes.argmin()]),
            math.sqrt(rates[first] * rates[last]),
        )

    def save(self, path: str | Path) -> None:
        """Draws the curve into a `.png` or `.svg` file; needs the extra [jobs].

        Raises:
            ValueError: The file's ending is another.
        """
        from kerasdl.reports.curves import save_charts

        path = Path(path)
        if path.suffix not in (".png", ".svg"):
            raise ValueError(
                "Received an invalid value for argument `path`, expected a name that "
                f"ends in .png or .svg, got {str(path)!r}."
            )
        save_charts([self.chart()], path)

    def chart(self) -> Chart:
        """The curve with its two rates."""
        from kerasdl.reports.curves import rate_chart

        marked = {"suggestion": self.suggestion, "steepest": self.steepest}
        return rate_chart(self.rates, self.losses, self.smoothed, marked)


def smooth(losses: np.ndarray) -> np.ndarray:
    """The exponential average of losses (M,), corrected for its start at 0."""
    average, smoothed = 0.0, []
    for step, loss in enumerate(losses, start=1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed.append(average / (1 - SMOOTHING**step))
    return np.array(smoothed)


def longest_fall(values: Sequence[float]) -> tuple[int, int]:
    """Where the longest strictly falling subsequence of values begins and ends."""
    lowest: list[float] = []  # -value that ends the best subsequence of each length
    ends: list[int] = []
    before: list[int] = []
    for index, value in enumerate(values):
        length = bisect.bisect_left(lowest, -value)
        before.append(ends[length - 1] if length else -1)
        lowest[length : length + 1] = [-value]
        ends[length : length + 1] = [index]
    first = ends[-1]
    while before[first] >= 0:
        first = before[first]
    return first, ends[-1]


def sweep(
    take_step: Callable[[float], float],
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    steps: int = STEPS,
) -> RateCurve:
    """Takes training steps at rates that grow, until the loss explodes.

    Args:
        take_step: Takes one step at a rate and returns its loss.
        lowest: The first rate, above 0.
        highest: The last, above it.
        steps: From one to the other, each rate the same multiple of the one before.

    Raises:
        ValueError: An argument is out of its range, or the loss is not finite at once.
    """
    if not 0 < lowest < highest:
        raise ValueError(
            "Received an invalid value for argument `lowest`, expected a rate above 0 "
            f"and below `highest`, got {lowest} and {highest}."
        )
    if steps < 2:
        raise ValueError(
            f"Received an invalid value for argument `steps`, expected at least 2, got "
            f"{steps}."
        )
    rates, losses = [], []
    for rate in np.geomspace(lowest, highest, steps):
        loss = take_step(float(rate))
        if not math.isfinite(loss):
            break
        rates.append(rate)
        losses.append(loss)
        smoothed = smooth(np.array(losses))
        if smoothed[-1] > DIVERGENCE * smoothed.min():
            break
    return RateCurve.of(rates, losses)


def lr_find(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    batch_size: int = 32,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    steps: int = STEPS,
) -> RateCurve:
    """Losses of a compiled model at learning rates that grow from step to step.

    Model and optimizer are afterwards as they were, their random states included. The
    optimizer's own rate, a number or a schedule, does not count.

    Args:
        model: Compiled and built.
        x: Arrays, or a `tf.data.Dataset` of minibatches that y is part of; one of fewer
            than `steps` minibatches is used again from the start.
        y: Arrays of targets, if x has none.
        batch_size: Of arrays.
        lowest: The first rate.
        highest: The last; the sweep ends earlier where the loss is four times its least.
        steps: From one to the other.

    Returns:
        The curve; `.suggestion` is a rate, `.save("rates.png")` draws it.

    Raises:
        ValueError: An argument is out of its range, or the loss is not finite at once.

    Example:

    ```python
    curve = kerasdl.tuning.lr_find(model, x, y)
    curve.save("rates.png")
    model.optimizer.learning_rate = curve.suggestion
    ```
    """
    own, train_function = model.optimizer, model.train_function
    model.optimizer = at_rate(own, lowest)
    model.train_function = None
    batches = _forever(x, y, batch_size)

    def take_step(rate: float) -> float:
        model.optimizer.learning_rate = rate
        return float(model.train_on_batch(*next(batches), return_dict=True)["loss"])

    try:
        with restored(model.variables):
            return sweep(take_step, lowest, highest, steps)
    finally:
        model.optimizer, model.train_function = own, train_function
        model.reset_metrics()


def at_rate(
    optimizer: keras.optimizers.Optimizer, rate: float
) -> keras.optimizers.Optimizer:
    """An optimizer like another, with no state, at a rate that can be set."""
    config = optimizer.get_config()
    if hasattr(optimizer, "inner_optimizer"):
        config["inner_optimizer"] = at_rate(optimizer.inner_optimizer, rate)
        return type(optimizer)(**config)
    copy = type(optimizer).from_config({**config, "learning_rate": rate})
    excluded = getattr(optimizer, "_exclude_from_weight_decay_pattern", None)
    if excluded is not None:  # Keras leaves it out of the config
        copy.exclude_from_weight_decay(var_names=[excluded.pattern])
    return copy


def _forever(x: Any, y: Any, batch_size: int):
    """Minibatches (x,) or (x, y) or (x, y, weights), again and again."""
    if y is not None or not hasattr(x, "__iter__") or isinstance(x, np.ndarray | dict):
        import tensorflow as tf

        arrays = x if y is None else (x, y)
        x = tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size)
    while True:
        for batch in x:
            yield batch if isinstance(batch, tuple) else (batch,)
