"""A style run as pictures and a page: loss.png, samples.png, report.html."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.reports.curves import learning_curves, save_charts
from kerasdl.reports.figures import figure_name
from kerasdl.reports.page import WIDE, Grid, Outcome, Report, Section, Table
from kerasdl.reports.samples import Sample, save_sample_grid

TERMS = ("loss/total", "loss/content", "loss/style", "loss/tv")


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
    given = [
        Sample(content, "content", (Path(config["content"]).name or "drawn",)),
        *(
            Sample(style, "style", (name,))
            for style, name in zip(styles, _style_names(config, len(styles)), strict=True)
        ),
    ]
    painted = Sample(result, "result", (f"{width} x {height} pixels",))
    save_sample_grid([*given, painted], root / "samples.png", columns=len(given) + 1)
    losses = [name for name in rows[-1] if name.startswith("loss/")]
    curves = learning_curves(
        rows,
        {
            "weighted loss": TERMS,
            "weighted loss by layer": [n for n in losses if n.count("/") == 2],
        },
        key="iteration",
        logarithmic=True,
    )
    save_charts(curves, root / "loss.png")
    first, last = rows[0], rows[-1]
    table = Table(
        ["term", f"iteration {first['iteration']}", "result"],
        [[figure_name(name), first[name], last[name]] for name in losses],
    )
    return Report(
        title="Style transfer",
        summary=(
            f"A picture optimised for {last['iteration']} iterations of "
            f"{config['optimizer']} against features of {config['backbone']}."
        ),
        sections=[
            Section(
                "Result",
                grids=[Grid([painted], WIDE), Grid(given, columns=min(3, len(given)))],
            ),
            Section(
                "Losses",
                f"Weighted, as they enter the total ({config['weighting']} weights).",
                charts=curves,
                tables=[table],
            ),
        ],
    )


def _style_names(config: Mapping[str, Any], count: int) -> list[str]:
    """The names of the style pictures; a single one's may have a comma."""
    if count == 1:
        return [Path(config["styles"]).name or "drawn"]
    parts = next(csv.reader([config["styles"]], skipinitialspace=True))
    return [Path(name.strip()).name for name in parts if name.strip()]
