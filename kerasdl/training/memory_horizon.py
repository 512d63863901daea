"""Memory horizons while a model trains: a Keras callback, and kerasdl's own runs.

`kerasdl.training.reach` says what is measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.files import atomic_path, write_json
from kerasdl.reports.memory_horizon import draw_horizons, png_of
from kerasdl.training.reach import THRESHOLD, Reach, measure

# What a run writes, and how many sequences it measures on.
PNG, COURSE = "memory_horizon.png", "memory_horizon.json"
PROBES = 16


class MemoryHorizon(keras.callbacks.Callback):
    """Logs memory horizons in anyone's `fit`, with Keras's recurrent layers or ours.

    At the start, after every epoch and, if `every` is given, every so many steps it
    measures every recurrent layer of the model on one batch. After an epoch the figures
    are in the logs (`memory_horizon/LAYER/delta_horizon`, `.../gamma_horizon`,
    `.../half_life`, `.../half_life_90`, all in time steps), as scalars in TensorBoard,
    and the whole course is drawn as a heat-map of lag against training step.

    Args:
        inputs: A batch as the model takes it; some ten sequences are enough.
        every: Training steps between measurements; 0 to measure after epochs alone.
        log_dir: TensorBoard's folder, or None.
        png: The picture, drawn anew after every epoch, or None.
        threshold: The share of the gradient that counts as nothing.
        seed: Of the direction of the gradient that enters.

    Attributes:
        steps: The training steps of the measurements.
        reaches: Their results, {layer: `Reach`} each.

    Example:

    ```python
    model.fit(x, y, callbacks=[MemoryHorizon(x[:16], log_dir="tb", png="horizon.png")])
    ```
    """

    def __init__(
        self,
        inputs: Any,
        *,
        every: int = 0,
        log_dir: str | Path | None = None,
        png: str | Path | None = None,
        threshold: float = THRESHOLD,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(
                "Received an invalid value for argument `threshold`, expected a share "
                f"between 0 and 1, got {threshold}."
            )
        if every < 0:
            raise ValueError(
                "Received an invalid value for argument `every`, expected a number of "
                f"steps or 0, got {every}."
            )
        self.inputs, self.every, self.threshold, self.seed = (
            inputs,
            every,
            threshold,
            seed,
        )
        self.png = None if png is None else Path(png)
        self.steps: list[int] = []
        self.reaches: list[dict[str, Reach]] = []
        self._writer = None
        if log_dir is not None:
            self._writer = tf.summary.create_file_writer(str(log_dir))

    def on_train_begin(self, logs=None):
        """Measures the model as it starts."""
        self.record(self._step())

    def on_train_batch_end(self, batch, logs=None):
        """Measures every `every` steps."""
        if self.every and self._step() % self.every == 0:
            self.record(self._step())

    def on_epoch_end(self, epoch, logs=None):
        """Measures, and writes figures and pictures."""
        figures = self.record(self._step())
        if logs is not None:
            logs.update(figures)
        self.draw()

    def record(self, step: int, model: keras.Layer | None = None) -> dict[str, float]:
        """Measures the model as it stands, unless it did at this step.

        Later measurements are dropped: training went back to this step.

        Args:
            step: The training step.
            model: What to measure, outside of `fit`.

        Returns:
            The figures by name.
        """
        while self.steps and self.steps[-1] > step:
            self.steps.pop(), self.reaches.pop()
        if self.steps[-1:] != [step]:
            self.reaches.append(measure(model or self.model, self.inputs, self.seed))
            self.steps.append(step)
        figures = {
            f"memory_horizon/{layer}/{name}": value
            for layer, reach in self.reaches[-1].items()
            for name, value in reach.figures(self.threshold).items()
        }
        if self._writer is not None:
            with self._writer.as_default():
                for name, value in figures.items():
                    tf.summary.scalar(name, value, step=step)
        return figures

    def save(self, path: Path) -> None:
        """Writes the measurements so far, for `load`."""
        reaches = [
            {layer: asdict(reach) for layer, reach in found.items()}
            for found in self.reaches
        ]
        lists = json.loads(json.dumps(reaches, default=np.ndarray.tolist))
        write_json(path, {"steps": self.steps, "reaches": lists})

    def load(self, path: Path) -> None:
        """Goes on after the measurements that `save` wrote.

        Raises:
            InputError: The file is not one of `save`.
        """
        try:
            stored = json.loads(path.read_text("utf-8"))
            reaches = [
                {
                    layer: Reach(*(v and np.array(v) for v in fields.values()))
                    for layer, fields in found.items()
                }
                for found in stored["reaches"]
            ]
            steps = [int(step) for step in stored["steps"]]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is damaged: delete it. ({error})") from error
        self.steps, self.reaches = steps, reaches

    def draw(self) -> None:
        """Draws the course so far: the PNG file, and TensorBoard's image."""
        if self.png is None and self._writer is None:
            return
        image = png_of(draw_horizons(self.steps, self.reaches, self.threshold))
        if self.png is not None:
            with atomic_path(self.png) as temporary:
                temporary.write_bytes(image)
        if self._writer is not None:
            pixels = tf.io.decode_png(image, channels=3)[tf.newaxis]
            with self._writer.as_default():
                tf.summary.image("memory_horizon", pixels, step=self.steps[-1])
            self._writer.flush()

    def _step(self) -> int:
        return int(self.model.optimizer.iterations)


def watched(
    root: Path,
    model: keras.Layer,
    inputs: Any,
    iterations: keras.Variable,
    evaluate: Callable[[], dict[str, float]],
) -> Callable[[], dict[str, float]]:
    """An evaluation that adds memory horizons to its figures, and draws their course.

    Args:
        root: The run's folder; the course is kept there for a run that is resumed.
        model: What is trained.
        inputs: A batch as the model takes it.
        iterations: The optimiser's count of steps.
        evaluate: The evaluation without them.
    """
    board = root / "tensorboard" / "memory_horizon"
    horizons = MemoryHorizon(inputs, log_dir=board, png=root / PNG)
    course = root / COURSE
    if course.exists():
        horizons.load(course)
    else:
        horizons.record(0, model)

    def evaluation() -> dict[str, float]:
        figures = horizons.record(int(iterations), model)
        horizons.save(course)
        horizons.draw()
        return evaluate() | figures

    return evaluation
