"""The base of all jobs, and the function that runs them.

    check the config -> read the data, build the model -> make the workdir
        -> train (resuming) -> model.keras -> metrics.json -> report.html

All that can be wrong is found before the workdir is made: a command that is refused
leaves nothing behind, and the corrected one just runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import operator
import types
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.errors import InputError
from kerasdl.files import atomic_path, write_json
from kerasdl.reports.memory_horizon import horizon_section
from kerasdl.reports.page import Outcome, Report, write_report
from kerasdl.runs import write_digests
from kerasdl.training.distribution import check_agreement, folder_of, started
from kerasdl.training.loop import TrainingLoop
from kerasdl.training.memory_horizon import PNG, PROBES, watched
from kerasdl.training.optimization import make_optimizer, make_schedule
from kerasdl.training.precision import FLOAT32, scaling_losses
from kerasdl.training.progress import print_figures, say
from kerasdl.training.reach import recurrent_layers
from kerasdl.training.steps import Loss, TrainingSteps, count_examples
from kerasdl.training.workdir import Workdir

REPEATABLE = (
    "The same seed, machine and versions give the same weights, bit for bit; on other "
    "processors or numbers of threads sums are rounded in another order."
)


@dataclasses.dataclass
class Objective:
    """What is minimised, and over what.

    Attributes:
        model: Its trainable variables are trained.
        loss: Takes a batch's tensors and returns a scalar, an average over what `weight`
            counts.
        batches: The batches of an epoch (counted from 0), tuples of arrays, the same for
            the same epoch.
        steps_per_epoch: How many there are.
        signature: Of a batch's tensors.
        steps_per_call: Steps that one call of the graph takes; see `TrainingSteps`.
        jit_compile: Whether XLA compiles the whole step.
        weight: See `kerasdl.training.steps.make_train_step`.
        inputs: From a batch to what the model takes, where `memory_horizon` measures.
        changes: Called with each epoch (counted from 0) before it; may change which
            variables are trained, and says whether it did.
    """

    model: keras.Model
    loss: Loss
    batches: Callable[[int], Iterable[Any]]
    steps_per_epoch: int
    signature: Sequence[tf.TensorSpec]
    steps_per_call: int = 1
    jit_compile: bool = False
    weight: Callable[..., tf.Tensor] = count_examples
    inputs: Callable[[Any], Any] = operator.itemgetter(0)
    changes: Callable[[int], bool] = lambda epoch: False

    def steps(
        self, optimizer: keras.optimizers.Optimizer, precision: str
    ) -> TrainingSteps:
        """What trains the model, step by step; see `TrainingSteps`."""
        return TrainingSteps(
            self.model,
            optimizer,
            self.loss,
            self.signature,
            self.steps_per_call,
            jit_compile=self.jit_compile,
            weight=self.weight,
            precision=precision,
        )


class Job:
    """One experiment: its data, model, objective, evaluation and report.

    `train` calls the methods in the order in which they stand here. A job that does not
    minimise a loss over batches overrides `fit`.

    Args:
        config: Checked by `kerasdl.training.jobs`.

    Attributes:
        name: As config.json holds it.
        label: What its lines begin with, if several models train.
        model: What becomes model.keras; set by `build`; None for none.
        splits: The data by the name of the split; set by `build` if there is a
            `scorer` of it, whose `scores(split, name)` are keyed `name/metric`.
        notes: What a reader of the figures should know of data and model.
        seconds_before: Of training that the loop does not count.
    """

    name: str
    label: str = ""
    model: keras.Model | None = None
    splits: Mapping[str, Sized] = types.MappingProxyType({})
    scorer: Any = None

    def __init__(self, config: ConfigDict) -> None:
        self.config = config
        self.notes: list[str] = []
        self.seconds_before = 0.0

    def build(self) -> Objective:
        """Reads the data and builds the model.

        Raises:
            InputError: The data or a field of the config is wrong.
        """
        raise NotImplementedError

    def save(self, workdir: Workdir) -> None:
        """Writes what the model needs besides its weights, such as its vocabulary."""

    def before_fit(self, workdir: Workdir) -> None:
        """Trains what comes before the objective, in a folder of its own."""

    @property
    def monitor(self) -> str:
        """The figure that chooses the best epoch; the loss without a validation split."""
        return self.config.monitor if len(self.splits["val"]) else "train/loss"

    @property
    def epochs(self) -> int:
        """How many epochs to train."""
        return self.config.epochs

    def schedule(self, steps_per_epoch: int) -> Any:
        """The learning rate."""
        return make_schedule(self.config, steps_per_epoch)

    def optimizer(self, rate: Any) -> keras.optimizers.Optimizer:
        """The optimiser at a learning rate."""
        return make_optimizer(self.config, rate)

    def fit(self, workdir: Workdir, objective: Objective) -> Outcome:
        """Trains the epochs that are left; the model then is the best one.

        Raises:
            Interrupted, InputError: As `TrainingLoop.run`.
        """
        precision = self.config.get("precision", FLOAT32)
        optimizer = scaling_losses(
            precision, self.optimizer(self.schedule(objective.steps_per_epoch))
        )
        if not optimizer.built:
            optimizer.build(objective.model.trainable_variables)
        evaluate = self.evaluate
        if self.config.get("memory_horizon", False):
            first = objective.inputs(next(iter(objective.batches(0))))
            evaluate = watched(
                workdir.root,
                objective.model,
                tf.nest.map_structure(lambda array: array[:PROBES], first),
                optimizer.iterations,
                evaluate,
            )
        loop = TrainingLoop(
            workdir=workdir,
            model=objective.model,
            optimizer=optimizer,
            take_steps=objective.steps(optimizer, precision),
            batches=objective.batches,
            steps_per_epoch=objective.steps_per_epoch,
            epochs=self.epochs,
            evaluate=evaluate,
            monitor=self.monitor,
            patience=self.config.get("patience", 0),
            name=self.label,
            begin_epoch=lambda epoch: (
                objective.steps(optimizer, precision)
                if objective.changes(epoch)
                else None
            ),
        )
        progress = loop.run()
        return Outcome(
            root=workdir.root,
            config=workdir.config,
            rows=progress.rows,
            best_epoch=progress.best_epoch,
            seconds=progress.seconds,
        )

    def evaluate(self) -> dict[str, float]:
        """Figures of the model as it stands on held-out data, keyed `split/metric`."""
        return self.scorer.scores(self.splits["val"], "val")

    def score(self, outcome: Outcome) -> dict[str, Any]:
        """The final figures, keyed `split/metric`, and those of the job alone."""
        if not self.splits:
            return self.evaluate()
        scores = {}
        for name, split in self.splits.items():
            scores |= self.scorer.scores(split, name)
        return scores

    def metrics(self, outcome: Outcome) -> dict[str, Any]:
        """The final figures as metrics.json holds them."""
        scores = self.score(outcome)
        best = outcome.rows[outcome.best_epoch - 1]
        seconds = self.seconds_before + outcome.seconds
        return {
            # The training loss is that of training, with dropout, not a score.
            **{name: v for name, v in scores.items() if name != "train/loss"},
            "train/loss": best["train/loss"],
            "best_epoch": outcome.best_epoch,
            "seconds": round(seconds, 1),
            "seed": self.config.seed,
            "parameters": self.model.count_params(),
        }

    def report(self, outcome: Outcome) -> Report:
        """The pictures and sections of the run's page."""
        raise NotImplementedError


