"""Several jobs on the same data, each in a folder of its name, and their comparison."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from kerasdl.files import atomic_path
from kerasdl.reports.page import Outcome
from kerasdl.training.job import Job, Objective, prepare, run
from kerasdl.training.workdir import Workdir


class Comparison(Job):
    """Trains jobs one after the other; an error in any is found before the first.

    Args:
        config: Of all of them.
        jobs: By the name of their folder and of their figures.
        monitor: The figure, larger being better, by which the best one is chosen, whose
            `files` are copied to the top folder; "" to choose none.
        files: See `monitor`.
    """

    def __init__(
        self,
        config: ConfigDict,
        jobs: Mapping[str, Job],
        monitor: str = "",
        files: Sequence[str] = (),
    ) -> None:
        super().__init__(config)
        self.jobs = jobs
        self.name = next(iter(jobs.values())).name
        self._monitor = monitor
        self._files = files
        self._objectives: dict[str, Objective] = {}

    def build(self) -> None:
        """Builds each job."""
        for name, job in self.jobs.items():
            job.label = name
            self._objectives[name] = prepare(job)

    def fit(self, workdir: Workdir, objective: None) -> Outcome:
        """Trains each job in its folder."""
        parts = {}
        for name, job in self.jobs.items():
            folder = workdir.root / name
            with Workdir(folder, job.name, job.config.to_dict()) as own:
                parts[name] = run(job, self._objectives[name], own.create())
        return Outcome(workdir.root, workdir.config, parts=parts)

    def metrics(self, outcome: Outcome) -> dict[str, Any]:
        """Each job's figures under its name; the best one's files are copied."""
        metrics = {
            f"{name}/{key}": value
            for name, part in outcome.parts.items()
            for key, value in part.metrics.items()
        }
        if self._monitor:
            best = max(
                outcome.parts,
                key=lambda name: outcome.parts[name].metrics.get(self._monitor, 0.0),
            )
            for name in self._files:
                with atomic_path(outcome.root / name) as temporary:
                    shutil.copyfile(outcome.root / best / name, temporary)
            metrics["best_model"] = best
        seconds = sum(part.metrics["seconds"] for part in outcome.parts.values())
        return metrics | {"seconds": round(seconds, 1), "seed": self.config.seed}
