"""The adding problem's picture and page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from kerasdl.data.drawn.adding import CHANCE
from kerasdl.reports.curves import COLOURS, save_figure
from kerasdl.reports.page import Section, write_report
from kerasdl.training.workdir import MetricsLog, Workdir


def report_adding(
    workdir: Workdir, logs: Mapping[str, MetricsLog], metrics: Mapping[str, Any]
) -> Path:
    """Draws loss.png and writes report.html.

    Args:
        workdir: The folder of all models.
        logs: Each model's rows.
        metrics: The final figures.

    Returns:
        The page's path.
    """
    config = workdir.config
    per_epoch = config["batches_per_epoch"]
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axis = figure.subplots()
    for colour, (name, log) in zip(COLOURS, logs.items(), strict=False):
        epochs, values = log.column("val/loss")
        steps = [epoch * per_epoch for epoch in epochs]
        axis.plot(steps, values, color=colour, marker="o", markersize=3, label=name)
    axis.axhline(CHANCE, color="0.5", linestyle=":", label="answering 1 always: 1/6")
    axis.set_yscale("log")
    axis.set_xlabel(f"training steps of {config['batch_size']} sequences")
    axis.set_ylabel("mean squared error, validation")
    axis.set_title(f"Adding problem, T = {config['steps']}, {config['units']} units")
    axis.grid(alpha=0.25)
    axis.legend(fontsize="small", frameon=False)
    save_figure(figure, workdir / "loss.png")
    return write_report(
        workdir.root,
        title="The adding problem",
        summary=(
            f"Two of {config['steps']} numbers are marked; the network is to give their "
            "sum after the last step. What it must remember reaches over up to "
            f"{config['steps']} steps, across which the vanilla RNN's gradient vanishes."
        ),
        metrics=metrics,
        sections=[Section("Validation error", pictures=[workdir / "loss.png"])],
    )
