"""`stylize`: one content picture in one or more styles."""

import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.style.descent import AdamDescent, StyleState
from kerasdl.style.features import to_grey_levels
from kerasdl.style.inputs import Picture, Pictures
from kerasdl.style.lbfgs import LbfgsDescent
from kerasdl.style.network import StyleNetwork
from kerasdl.style.objective import StyleObjective
from kerasdl.style.options import StyleOptions, make_options
from kerasdl.style.pictures import (
    with_colours_of,
)
from kerasdl.style.tiling import TiledNetwork, TiledObjective

# The options that a network is made from.
NETWORK_FIELDS = (
    "backbone",
    "weights",
    "pooling",
    "feature_divisors",
    "content_layers",
    "style_layers",
    "tile_size",
    "precision",
)

# Rows of a result that are converted at once: a picture may be as large as memory allows.
STRIP = 256


DESCENTS = {"adam": AdamDescent, "lbfgs": LbfgsDescent}


@dataclasses.dataclass(frozen=True)
class StyleStep:
    """What a callback of `stylize` is told.

    Attributes:
        iteration: Counted over all scales; `losses` are those before its update.
        iterations: How many there will be.
        size: (height, width) of the picture at this scale.
        losses: `loss/total`, `loss/content`, `loss/style`, `loss/tv`, and
            `loss/content/LAYER`, `loss/style/LAYER`, all weighted.
        seconds: Optimisation time so far.
        picture: Gives the picture as it stands, uint8 (H, W, 3); good until the
            callback returns.
        state: Gives the state to go on from; good until the callback returns.
    """

    iteration: int
    iterations: int
    size: tuple[int, int]
    losses: dict[str, float]
    seconds: float
    picture: Callable[[], np.ndarray] = dataclasses.field(repr=False, compare=False)
    state: Callable[[], StyleState] = dataclasses.field(repr=False, compare=False)

    @property
    def row(self) -> dict[str, float]:
        """The step as a row of numbers, `iteration` first."""
        height, width = self.size
        return {
            "iteration": self.iteration,
            **self.losses,
            "height": height,
            "width": width,
            "seconds": round(self.seconds, 3),
        }


@dataclasses.dataclass(frozen=True)
class StyleResult:
    """What `stylize` returns.

    Attributes:
        image: uint8 (H, W, 3), sRGB.
        trace: A row for each step that a callback was (or would have been) told of,
            `StyleStep.row`; the last holds the losses of `image` if `finished`.
        state: Where the optimisation stands.
        finished: Whether it was left to end.
    """

    image: np.ndarray
    trace: tuple[dict[str, float], ...]
    state: StyleState
    finished: bool


