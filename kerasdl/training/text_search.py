"""A random search of a text model's settings on the validation split, bound in time.

Trial 0 is the config as it is; trial k is drawn by (seed, k) alone. A trial is a run of
its own in the folder of its name, so that a search that was stopped goes on where it was,
and trains no finished trial again. A trial is begun only if one of average length fits
into what is left of the time.

Reference: Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, 2012.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from kerasdl.errors import InputError
from kerasdl.reports.page import Outcome, Report, Section, Table
from kerasdl.reports.text import report_comparison
from kerasdl.training.comparison import Comparison
from kerasdl.training.config import override
from kerasdl.training.job import prepare, run
from kerasdl.training.text import MODEL_FILES, TextJob
from kerasdl.training.workdir import Workdir


def trial_fields(config: ConfigDict, number: int) -> dict[str, Any]:
    """The fields of a trial, by name: rates and epochs about those of the config."""
    if not number:
        return {}
    random = np.random.default_rng([config.seed, 5, number])
    return {
        "learning_rate": float(config.learning_rate * 4 ** random.uniform(-1, 1)),
        "epochs": max(1, round(config.epochs * 2 ** random.uniform(-1, 1))),
        "batch_size": int(random.choice([32, 64, 128])),
        "label_smoothing": float(random.choice([0.0, 0.0, 0.05, 0.1])),
        "model.width": int(random.choice([25, 50, 100, 200])),
        "model.units": int(random.choice([32, 64, 128])),
        "model.dropout": float(random.uniform(0, 0.5)),
        "model.head_dropout": float(random.uniform(0, 0.5)),
        "model.word_dropout": float(random.choice([0.0, 0.05, 0.1])),
    }


class TextSearch(Comparison):
    """Trials until `config.autotune_minutes` of training are spent; keeps the best."""

    def __init__(self, config: ConfigDict) -> None:
        super().__init__(
            config, {"trial_0": self._trial(config, 0)}, "val/accuracy", MODEL_FILES
        )

    def _trial(self, config: ConfigDict, number: int) -> TextJob:
        fields = {"autotune_minutes": 0.0} | trial_fields(config, number)
        return TextJob(override(config, fields))

    def build(self) -> None:
        """Builds the first trial, which reads the data for all."""
        super().build()
        self._corpus = self.jobs["trial_0"].corpus
        if not len(self._corpus.splits["val"]):
            raise InputError(
                "--config.autotune_minutes must be 0 without a validation split to "
                f"search on, got {self.config.autotune_minutes}."
            )

    def fit(self, workdir: Workdir, objective: None) -> Outcome:
        """Trains trial after trial, those that a stopped search has finished excepted."""
        parts, spent, limit = {}, 0.0, 60 * self.config.autotune_minutes
        for number in itertools.count():
            name = f"trial_{number}"
            folder = workdir.root / name
            begun = (folder / "config.json").is_file()
            average = spent / max(1, number)
            if number and not begun and spent + average > limit:
                break
            job, built = self.jobs.get(name), self._objectives.get(name)
            if job is None:
                job = self._trial(self.config, number)
                job.corpus, job.label = self._corpus, name
                built = prepare(job)
            with Workdir(folder, job.name, job.config.to_dict()) as own:
                parts[name] = run(job, built, own.create())
            spent += parts[name].metrics["seconds"]
        return Outcome(workdir.root, workdir.config, parts=parts)

    def report(self, outcome: Outcome) -> Report:
        """The table of the models, and of what each was tried with."""
        page = report_comparison(outcome)
        fields = sorted(trial_fields(self.config, 1))
        rows = []
        for number, (name, part) in enumerate(outcome.parts.items()):
            tried = trial_fields(self.config, number)
            cells = [f"{tried[f]:.3g}" if f in tried else "as given" for f in fields]
            rows.append([name, f"{part.metrics['val/accuracy']:.2%}", *cells])
        table = Table(["trial", "val accuracy", *fields], rows)
        section = Section("What was tried", tables=[table])
        return Report(
            title="Text classification: settings searched on validation",
            summary=page.summary,
            sections=[*page.sections, section],
            links=page.links,
            hidden=page.hidden,
            lines=page.lines,
        )
