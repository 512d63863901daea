"""The training loop of the jobs that minimise a loss over minibatches.

Order of initialisation: the workdir's latest checkpoint where there is one, else the
weights that the model came with. Everything random is a function of (seed, epoch, step)
or a variable in the checkpoint, so a run that was killed anywhere and started again
takes the steps that it would have taken.
"""

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.training.checkpoint import restore_checkpoint, save_checkpoint
from kerasdl.training.interrupts import Interrupted, SignalCatcher
from kerasdl.training.progress import say, track
from kerasdl.training.schedules import Schedule
from kerasdl.training.steps import GroupedSteps, OneByOne
from kerasdl.training.workdir import MetricsLog, Workdir

# Metrics that are better when smaller; every other is better when larger.
MINIMISED = ("loss", "nll", "ece")


@dataclasses.dataclass
class Progress:
    """Where a run stands; part of each checkpoint.

    Attributes:
        epoch: Epochs finished.
        step: Steps taken in the epoch under way.
        sums: Sums over those steps of what the training step reports.
        best: The monitored metric at its best, `None` before the first evaluation.
        best_epoch: The epoch (counted from 1) of `best`.
        seconds: Training time so far, over all parts of the run.
    """

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    best: float | None = None
    best_epoch: int = 0
    seconds: float = 0.0


