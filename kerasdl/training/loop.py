"""The training loop of the jobs that minimise a loss over minibatches.

Order of initialisation: the workdir's latest checkpoint if there is one, else the weights
that the model came with. Everything random is a function of (seed, epoch, step) or a
variable in the checkpoint, so a run that was killed anywhere and started again takes the
steps that it would have taken.
"""

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from kerasdl.data.batches import EpochBatches
from kerasdl.errors import InputError
from kerasdl.training.checkpoint import (
    BEST,
    assign_values,
    read_arrays,
    restore_latest,
    values_of,
    write_arrays,
    write_latest,
)
from kerasdl.training.distribution import check_agreement
from kerasdl.training.interrupts import Interrupted, SignalCatcher
from kerasdl.training.optimization import averaged_weights
from kerasdl.training.progress import epoch_line, say, track
from kerasdl.training.steps import TrainingSteps
from kerasdl.training.workdir import MetricsLog, Workdir
from kerasdl.tuning.optimizers import inner_optimizer

# Metrics that are better when smaller; every other is better when larger.
MINIMISED = ("loss", "nll", "ece", "mae")


@dataclasses.dataclass
class Progress:
    """Where a run stands; part of each checkpoint.

    Attributes:
        epoch: Epochs finished.
        step: Steps taken in the epoch under way.
        sums: Sums over those steps of what the training step reports.
        last: Figures of the epoch's last step: its learning rate and its update's norm.
        best: The monitored metric at its best, `None` before the first evaluation.
        best_epoch: The epoch (counted from 1) of `best`.
        seconds: Training time so far, over all parts of the run.
        rows: Those of metrics.jsonl.
    """

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    last: dict[str, float] = dataclasses.field(default_factory=dict)
    best: float | None = None
    best_epoch: int = 0
    seconds: float = 0.0
    rows: list[dict[str, float]] = dataclasses.field(default_factory=list)

    @classmethod
    def read(cls, path: Path, stored: Any, steps_per_epoch: int) -> "Progress":
        """The progress that a checkpoint holds.

        Raises:
            InputError: A field is missing, unknown, of another type or out of range.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        rule = None
        if not isinstance(stored, dict) or stored.keys() != names:
            odd = sorted(names ^ set(stored)) if isinstance(stored, dict) else stored
            rule = f"expected the fields {', '.join(sorted(names))}; differing: {odd}"
        else:
            self = cls(**stored)
            counts = (self.epoch, self.step, self.best_epoch)
            rows = self.rows if isinstance(self.rows, list) else [None]
            if not all(type(count) is int and count >= 0 for count in counts):
                rule = f"epoch, step and best_epoch must count, got {counts}"
            elif self.step > steps_per_epoch:
                rule = f"step must be at most {steps_per_epoch}, got {self.step}"
            elif self.best_epoch > self.epoch:
                rule = f"best_epoch is {self.best_epoch}, beyond epoch {self.epoch}"
            elif not _is_number(self.seconds) or self.seconds < 0:
                rule = f"seconds must not be negative, got {self.seconds!r}"
            elif (self.best is None) != (self.best_epoch == 0) or not _is_number(
                self.best or 0.0
            ):
                rule = f"best must be the figure of best_epoch, got {self.best!r}"
            elif not all(map(_is_figures, (self.sums, self.last, *rows))):
                rule = "sums, last and rows must hold numbers"
            elif [row.get("epoch") for row in rows] != [*range(1, self.epoch + 1)]:
                rule = f"rows must be those of epochs 1 to {self.epoch}"
        if rule:
            raise InputError(f"{path}: not the progress of a run: {rule}.")
        return self


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_figures(values: Any) -> bool:
    return isinstance(values, dict) and all(map(_is_number, values.values()))


class TrainingLoop:
    """Trains a model, evaluates it each epoch, keeps the latest and the best state.

    Args:
        workdir: Where checkpoints and metrics go.
        model: Its `variables` (seed generators included) are what checkpoints hold.
        optimizer: Its variables too; its learning rate may follow a schedule.
        take_steps: Takes a step for each of some batches and returns scalars by name for
            each, `loss` among them.
        batches: The batches of an epoch (counted from 0), always in the same order for
            the same epoch.
        steps_per_epoch: How many there are.
        epochs: How many epochs to train.
        evaluate: Figures of the model as it stands, keyed `split/metric`.
        monitor: The key, among those of `evaluate` or `train/loss`, that the best
            state is chosen by; the smaller is the better for a loss.
        patience: Epochs without improvement after which training ends; 0 for never.
        name: What the lines of an epoch begin with, if several models train.
        begin_epoch: Called with each epoch (counted from 0) before it; gives what takes
            the steps from then on if other variables are trained, else None.
    """

    def __init__(
        self,
        *,
        workdir: Workdir,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        take_steps: TrainingSteps,
        batches: Callable[[int], Iterable[Any]],
        steps_per_epoch: int,
        epochs: int,
        evaluate: Callable[[], dict[str, float]],
        monitor: str,
        patience: int = 0,
        name: str = "",
        begin_epoch: Callable[[int], TrainingSteps | None] = lambda epoch: None,
    ) -> None:
        if not steps_per_epoch:
            raise InputError("the training split has no batch to train on.")
        self.workdir = workdir
        self.model = model
        self.optimizer = optimizer
        self.take_steps = take_steps
        self.batches = batches
        self.steps_per_epoch = steps_per_epoch
        self.epochs = epochs
        self.evaluate = evaluate
        self.monitor = monitor
        self.patience = patience
        self.name = name
        self.begin_epoch = begin_epoch
        self.progress = Progress()
        self.log = MetricsLog(workdir)
        if not optimizer.built:
            optimizer.build(model.trainable_variables)

    @property
    def _variables(self) -> list[keras.Variable]:
        return [*self.model.variables, *self.optimizer.variables]

    def run(self) -> Progress:
        """Trains the epochs that are left; the model then holds the best state.

        Raises:
            Interrupted: After Ctrl-C or SIGTERM, once the state has been saved.
            InputError: The loss is not finite (the last good checkpoint is kept), or
                what the workdir holds is damaged.
        """
        restored = restore_latest(self.workdir.checkpoints, self._restore)
        if restored is not None:
            self.progress = restored
            say(f"going on from epoch {restored.epoch}, step {restored.step}")
        check_agreement(self._steps_taken(), "the steps that they have taken")
        self.log.restore(self.progress.rows)
        with SignalCatcher() as signals:
            self.take_steps.signals = signals
            while self.progress.epoch < self.epochs and not self._out_of_patience():
                self._run_epoch(signals)
                self._stop_at(signals)
        self._restore_best()
        return self.progress

    def _restore(self, path: Path) -> Progress:
        arrays, stored = read_arrays(path)
        progress = Progress.read(path, stored, self.steps_per_epoch)
        assign_values(path, arrays, self._variables)
        taken = progress.epoch * self.steps_per_epoch + progress.step
        scales = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        steps = self._steps_taken()  # a loss scaler leaves out those that overflow
        if steps > taken or (steps < taken and not scales):
            raise InputError(
                f"{path}: its optimiser has taken {steps} steps,"
                f" not the {taken} of epoch {progress.epoch}, step {progress.step}."
            )
        return progress

    def _steps_taken(self) -> int:
        return int(tf.convert_to_tensor(self.optimizer.iterations))

    def _restore_best(self) -> None:
        progress, path = self.progress, self.workdir.checkpoints / BEST
        is_current = progress.best_epoch == progress.epoch and not progress.step
        if is_current and not inner_optimizer(self.optimizer).use_ema:
            return  # it is the state that the model is in
        try:
            arrays, stored = read_arrays(path)
            found = Progress.read(path, stored, self.steps_per_epoch)
            if found.epoch != progress.best_epoch:
                raise InputError(f"{path}: it is of epoch {found.epoch}.")
            assign_values(path, arrays, self.model.variables)
        except InputError as error:
            raise InputError(
                f"the best state, of epoch {progress.best_epoch}, is lost: {error} "
                "Restore the file or name a new --workdir."
            ) from error

    def _stop_at(self, signals: SignalCatcher) -> None:
        if received := self.take_steps.received(signals):
            progress = self.progress
            raise Interrupted(
                received,
                f"saved after epoch {progress.epoch}, step {progress.step}; "
                "the same command goes on from there",
            )

    def _out_of_patience(self) -> bool:
        waited = self.progress.epoch - self.progress.best_epoch
        return 0 < self.patience <= waited

    def _run_epoch(self, signals: SignalCatcher) -> None:
        progress, started = self.progress, time.monotonic()
        if (steps := self.begin_epoch(progress.epoch)) is not None:
            self.take_steps, steps.signals = steps, signals
        what = f"{self.name} epoch {progress.epoch + 1}/{self.epochs}".lstrip()
        taken = progress.step  # before the run was interrupted
        if isinstance(self.batches, EpochBatches):
            batches = self.batches(progress.epoch, taken)
        else:
            batches = itertools.islice(self.batches(progress.epoch), taken, None)
        batches = track(batches, self.steps_per_epoch - taken, what)
        for first, group in self._groups(batches, taken):
            self._take_group(first, group)
            if self.take_steps.received(signals):
                progress.seconds += time.monotonic() - started
                self._save_latest()
                self._stop_at(signals)
        row = self._finish_epoch()
        row["seconds"] = round(time.monotonic() - started, 3)
        progress.seconds += row["seconds"]
        self._record(row, what)

    def _groups(
        self, batches: Iterable[Any], first: int = 0
    ) -> Iterator[tuple[int, list[Any]]]:
        """The batches of each call, and the first one's number; the last is alone."""
        batches = iter(batches)
        while first < self.steps_per_epoch:
            size = min(self.take_steps.size, self.steps_per_epoch - 1 - first)
            group = list(itertools.islice(batches, max(size, 1)))
            if not group:
                raise InputError(
                    f"an epoch must have {self.steps_per_epoch} batches, got {first}."
                )
            yield first, group
            first += len(group)

    def _take_group(self, first: int, group: list[Any]) -> None:
        progress = self.progress
        is_last = first == self.steps_per_epoch - 1
        if is_last:
            before = [tf.identity(v) for v in self.model.trainable_variables]
            progress.last["learning_rate"] = float(self.optimizer.learning_rate)
        for step, results in enumerate(self.take_steps(group), start=first + 1):
            if not math.isfinite(results["loss"]):
                self._refuse("loss", f"step {step}", results["loss"])
            for name, value in results.items():
                progress.sums[name] = progress.sums.get(name, 0.0) + value
            progress.step = step
        if is_last:
            updates = [
                tf.convert_to_tensor(new) - old
                for new, old in zip(self.model.trainable_variables, before, strict=True)
            ]
            progress.last["update_norm"] = float(tf.linalg.global_norm(updates))

    def _refuse(self, what: str, where: str, value: float) -> None:
        raise InputError(
            f"the {what} is not finite at epoch {self.progress.epoch + 1}, {where}, got "
            f"{value}; a lower --config.learning_rate may help, and "
            f"{self.workdir.checkpoints} keeps the last good checkpoint."
        )

    def _finish_epoch(self) -> dict[str, float]:
        """The epoch's row; `progress` moves on to the next epoch."""
        progress = self.progress
        weights = [tf.convert_to_tensor(v) for v in self.model.trainable_variables]
        row: dict[str, float] = {"epoch": progress.epoch + 1}
        for name, total in progress.sums.items():
            row[f"train/{name}"] = total / progress.step
        for name, value in progress.last.items():
            row[f"train/{name}"] = value
        row["train/parameter_norm"] = float(tf.linalg.global_norm(weights))
        if not math.isfinite(row["train/parameter_norm"]):
            self._refuse("norm of the weights", "end", row["train/parameter_norm"])
        with averaged_weights(self.optimizer):
            row.update(self.evaluate())
        progress.epoch += 1
        progress.step, progress.sums, progress.last = 0, {}, {}
        return row

    def _record(self, row: dict[str, float], what: str) -> None:
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
        is_best = self._improves(row[self.monitor])
        progress.rows.append(row)
        if is_best:
            progress.best, progress.best_epoch = row[self.monitor], progress.epoch
            with averaged_weights(self.optimizer):
                write_arrays(
                    self.workdir.checkpoints / BEST,
                    values_of(self.model.variables),
                    dataclasses.asdict(progress),
                )
        self.log.append(row)
        self._save_latest()
        say(epoch_line(what, row, self.monitor, is_best))

    def _improves(self, value: float) -> bool:
        best = self.progress.best
        if best is None:
            return True
        smaller_is_better = self.monitor.rsplit("/", 1)[-1] in MINIMISED
        return value < best if smaller_is_better else value > best

    def _save_latest(self) -> None:
        write_latest(
            self.workdir.checkpoints,
            values_of(self._variables),
            dataclasses.asdict(self.progress),
        )
