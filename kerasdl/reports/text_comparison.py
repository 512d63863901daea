"""The table that compares several text classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from kerasdl.data.texts.dataset import SPLITS
from kerasdl.reports.curves import COLOURS, save_figure
from kerasdl.reports.page import Section, Table, write_report
from kerasdl.training.progress import say
from kerasdl.training.workdir import Workdir


def comparison_table(runs: Mapping[str, Mapping[str, Any]]) -> Table:
    """Accuracy on every split, parameters, size, training time and rate of each model."""
    splits = [s for s in SPLITS if any(f"{s}/accuracy" in run for run in runs.values())]
    rows = []
    for name, run in runs.items():
        accuracies = [f"{run[f'{split}/accuracy']:.2%}" for split in splits]
        size = f"{run['bytes'] / 1e6:.2f}"
        seconds = f"{run['seconds']:.1f}"
        rows.append(
            [name, *accuracies, run["parameters"], size, seconds]
            + [run["sentences_per_second"]]
        )
    header = ["model", *(f"{split} accuracy" for split in splits), "parameters"]
    return Table(
        [*header, "MB on disk", "training seconds", "sentences scored a second"], rows
    )


def report_comparison(
    workdir: Workdir,
    runs: Mapping[str, Mapping[str, Any]],
    metrics: Mapping[str, Any],
) -> Path:
    """Prints the table and writes report.html and samples.png.

    Args:
        workdir: The folder of all runs.
        runs: Each model's metrics.
        metrics: The figures of all.

    Returns:
        The path of report.html.
    """
    table = comparison_table(runs)
    cells = [
        [f"{c:,}" if isinstance(c, int) else str(c) for c in row] for row in table.rows
    ]
    widths = [max(map(len, column)) for column in zip(table.header, *cells, strict=True)]
    for row in (table.header, *cells):
        print("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)))
    _save_accuracies(runs, workdir / "accuracy.png")
    path = write_report(
        workdir.root,
        title="Text classification: models compared",
        summary=(
            f"{len(runs)} models on the same data. The one that is best on validation, "
            f"{metrics['best_model']}, is this folder's model.keras; each has its own "
            "report in the folder of its name."
        ),
        metrics={
            name: value
            for name, value in metrics.items()
            if name in ("best_model", "seconds", "seed")
        },
        sections=[
            Section("Models", tables=[table], pictures=[workdir / "accuracy.png"]),
        ],
    )
    say(f"report: {path}")
    return path


def _save_accuracies(runs: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    splits = [
        split
        for split in SPLITS[1:]
        if any(f"{split}/accuracy" in run for run in runs.values())
    ] or ["train"]
    figure = Figure(figsize=(7, 0.6 + 0.5 * len(runs)), layout="constrained")
    axis = figure.subplots()
    names = list(runs)
    for colour, marker, split in zip(COLOURS, "osD", splits, strict=False):
        values = [runs[name][f"{split}/accuracy"] for name in names]
        axis.plot(values, names, marker, color=colour, label=split)
    axis.invert_yaxis()
    axis.set_xlabel("accuracy" if len(splits) > 1 else f"accuracy, {splits[0]}")
    axis.grid(alpha=0.25)
    if len(splits) > 1:
        axis.legend(fontsize="small", frameon=False)
    save_figure(figure, path)