class TrainingLoop:
    """Trains a model, evaluates it each epoch, keeps the latest and the best state.

    Args:
        workdir: Where checkpoints and metrics go.
        model: Its `variables` (seed generators included) are what checkpoints hold.
        optimizer: Its variables too; its learning rate follows `schedule`.
        train_step: Takes one batch and returns scalars by name, `loss` among them; or
            takes several in one call.
        batches: The batches of an epoch (counted from 0), always in the same order for
            the same epoch.
        steps_per_epoch: How many there are.
        epochs: How many epochs to train.
        schedule: The learning rate as a function of the epoch and its fraction.
        evaluate: Figures of the model as it stands, keyed `split/metric`.
        monitor: The key, among those of `evaluate` or `train/loss`, that the best
            state is chosen by; the smaller is the better for a loss.
        patience: Epochs without improvement after which training ends; 0 for never.
    """

    def __init__(
        self,
        *,
        workdir: Workdir,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        train_step: Callable[[Any], dict[str, tf.Tensor]] | GroupedSteps,
        batches: Callable[[int], Iterable[Any]],
        steps_per_epoch: int,
        epochs: int,
        schedule: Schedule,
        evaluate: Callable[[], dict[str, float]],
        monitor: str,
        patience: int = 0,
    ) -> None:
        self.workdir = workdir
        self.model = model
        self.optimizer = optimizer
        if not isinstance(train_step, GroupedSteps):
            train_step = OneByOne(train_step, optimizer)
        self._take_steps = train_step
        self.batches = batches
        self.steps_per_epoch = steps_per_epoch
        self.epochs = epochs
        self.schedule = schedule
        self.evaluate = evaluate
        self.monitor = monitor
        self.patience = patience
        self.progress = Progress()
        self.log = MetricsLog(workdir)
        if not optimizer.built:
            optimizer.build(model.trainable_variables)

    @property
    def _variables(self) -> list[keras.Variable]:
        return [*self.model.variables, *self.optimizer.variables]

    def run(self) -> Progress:
        """Trains what is left to train, then loads the best state into the model.

        Raises:
            Interrupted: After Ctrl-C or SIGTERM, once a checkpoint is written.
            InputError: Where a loss is not finite; the last checkpoint stays.
        """
        latest = self.workdir.checkpoints / "latest.npz"
        if latest.exists():
            self.progress = Progress(**restore_checkpoint(latest, self._variables))
            say(f"going on from epoch {self.progress.epoch}, step {self.progress.step}")
        self.log.resume(after=self.progress.epoch)
        with SignalCatcher() as signals:
            while self.progress.epoch < self.epochs and not self._out_of_patience():
                self._run_epoch(signals)
        best = self.workdir.checkpoints / "best.npz"
        if best.exists():
            restore_checkpoint(best, self.model.variables)
        return self.progress

    def _out_of_patience(self) -> bool:
        waited = self.progress.epoch - self.progress.best_epoch
        return 0 < self.patience <= waited

    def _run_epoch(self, signals: SignalCatcher) -> None:
        progress, started = self.progress, time.monotonic()
        before: list[tf.Tensor] = []
        what = f"epoch {progress.epoch + 1}/{self.epochs}"
        batches = track(self.batches(progress.epoch), self.steps_per_epoch, what)
        for first, group in self._groups(batches):
            if first < progress.step:
                continue  # taken before the run was interrupted
            if first == self.steps_per_epoch - 1:
                before = [tf.identity(v) for v in self.model.trainable_variables]
            self._take_group(first, group)
            if signals.received:
                progress.seconds += time.monotonic() - started
                self._save("latest")
                raise Interrupted(
                    signals.received,
                    f"saved after epoch {progress.epoch}, step {progress.step}; "
                    "the same command goes on from there",
                )
        row = self._finish_epoch(before)
        row["seconds"] = round(time.monotonic() - started, 3)
        progress.seconds += row["seconds"]
        self._record(row)

    def _groups(self, batches: Iterable[Any]) -> Iterator[tuple[int, list[Any]]]:
        """The batches of each call, and the first one's number; the last is alone."""
        batches, first = iter(batches), 0
        while first < self.steps_per_epoch:
            size = min(self._take_steps.size, self.steps_per_epoch - 1 - first)
            group = list(itertools.islice(batches, max(size, 1)))
            if not group:
                return
            yield first, group
            first += len(group)

    def _take_group(self, first: int, group: list[Any]) -> None:
        progress = self.progress
        rates = [
            self.schedule(progress.epoch + (first + k) / self.steps_per_epoch)
            for k in range(len(group))
        ]
        for step, results in enumerate(self._take_steps(group, rates), start=first + 1):
            if not math.isfinite(results["loss"]):
                raise InputError(
                    f"the loss is not finite at epoch {progress.epoch + 1}, step {step}, "
                    f"got {results['loss']}; a lower --config.learning_rate may help, "
                    f"and {self.workdir.checkpoints} keeps the last good checkpoint."
                )
            for name, value in results.items():
                progress.sums[name] = progress.sums.get(name, 0.0) + value
            progress.step = step

    def _finish_epoch(self, before: list[tf.Tensor]) -> dict[str, float]:
        """The epoch's row; `progress` moves on to the next epoch."""
        progress = self.progress
        if not progress.step:
            raise InputError("the training split has no batch to train on.")
        weights = [tf.convert_to_tensor(v) for v in self.model.trainable_variables]
        row: dict[str, float] = {"epoch": progress.epoch + 1}
        for name, total in progress.sums.items():
            row[f"train/{name}"] = total / progress.step
        if before:
            updates = [new - old for new, old in zip(weights, before, strict=True)]
            row["train/update_norm"] = float(tf.linalg.global_norm(updates))
        row["train/parameter_norm"] = float(tf.linalg.global_norm(weights))
        row["train/learning_rate"] = float(self.optimizer.learning_rate)
        row.update(self.evaluate())
        progress.epoch += 1
        progress.step, progress.sums = 0, {}
        return row

    def _record(self, row: dict[str, float]) -> None:
        """Best state, row, latest state: in this order a kill between two is mended.

        A run started again replays the epoch from the latest state, writes the same
        best state, and drops the row that it will write again.
        """
        progress = self.progress
        if self.monitor not in row:
            raise InputError(
                f"--config.monitor must be one of {', '.join(sorted(row))}, "
                f"got {self.monitor!r}."
            )
        if self._improves(row[self.monitor]):
            progress.best, progress.best_epoch = row[self.monitor], progress.epoch
            self._save("best")
        self.log.append(row)
        self._save("latest")
        figures = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
        say(figures)

    def _improves(self, value: float) -> bool:
        best = self.progress.best
        if best is None:
            return True
        smaller_is_better = self.monitor.rsplit("/", 1)[-1] in MINIMISED
        return value < best if smaller_is_better else value > best

    def _save(self, name: str) -> None:
        variables = self._variables if name == "latest" else self.model.variables
        path = self.workdir.checkpoints / f"{name}.npz"
        save_checkpoint(path, variables, dataclasses.asdict(self.progress))
