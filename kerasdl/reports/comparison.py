"""Finished runs side by side: figures, what differs in their configs, curves."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kerasdl.errors import InputError
from kerasdl.reports.curves import Chart, column, line_chart
from kerasdl.reports.figures import figure_name, format_figure, headline
from kerasdl.reports.page import WIDE, Grid, Section, Table, write_page
from kerasdl.reports.samples import Sample
from kerasdl.runs import flatten, read_metrics, read_rows, read_run

# Curves that a comparison has no use for, or that are the x axis.
_NO_CURVES = ("epoch", "iteration", "seconds", "learning_rate", "norm")
# What a run shows of itself: the first of these that it wrote.
_PICTURES = ("result.png", "result.jpg", "samples.png")
# Fields that do not change what is trained.
_ASIDE = ("report.", "data.cache", "data.test")
_WIDTH = 80


@dataclasses.dataclass(frozen=True)
class ComparedRun:
    """A finished run among others.

    Attributes:
        job: As config.json holds it.
        config: Its fields by dotted name.
        metrics: Its final figures.
        rows: Those of its metrics.jsonl.
        root: Its folder.
    """

    job: str
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    rows: Sequence[Mapping[str, float]]
    root: Path

    @classmethod
    def read(cls, root: Path) -> ComparedRun:
        """Reads a run's folder.

        Raises:
            InputError: It holds no finished run.
        """
        run = read_run(root)
        rows, metrics = read_rows(root / "metrics.jsonl"), read_metrics(root)
        return cls(run["job"], flatten(run["config"]), metrics, rows, root)


def read_runs(folders: Iterable[str | os.PathLike]) -> dict[str, ComparedRun]:
    """The runs in some folders; of one that trained several models, each of them.

    Returns:
        By the end of the folder's path that tells it from the others.

    Raises:
        InputError: A folder holds no finished run, or they are of different jobs.
    """
    roots: list[Path] = []
    for folder in dict.fromkeys(
        Path(os.path.abspath(f)) for f in map(_expanded, folders)
    ):
        read_metrics(folder)
        parts = sorted(path.parent for path in folder.glob("*/metrics.json"))
        roots += parts or [folder]
    runs = {name: ComparedRun.read(root) for name, root in _named(roots).items()}
    jobs = {run.job: name for name, run in runs.items()}
    if len(jobs) > 1:
        found = ", ".join(f"{name!r} is a {job} run" for job, name in jobs.items())
        raise InputError(f"runs of one job can be compared, got several: {found}.")
    return runs


def _expanded(folder: str | os.PathLike) -> Path:
    return Path(folder).expanduser()


def _named(roots: Sequence[Path]) -> dict[str, Path]:
    roots = list(dict.fromkeys(roots))
    for length in range(1, max(len(root.parts) for root in roots) + 1):
        names = ["/".join(root.parts[-length:]).lstrip("/") for root in roots]
        if len(set(names)) == len(roots):
            break
    return dict(zip(names, roots, strict=True))


def shared_figures(runs: Mapping[str, ComparedRun]) -> list[str]:
    """The keys of the headline figures that at least one of the runs has."""
    keys = [key for run in runs.values() for key in headline(run.job, run.metrics)]
    return list(dict.fromkeys(keys))


def differing(runs: Mapping[str, ComparedRun]) -> list[str]:
    """The fields of the configs that are not the same in all runs."""
    names = dict.fromkeys(name for run in runs.values() for name in run.config)
    return [
        name
        for name in names
        if not name.startswith(_ASIDE)
        and len({repr(run.config.get(name)) for run in runs.values()}) > 1
    ]


def comparison_section(
    runs: Mapping[str, ComparedRun], keys: Sequence[str] = ()
) -> Section:
    """The runs in a table, and their curves one over the other.

    Args:
        runs: By name.
        keys: Of the figures in the table; the headline figures if there are none.
    """
    keys, fields = list(keys) or shared_figures(runs), differing(runs)
    table = Table(
        ["run", *fields, *map(figure_name, keys)],
        [
            [
                name,
                *(str(run.config.get(field, "")) for field in fields),
                *(format_figure(run.metrics.get(key, ""), key) for key in keys),
            ]
            for name, run in runs.items()
        ],
    )
    return Section("Side by side", tables=[table], charts=overlaid_curves(runs))


def overlaid_curves(runs: Mapping[str, ComparedRun]) -> list[Chart]:
    """A chart for each figure that several rows hold, with a line for each run."""
    names = dict.fromkeys(
        name
        for run in runs.values()
        for row in run.rows
        for name in row
        if not name.endswith(_NO_CURVES) and name.count("/") < 2
    )
    charts = []
    for name in names:
        x = "iteration" if name.startswith("loss/") else "epoch"
        lines = {run: column(shown.rows, name, x) for run, shown in runs.items()}
        lines = {run: pair for run, pair in lines.items() if pair[0]}
        logarithmic = x == "iteration"
        charts.append(line_chart(lines, x, figure_name(name), logarithmic=logarithmic))
    return charts


def comparison_lines(runs: Mapping[str, ComparedRun]) -> list[str]:
    """The comparison as lines for a terminal: a column for each run.

    Columns that do not fit stand in a second block below.
    """
    keys, fields = shared_figures(runs), differing(runs)
    labels = ["", *map(figure_name, keys), *fields]
    left = max(map(len, labels))
    blocks: list[list[list[str]]] = []
    room = 0
    for name, run in runs.items():
        cells = [
            name,
            *(format_figure(run.metrics.get(key, "-"), key) for key in keys),
            *(_shortened(str(run.config.get(field, "-"))) for field in fields),
        ]
        width = max(map(len, cells))
        if not blocks or room + 2 + width > _WIDTH:
            blocks.append([])
            room = left
        blocks[-1].append([cell.rjust(width) for cell in cells])
        room += 2 + width
    lines: list[str] = []
    for block in blocks:
        lines += [""] if lines else []
        for label, *cells in zip(labels, *block, strict=True):
            lines.append("  ".join([label.ljust(left), *cells]).rstrip())
    return lines


def _shortened(text: str, most: int = 24) -> str:
    return text if len(text) <= most else f"…{text[1 - most :]}"


def write_comparison(runs: Mapping[str, ComparedRun], path: Path) -> None:
    """Writes the comparison as a page with links to each run's report and files."""
    pictures = [
        Sample(_picture(file), name, ("",))
        for name, run in runs.items()
        if (file := _first(run.root)) is not None
    ]
    links = {
        name: os.path.relpath(run.root / "report.html", path.parent)
        for name, run in runs.items()
        if (run.root / "report.html").exists()
    }
    job = next(iter(runs.values())).job
    path.parent.mkdir(parents=True, exist_ok=True)
    write_page(
        path,
        f"{len(runs)} runs compared",
        f"Runs of the {job} job. Fields of their configs stand in the table if they "
        "differ.",
        [
            comparison_section(runs),
            Section("What each shows", grids=[Grid(pictures, WIDE)]),
        ],
        links=links,
    )


def _first(root: Path) -> Path | None:
    return next((root / n for n in _PICTURES if (root / n).exists()), None)


def _picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
