"""Optimising one picture at one scale by Adam, in one compiled step."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.style.features import IMAGENET_MEAN, IMAGENET_STD
from kerasdl.style.objective import StyleObjective
from kerasdl.style.options import StyleOptions
from kerasdl.weights.npz import read_npz

# As Adam's paper and torch.optim.Adam, by which the recipes were tuned.
ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8

# Rows clamped at once if the picture is tiled: no second array of its size is made.
CLAMPED_ROWS = 256

# Steps timed with each way of compiling, on a GPU.
TRIAL_STEPS = 5


@dataclasses.dataclass(frozen=True)
class StyleState:
    """A point of an optimisation from which it can go on, to the same bits.

    Attributes:
        scale: The scale under way, the coarsest being 0.
        iteration: Iterations finished at it.
        image: float32 (1, H, W, 3), normalised units.
        moments: Adam's m and v, float32 (2, 1, H, W, 3); zeros for L-BFGS.
        seconds: Optimisation time so far.
        average: Σ_k (1 − d) d^(t − k) x_k of the iterates x_1 to x_t at this scale, d
            being `average_decay`, (1, H, W, 3); None if d is 0.
    """

    scale: int
    iteration: int
    image: np.ndarray
    moments: np.ndarray
    seconds: float
    average: np.ndarray | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """The values by name, those that are None left out."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def save(self, path: Path) -> None:
        """Writes the state to an open or named `.npz` file."""
        with open(path, "wb") as file:
            np.savez(file, **self.fields)

    @classmethod
    def load(cls, path: Path) -> "StyleState":
        """Reads what `save` wrote.

        Raises:
            InputError: If the file is damaged.
        """
        try:
            stored = read_npz(path)
            return cls(
                scale=int(stored["scale"]),
                iteration=int(stored["iteration"]),
                image=stored["image"],
                moments=stored["moments"],
                seconds=float(stored["seconds"]),
                average=stored.get("average"),
            )
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            why = str(error).removeprefix(f"{path}: ").removesuffix(".")
            raise InputError(f"{path}: not a state of kerasdl: {why}.") from error


