"""The one-cycle learning rate: up, and down to almost nothing."""

from __future__ import annotations

import math
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerasdl")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Half a cosine up to a peak, half a cosine down.

        rate(t) = low + (peak - low) (1 - cos(π t / u)) / 2                    t <= u
        rate(t) = end + (peak - end) (1 + cos(π (t - u) / (steps - u))) / 2    t > u

    with u = rise * steps, low = peak / start_divisor, end = peak / end_divisor. The rate
    stays at `end` after `steps`. Source: Smith and Topin, Super-Convergence, 2018, with
    cosines for the straight lines, as fastai has them; the momentum is not cycled.

    Args:
        peak: The highest rate.
        steps: Training steps of the whole cycle.
        rise: The share of them until the peak, in (0, 1).
        start_divisor: What the peak is to the first rate.
        end_divisor: What the peak is to the last rate.

    Call arguments:
        step: The steps taken so far, a scalar.

    Raises:
        ValueError: An argument is out of its range.

    Example:

    ```python
    rate = kerasdl.tuning.OneCycle(1e-3, steps=epochs * steps_per_epoch)
    model.compile(keras.optimizers.AdamW(rate), "sparse_categorical_crossentropy")
    ```
    """

    def __init__(
        self,
        peak: float,
        steps: int,
        rise: float = 0.25,
        start_divisor: float = 25.0,
        end_divisor: float = 1e5,
    ) -> None:
        super().__init__()
        for name, value, holds, rule in (
            ("peak", peak, peak > 0, "a positive number"),
            ("steps", steps, steps >= 1, "a positive integer"),
            ("rise", rise, 0 < rise < 1, "a share above 0 and below 1"),
            ("start_divisor", start_divisor, start_divisor >= 1, "at least 1"),
            ("end_divisor", end_divisor, end_divisor >= 1, "at least 1"),
        ):
            if not holds:
                raise ValueError(
                    f"Received an invalid value for argument `{name}`, expected {rule}, "
                    f"got {value}."
                )
        self.peak, self.steps, self.rise = peak, steps, rise
        self.start_divisor, self.end_divisor = start_divisor, end_divisor

    def __call__(self, step: Any) -> Any:
        """The rate after `step` steps, a scalar."""
        step = keras.ops.cast(step, "float32")
        top = self.rise * self.steps
        up = keras.ops.minimum(step / top, 1.0)
        down = keras.ops.clip((step - top) / (self.steps - top), 0.0, 1.0)
        low, end = self.peak / self.start_divisor, self.peak / self.end_divisor
        rising = low + (self.peak - low) * (1 - keras.ops.cos(math.pi * up)) / 2
        falling = end + (self.peak - end) * (1 + keras.ops.cos(math.pi * down)) / 2
        return keras.ops.where(step <= top, rising, falling)

    def get_config(self) -> dict[str, float]:
        """The constructor's arguments."""
        names = ("peak", "steps", "rise", "start_divisor", "end_divisor")
        return {name: getattr(self, name) for name in names}
