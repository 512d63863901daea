"""A style run as pictures and a page: loss.png, samples.png, report.html."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerasdl.reports.curves import COLOURS, column, save_figure, tidy
from kerasdl.reports.page import Outcome, Report, Section, Table
from kerasdl.reports.samples import Sample, save_sample_grid

TERMS = ("loss/total", "loss/content", "loss/style", "loss/tv")


def save_loss_curves(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draws the losses over iterations, by term and by layer, on a logarithmic scale."""
    by_layer = [name for name in rows[-1] if name.count("/") == 2]
    panels = {"weighted loss by term": TERMS, "weighted loss by layer": by_layer}
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    for axis, (title, names) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for index, name in enumerate(names):
            axis.plot(
                *column(rows, name, "iteration"),
                color=COLOURS[index % len(COLOURS)],
                linestyle="-" if index < len(COLOURS) else "--",
                linewidth=2 if name == "loss/total" else 1.3,
                label=name.removeprefix("loss/"),
            )
        # A content picture as the start has content loss 0, which has no logarithm.
        axis.set_yscale("log", nonpositive="mask")
        tidy(axis, "iteration", title)
    save_figure(figure, path)


def report_style(
    outcome: Outcome,
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    result: np.ndarray,
) -> Report:
    """Draws content | style | result and the losses.

    Args:
        outcome: Of the run.
        content: uint8 (H, W, 3).
        styles: uint8 (H_s, W_s, 3) each.
        result: uint8 (H, W, 3).
    """
    config, root, rows = outcome.config, outcome.root, outcome.rows
    height, width = result.shape[:2]
    shown = [
        Sample(content, "content", (Path(config["content"]).name or "drawn",)),
        *(
            Sample(style, "style", (name,))
            for style, name in zip(styles, _style_names(config, len(styles)), strict=True)
        ),
        Sample(result, "result", (f"{width} x {height} pixels",)),
    ]
    save_sample_grid(shown, root / "samples.png", columns=len(shown))
    save_loss_curves(rows, root / "loss.png")
    first, last = rows[0], rows[-1]
    losses = [name for name in last if name.startswith("loss/")]
    table = Table(
        ["term", f"iteration {first['iteration']}", "result"],
        [[name, first[name], last[name]] for name in losses],
    )
    return Report(
        title="Style transfer",
        summary=(
            f"A picture optimised for {last['iteration']} iterations of "
            f"{config['optimizer']} against features of {config['backbone']}."
        ),
        sections=[
            Section("Content, style, result", pictures=[root / "samples.png"]),
            Section(
                "Losses",
                f"Weighted, as they enter the total ({config['weighting']} weights).",
                pictures=[root / "loss.png"],
                tables=[table],
            ),
        ],
        hidden=losses,
    )


def _style_names(config: Mapping[str, Any], count: int) -> list[str]:
    """The names of the style pictures; a single one's may have a comma."""
    if count == 1:
        return [Path(config["styles"]).name or "drawn"]
    parts = next(csv.reader([config["styles"]], skipinitialspace=True))
    return [Path(name.strip()).name for name in parts if name.strip()]