def pixel_range() -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest value a pixel can show, (3,) each, normalised units."""
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    return (
        ((0.0 - mean) / std).astype(np.float32),
        ((1.0 - mean) / std).astype(np.float32),
    )


def clamp_range(options: StyleOptions) -> tuple[np.ndarray, np.ndarray]:
    """The range that `options` keeps the picture to, (3,) each, normalised units."""
    if options.clamp:
        bound = np.full(3, options.clamp, np.float32)
        return -bound, bound
    return pixel_range()


def _fast_bound(bound: np.ndarray, shape: tuple[int, ...]) -> tf.Tensor:
    """(3,) as a scalar if the three are equal, else of the picture's own shape.

    Clamping to three values along the last axis runs at a fraction of the speed.
    """
    if np.ptp(bound) == 0:
        return tf.constant(bound[0])
    return tf.constant(np.broadcast_to(bound, shape))


# Is told an iteration's number and its losses before the update, still on the device, and
# answers whether to stop.
Observer = Callable[[int, tf.Tensor], bool]


class AdamDescent:
    """Adam on the picture; forward, losses, gradient and update are one graph.

    Kingma and Ba, 2015, algorithm 1, with one schedule: a rate, and from an iteration on
    a fresh optimiser with another. Nothing is copied to the host between iterations. If
    the picture is tiled, each tile is a graph, and what is as large as the picture is
    changed in place: the picture, two moments and the gradient are all that is held.

    Args:
        objective: What is minimised.
        options: Rate, schedule, clamping, way of compiling.
        state: Where to start.
        iterations: Of this scale.
    """

    def __init__(
        self,
        objective: StyleObjective,
        options: StyleOptions,
        state: StyleState,
        iterations: int,
    ) -> None:
        self._objective = objective
        self._options = options
        self._iterations = iterations
        self._image = tf.Variable(state.image)
        self._moments = [tf.Variable(moment) for moment in state.moments]
        self._average = None if state.average is None else tf.Variable(state.average)
        self._low, self._high = clamp_range(options)
        if objective.traceable:
            shape = state.image.shape
            self._low, self._high = (
                _fast_bound(bound, shape) for bound in (self._low, self._high)
            )
        # Not the whole state, whose arrays are as large as the picture.
        self._scale, self._seconds_before = state.scale, state.seconds
        self._first = self._iteration = state.iteration
        self._started = time.monotonic()

    def _compile(self, jit_compile: bool) -> Callable[..., tf.Tensor]:
        image, (first, second) = self._image, self._moments
        beta_1, beta_2 = ADAM_BETAS
        traceable = self._objective.traceable

        def step(rate, power_1, power_2, epsilon, clamp) -> tf.Tensor:
            if clamp:
                self._clamp()
            losses, gradient = self._objective.losses_and_gradient(
                image.read_value() if traceable else image
            )
            tf.raw_ops.ResourceApplyAdam(
                var=image.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=power_1,
                beta2_power=power_2,
                lr=rate,
                beta1=beta_1,
                beta2=beta_2,
                epsilon=epsilon,
                grad=gradient,
            )
            if self._average is not None:
                share = 1 - self._options.average_decay
                self._average.assign_add(share * (image - self._average))
            return losses

        return tf.function(step, jit_compile=jit_compile) if traceable else step

    def _clamp(self) -> None:
        if self._objective.traceable:
            self._image.assign(tf.clip_by_value(self._image, self._low, self._high))
            return
        for top in range(0, self._image.shape[1], CLAMPED_ROWS):
            rows = self._image[:, top : top + CLAMPED_ROWS]
            rows.assign(tf.clip_by_value(rows, self._low, self._high))

    def _fastest(self) -> Callable[..., tf.Tensor]:
        """The step, compiled as the options say; on a GPU "auto" times both ways."""
        if self._options.compile != "auto":
            return self._compile(self._options.compile == "xla")
        if not (self._objective.traceable and tf.config.list_physical_devices("GPU")):
            return self._compile(False)  # XLA's convolutions are slow on a CPU
        variables = [self._image, *self._moments]
        variables += [] if self._average is None else [self._average]
        before = [variable.numpy() for variable in variables]
        steps = [self._compile(jit_compile) for jit_compile in (False, True)]
        seconds = []
        for step in steps:
            float(step(*self._arguments())[0])
            started = time.monotonic()
            for _ in range(TRIAL_STEPS):
                losses = step(*self._arguments())
            float(losses[0])  # waits for the device
            seconds.append(time.monotonic() - started)
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        return steps[int(np.argmin(seconds))]

    def _arguments(self) -> list[tf.Tensor | bool]:
        """Rate, powers of the betas, epsilon and clamping of the iteration under way."""
        options, iteration = self._options, self._iteration
        decayed = 0 < options.decay_at <= iteration
        rate = options.decay_learning_rate if decayed else options.learning_rate
        age = iteration - (options.decay_at if decayed else 0) + 1
        powers = [beta**age for beta in ADAM_BETAS]
        # The fused update adds epsilon before it corrects the root for bias, the paper's
        # algorithm after.
        epsilon = ADAM_EPSILON * np.sqrt(1 - powers[1])
        clamp = not options.clamp_until or iteration < options.clamp_until
        return [*(tf.constant(v, tf.float32) for v in (rate, *powers, epsilon)), clamp]

    def run(self, observe: Observer) -> bool:
        """Takes the iterations that are left; returns whether all were taken."""
        step = self._fastest()
        while self._iteration < self._iterations:
            if self._options.decay_at and self._iteration == self._options.decay_at:
                for moment in self._moments:
                    moment.assign(tf.zeros_like(moment))
            losses = step(*self._arguments())
            self._iteration += 1
            if observe(self._iteration - 1, losses):
                return False
        if not self._options.clamp_until:
            self._clamp()
        return True

    @property
    def image(self) -> np.ndarray:
        """The picture as it stands, (1, H, W, 3): the last iterate or their mean."""
        if self._average is None or not self._iteration:
            return self._image.numpy()
        # The weights of the iterates so far add up to 1 − d^t.
        total = 1 - self._options.average_decay**self._iteration
        mean = self._average.numpy() / np.float32(total)
        if self._options.clamp_until:
            return mean
        return np.clip(mean, *clamp_range(self._options))

    @property
    def _seconds(self) -> float:
        if self._iteration == self._first:
            return self._seconds_before
        return self._seconds_before + time.monotonic() - self._started

    @property
    def current(self) -> tf.Tensor | tf.Variable:
        """`image` on the device; what is optimised itself if that need not be copied."""
        if self._average is None and not self._objective.traceable:
            return self._image
        return tf.convert_to_tensor(self.image)

    @property
    def state(self) -> StyleState:
        """Where to go on from."""
        return self._state()

    def release(self) -> StyleState:
        """`state`, after which nothing is left here: there is never twice of it all."""
        return self._state(release=True)

    def _state(self, release: bool = False) -> StyleState:
        moments = np.empty((2, *self._image.shape), np.float32)
        for number, place in enumerate(moments):
            place[:] = self._moments[number]
            if release:
                self._moments[number] = None
        state = StyleState(
            scale=self._scale,
            iteration=self._iteration,
            image=self._image.numpy(),
            moments=moments,
            seconds=self._seconds,
            average=None if self._average is None else self._average.numpy(),
        )
        if release:
            self._image = self._average = None
        return state