def stylize(
    content: Picture,
    styles: Picture | Sequence[Picture],
    *,
    masks: Sequence[Picture] = (),
    options: StyleOptions | None = None,
    every: int = 10,
    callback: Callable[[StyleStep], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    resume: StyleState | None = None,
    **overrides: Any,
) -> StyleResult:
    """Repaints a picture in the manner of others (Gatys, Ecker and Bethge, 2016).

    Args:
        content: A path, or uint8 (H, W, 3) in sRGB.
        styles: One such picture or several.
        masks: A picture for each style, of the content's proportions: white where the
            style holds, black where it does not, grey in between. Where masks add up to
            more than white they share the place, where all are black there is no style.
            None: all styles are mixed everywhere.
        options: All options at once; the usual ones if None.
        every: A step is reported each so many iterations, from 0 on, and the last one.
        callback: Is told of each step reported.
        should_stop: Asked after each iteration; if it says True, the result is the
            picture so far.
        resume: A state of an earlier call with the same pictures and options.
        **overrides: Options by name, such as `image_size=512`; see `StyleOptions`. Lists
            and mappings are taken for options of several parts:
            `style_layers=["block0", "block2"]`, `feature_divisors={"block0": 20}`.

    Returns:
        The picture and the trace of its losses.

    Raises:
        InputError: If a picture cannot be read, an option is unknown or out of range,
            or a loss is not finite (naming the iteration).

    Example:

    ```python
    from kerasdl.style import stylize

    result = stylize("town.jpg", "waves.jpg", image_size=512, scales=2)
    ```
    """
    given = {} if options is None else dataclasses.asdict(options)
    options = make_options({**given, **overrides})
    pictures = Pictures(content, _as_list(styles), _as_list(masks), options)
    run = PictureRun(pictures, options, every)
    run.callback = callback
    if should_stop is not None:
        run.should_stop = should_stop
    return run.run(resume)


def network_of(options: StyleOptions) -> StyleNetwork:
    """The network of `options`, the same for calls with the same one.

    Raises:
        InputError: As `StyleNetwork`.
    """
    changed = os.stat(options.weights).st_mtime_ns if _is_file(options.weights) else 0
    shared = {name: getattr(options, name) for name in NETWORK_FIELDS}
    return _network_of(StyleOptions(**shared), changed)


@functools.lru_cache(maxsize=2)
def _network_of(options: StyleOptions, changed: int) -> StyleNetwork:
    del changed  # a file that was replaced is another one
    return (TiledNetwork if options.tile_size else StyleNetwork)(options)


def _is_file(path: str) -> bool:
    return bool(path) and os.path.isfile(path)


def _as_list(pictures: Picture | Sequence[Picture]) -> list[Picture]:
    single = isinstance(pictures, str | Path | np.ndarray)
    return [pictures] if single else list(pictures)


class PictureRun:
    """One call of `stylize`."""

    callback: Callable[[StyleStep], None] | None = None

    @staticmethod
    def should_stop() -> bool:
        """Asked after each iteration."""
        return False

    def __init__(self, pictures: Pictures, options: StyleOptions, every: int) -> None:
        if every < 1:
            raise InputError(f"`every` must be positive, got {every}.")
        self._pictures = pictures
        self._options = options
        self._every = every
        self._network = network_of(options)
        self._trace: list[dict[str, float]] = []

    def run(self, resume: StyleState | None) -> StyleResult:
        """Takes the iterations that are left, of all scales."""
        state = resume or self._start(0, None)
        while True:
            scale, seconds = state.scale, state.seconds
            size = tuple(state.image.shape[1:3])
            objective = self._objective(scale, state.image.shape)
            descent = DESCENTS[self._options.optimizer](
                objective, self._options, state, self._options.iterations_at(scale)
            )
            state = None  # its arrays are as large as the picture
            finished = self._descend(scale, size, seconds, objective, descent)
            if not finished or scale == self._options.scales - 1:
                break
            state = self._start(scale + 1, descent)
        image = self._picture(scale, descent.image)
        del objective
        return StyleResult(image, tuple(self._trace), descent.release(), finished)

    def _start(self, scale: int, coarser: Any) -> StyleState:
        """The state at the start of `scale`: the coarser scale's result, enlarged."""
        initial = self._pictures.warm
        if initial is None:
            initial = self._pictures.initial_at(scale)
        seconds = 0.0
        if coarser is not None:
            height, width = initial.shape[1:3]
            initial = tf.image.resize(coarser.image, (height, width), "bicubic")
            seconds = coarser.state.seconds
        image = initial.numpy()
        begins = coarser is None and self._pictures.warm is None
        if begins and self._options.init == "content" and self._options.init_noise:
            rng = np.random.default_rng([self._options.seed, scale, 1])
            noise = rng.standard_normal(image.shape, np.float32)
            image = image + np.float32(self._options.init_noise) * noise
        moments = np.zeros((2, *image.shape), np.float32)
        average = np.zeros_like(image) if self._options.average_decay else None
        return StyleState(scale, 0, image, moments, seconds, average)

    def _objective(self, scale: int, shape: tuple[int, ...]) -> StyleObjective:
        """The objective at `scale`, for a picture of `shape` (1, H, W, 3)."""
        pictures, options = self._pictures, self._options
        if tuple(shape[1:3]) != pictures.content_at(scale).shape[:2]:
            raise InputError(
                "`resume` must be a state of the same pictures and options, got a "
                f"picture of shape {shape}."
            )
        tiled = 0 < options.tile_size < max(shape[1:3])
        return (TiledObjective if tiled else StyleObjective)(
            self._network,
            options,
            pictures.target_at(scale),
            pictures.styles_at(scale),
            None if options.init == "content" else pictures.initial_at(scale),
            masks=pictures.masks_at(scale),
            anchor=pictures.anchor,
        )

    def _descend(
        self,
        scale: int,
        size: tuple[int, int],
        seconds: float,
        objective: StyleObjective,
        descent: Any,
    ) -> bool:
        """Takes the iterations of a scale; returns whether all were taken."""
        options = self._options
        iterations = options.iterations_at(scale)
        offset = sum(options.iterations_at(s) for s in range(scale))
        started = time.monotonic()

        def report(number: int, losses: tf.Tensor) -> None:
            values = dict(zip(objective.terms, map(float, losses.numpy()), strict=True))
            if not math.isfinite(values["loss/total"]):
                raise InputError(
                    f"the loss is not finite at iteration {offset + number}, got "
                    f"{values['loss/total']}; a lower `learning_rate` may help."
                )
            step = StyleStep(
                iteration=offset + number,
                iterations=options.total_iterations,
                size=size,
                losses=values,
                seconds=seconds + time.monotonic() - started,
                picture=lambda: self._picture(scale, descent.image),
                state=lambda: descent.state,
            )
            self._trace.append(step.row)
            if self.callback is not None:
                self.callback(step)

        def observe(number: int, losses: tf.Tensor) -> bool:
            if number % self._every == 0:
                report(number, losses)
            return self.should_stop()

        finished = descent.run(observe)
        if finished and scale == options.scales - 1:
            report(iterations, objective.losses(descent.current))
        return finished

    def _picture(self, scale: int, image: np.ndarray) -> np.ndarray:
        """(1, H, W, 3) in normalised units as uint8 (H, W, 3)."""
        strips = [image[0, top : top + STRIP] for top in range(0, image.shape[1], STRIP)]
        low, high = 0.0, 255.0
        if self._options.stretch:
            levels = [to_grey_levels(strip) for strip in strips]
            low, high = min(x.min() for x in levels), max(x.max() for x in levels)
        pixels = np.empty(image.shape[1:], np.uint8)
        for number, strip in enumerate(strips):
            levels = to_grey_levels(strip)
            if self._options.stretch:
                levels = 255 * (levels - low) / max(high - low, 1e-12)
            rows = pixels[number * STRIP : number * STRIP + len(strip)]
            rows[:] = np.clip(np.rint(levels), 0, 255)
        if self._options.keep_colours:
            return with_colours_of(pixels, self._pictures.content_at(scale))
        return pixels
