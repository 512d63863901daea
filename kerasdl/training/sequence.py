"""The bench of recurrent cells: what they remember, on tasks that ask for it.

`kerasdl.data.drawn.sequences` says what the tasks are, `kerasdl.models.sequence` what the
cells are. Training sequences are drawn anew at each step.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.data.drawn.sequences import task_batch, task_shape
from kerasdl.models.sequence import build_sequence_model
from kerasdl.reports.curves import learning_curves, save_charts
from kerasdl.reports.page import Outcome, Report, Section
from kerasdl.reports.sequence import report_bench
from kerasdl.training.comparison import Comparison
from kerasdl.training.config import override, split_list
from kerasdl.training.job import Job, Objective


class SequenceJob(Job):
    """One cell on one task: squared error of a number, or cross-entropy of classes."""

    name = "sequence"
    monitor = "val/loss"

    def build(self) -> Objective:
        """Builds the model and draws the held-out sequences."""
        config = self.config
        task = (config.task, config.steps, config.symbols, config.alphabet)
        shape = task_shape(*task)
        self.model = build_sequence_model(
            config.models,
            *((shape.length, shape.channels), shape.outputs, shape.answered),
            units=config.units,
            forget_bias=config.forget_bias,
            seed=config.seed,
        )
        order = np.arange(config.steps)
        if config.permuted:
            order = np.random.default_rng([config.seed, 3]).permutation(order)
        self._classes = shape.outputs > 1
        self._draw = functools.partial(task_batch, **_named(task), order=order)
        held_out = self._draw(
            np.random.default_rng([config.seed, 2]), config.val_sequences
        )
        self._held_out = held_out
        return Objective(
            self.model,
            self._loss,
            self._batches,
            config.batches_per_epoch,
            [tf.TensorSpec((None, *a.shape[1:]), a.dtype) for a in held_out],
            jit_compile=True,
        )

    def _batches(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        config = self.config
        for step in range(config.batches_per_epoch):
            random = np.random.default_rng([config.seed, 1, epoch, step])
            yield self._draw(random, config.batch_size)

    def _loss(self, inputs, targets, training=True) -> tf.Tensor:
        answers = tf.cast(self.model(inputs, training=training), tf.float32)
        return self._loss_of(answers, targets)

    def _loss_of(self, answers, targets) -> tf.Tensor:
        if self._classes:
            return tf.reduce_mean(
                keras.losses.sparse_categorical_crossentropy(
                    targets, answers, from_logits=True
                )
            )
        return tf.reduce_mean((answers - targets) ** 2)

    def evaluate(self) -> dict[str, float]:
        """`val/loss` of the held-out sequences and, of classes, `val/accuracy`."""
        inputs, targets = self._held_out
        answers = self.model(inputs, training=False)
        figures = {"val/loss": float(self._loss_of(answers, targets))}
        if self._classes:
            right = tf.argmax(answers, axis=-1, output_type=tf.int32) == targets
            figures["val/accuracy"] = float(tf.reduce_mean(tf.cast(right, tf.float32)))
        return figures

    def report(self, outcome: Outcome) -> Report:
        """The learning curves."""
        panels = {
            "mean squared error or cross-entropy": ["train/loss", "val/loss"],
            "accuracy": ["val/accuracy"],
        }
        curves = learning_curves(outcome.rows, panels, outcome.best_epoch)
        save_charts(curves, outcome.root / "loss.png")
        config = self.config
        return Report(
            title=f"{config.task.capitalize()}: {config.models}",
            summary=f"T = {config.steps}, {config.units} units.",
            sections=[Section("Learning curves", charts=curves)],
        )


def _named(task: tuple[str, int, int, int]) -> Mapping[str, str | int]:
    return dict(zip(("task", "steps", "symbols", "alphabet"), task, strict=True))


class SequenceBench(Comparison):
    """The cells of `config.models` on the same sequences."""

    def __init__(self, config: ConfigDict) -> None:
        jobs = {
            name: SequenceJob(override(config, {"models": name}))
            for name in dict.fromkeys(split_list(config.models))
        }
        super().__init__(config, jobs)

    def report(self, outcome: Outcome) -> Report:
        """Error, accuracy and memory horizons of each cell over the training steps."""
        config = self.config
        shape = task_shape(config.task, config.steps, config.symbols, config.alphabet)
        return report_bench(outcome, shape)


make_job = SequenceBench
