"""The adding problem: what a recurrent layer can remember, as a job of one file.

Two of T numbers are marked; the network is to give their sum after the last step, so it
must carry what it has seen over up to T steps (Hochreiter and Schmidhuber 1997, section
5.4).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.data.drawn.adding import CHANCE, adding_batch
from kerasdl.models.adding import build_adding_model
from kerasdl.reports.curves import column, learning_curves, line_chart, save_charts
from kerasdl.reports.page import Outcome, Report, Section
from kerasdl.training.comparison import Comparison
from kerasdl.training.config import override, split_list
from kerasdl.training.job import Job, Objective


class AddingJob(Job):
    """One recurrent layer, which minimises the mean squared error of the sum."""

    name = "adding"
    monitor = "val/loss"

    def build(self) -> Objective:
        """Builds the model and draws the held-out sequences."""
        config = self.config
        self.model = build_adding_model(
            config.models, config.steps, config.units, config.chrono, config.seed
        )
        random = np.random.default_rng([config.seed, 2])
        self._held_out = adding_batch(random, config.val_sequences, config.steps)
        return Objective(
            self.model,
            self._mean_square,
            self._batches,
            config.batches_per_epoch,
            [tf.TensorSpec((None, *a.shape[1:]), a.dtype) for a in self._held_out],
            jit_compile=True,
        )

    def _batches(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        config = self.config
        for step in range(config.batches_per_epoch):
            random = np.random.default_rng([config.seed, 1, epoch, step])
            yield adding_batch(random, config.batch_size, config.steps)

    def _mean_square(self, inputs, targets, training=True) -> tf.Tensor:
        sums = tf.cast(self.model(inputs, training=training), tf.float32)
        return tf.reduce_mean((sums - targets) ** 2)

    def evaluate(self) -> dict[str, float]:
        """The mean squared error of the held-out sequences."""
        return {"val/loss": float(self._mean_square(*self._held_out, training=False))}

    def report(self, outcome: Outcome) -> Report:
        """The learning curves."""
        panels = {"mean squared error": ["train/loss", "val/loss"]}
        curves = learning_curves(outcome.rows, panels, outcome.best_epoch)
        save_charts(curves, outcome.root / "loss.png")
        config = self.config
        return Report(
            title=f"The adding problem: {config.models.upper()}",
            summary=f"T = {config.steps}, {config.units} units.",
            sections=[Section("Learning curves", charts=curves)],
        )


class AddingComparison(Comparison):
    """The layers of `config.models` on the same sequences."""

    def __init__(self, config: ConfigDict) -> None:
        jobs = {
            name: AddingJob(override(config, {"models": name}))
            for name in split_list(config.models)
        }
        super().__init__(config, jobs)

    def report(self, outcome: Outcome) -> Report:
        """The validation error of each layer over the training steps."""
        config, lines = self.config, {}
        for name, part in outcome.parts.items():
            epochs, values = column(part.rows, "val/loss")
            lines[name] = ([e * config.batches_per_epoch for e in epochs], values)
        chart = line_chart(
            lines,
            f"training steps of {config.batch_size} sequences",
            "mean squared error, validation",
            logarithmic=True,
            level=(CHANCE, "answering 1 always: 1/6"),
        )
        save_charts([chart], outcome.root / "loss.png")
        return Report(
            title="The adding problem",
            summary=(
                f"Two of {config.steps} numbers are marked; the network is to give their "
                "sum after the last step. What it must remember reaches over up to "
                f"{config.steps} steps, across which the vanilla RNN's gradient vanishes."
            ),
            sections=[Section("Validation error", charts=[chart])],
            links={name: f"{name}/report.html" for name in outcome.parts},
        )


make_job = AddingComparison