def train(job: Job, root: str | Path) -> dict[str, Any]:
    """Runs a job into a folder; started again it goes on from where it was.

    Args:
        job: What to run.
        root: The folder, made if it is not there.

    Returns:
        The final figures, which metrics.json holds too.

    Raises:
        InputError: The folder, the config or the data is refused, or the loss is not
            finite.
        Interrupted: After Ctrl-C or SIGTERM, once the state has been saved.
    """
    _prepare_devices()
    with (
        started(job.config),
        folder_of(job.config, root) as folder,
        Workdir(folder, job.name, job.config.to_dict()) as workdir,
    ):
        objective = prepare(job)
        workdir.create()
        metrics = run(job, objective, workdir).metrics
        check_agreement(len(metrics), "the number of their figures")  # all end together
        return metrics


def prepare(job: Job) -> Objective:
    """Builds a job, the same whatever was built before."""
    keras.utils.set_random_seed(job.config.seed)
    objective = job.build()
    # A comparison has no objective of its own; its jobs are prepared one by one.
    measured = objective is not None and job.config.get("memory_horizon", False)
    if measured and not recurrent_layers(objective.model):
        raise InputError(
            "--config.memory_horizon must be false for a model without an LSTM, GRU or "
            f"SimpleRNN layer, got true for {objective.model.name!r}."
        )
    return objective


def run(job: Job, objective: Objective, workdir: Workdir) -> Outcome:
    """Trains a job that was built, and writes and prints what came of it."""
    for note in job.notes:
        say(note)
    job.save(workdir)
    job.before_fit(workdir)
    outcome = job.fit(workdir, objective)
    if job.model is not None:
        size = 4 * job.model.count_params()
        with atomic_path(workdir / "model.keras", size) as temporary:
            job.model.save(temporary)
    outcome.metrics.update(job.metrics(outcome))
    write_digests(outcome.root)
    write_json(workdir / "metrics.json", outcome.metrics)
    page = job.report(outcome)
    path = write_report(
        outcome.root,
        title=page.title,
        summary=page.summary,
        metrics={k: v for k, v in outcome.metrics.items() if k not in page.hidden},
        sections=[*page.sections, *horizon_section(outcome.root / PNG)],
        notes=[*job.notes, *page.notes, REPEATABLE],
        links=page.links,
    )
    for line in page.lines:
        print(line)
    shown = outcome.metrics
    if outcome.parts:  # each of which printed its own
        shown = {name: v for name, v in shown.items() if name not in page.hidden}
    print_figures(shown)
    say(f"report: {path}")
    return outcome


def _prepare_devices() -> None:
    """Lets GPU memory grow as it is needed instead of taking all of it at once."""
    for device in tf.config.list_physical_devices("GPU"):
        # A process that has used the GPU already keeps what it has.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(device, True)
