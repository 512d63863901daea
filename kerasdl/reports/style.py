"""A style run as pictures and a page: loss.png, samples.png, report.html."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerasdl.reports.curves import COLOURS, save_figure
from kerasdl.reports.page import Section, Table, write_report
from kerasdl.reports.samples import Sample, save_sample_grid
from kerasdl.training.workdir import MetricsLog, Workdir

TERMS = ("loss/total", "loss/content", "loss/style", "loss/tv")


def save_loss_curves(log: MetricsLog, path: Path) -> None:
    """Draws the losses over iterations, by term and by layer, on a logarithmic scale."""
    by_layer = [name for name in log.rows[-1] if name.count("/") == 2]
    panels = {"weighted loss by term": TERMS, "weighted loss by layer": by_layer}
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    for axis, (title, names) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for index, name in enumerate(names):
            iterations, values = log.column(name)
            axis.plot(
                iterations,
                values,
                color=COLOURS[index % len(COLOURS)],
                linestyle="-" if index < len(COLOURS) else "--",
                linewidth=2 if name == "loss/total" else 1.3,
                label=name.removeprefix("loss/"),
            )
        # A content picture as the start has content loss 0, which has no logarithm.
        axis.set_yscale("log", nonpositive="mask")
        axis.set_xlabel("iteration")
        axis.set_ylabel(title)
        axis.grid(alpha=0.25)
        axis.legend(fontsize="small", frameon=False)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    save_figure(figure, path)


def style_metrics(row: Mapping[str, float], **more: Any) -> dict[str, Any]:
    """The final figures of a run from its last row."""
    losses = {name: value for name, value in row.items() if name.startswith("loss/")}
    return {"train/loss": row["loss/total"], **losses, **more}


def report_style(
    workdir: Workdir,
    log: MetricsLog,
    metrics: Mapping[str, Any],
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    result: np.ndarray,
) -> Path:
    """Draws content | style | result and the losses, and writes the page.

    Args:
        workdir: The run's folder.
        log: The run's rows.
        metrics: The final figures.
        content: uint8 (H, W, 3).
        styles: uint8 (H_s, W_s, 3) each.
        result: uint8 (H, W, 3).

    Returns:
        The path of report.html.
    """
    config = workdir.config
    height, width = result.shape[:2]
    shown = [
        Sample(content, "content", (Path(config["content"]).name or "drawn",)),
        *(
            Sample(style, "style", (name,))
            for style, name in zip(styles, _style_names(config, len(styles)), strict=True)
        ),
        Sample(result, "result", (f"{width} x {height} pixels",)),
    ]
    save_sample_grid(shown, workdir / "samples.png", columns=len(shown))
    save_loss_curves(log, workdir / "loss.png")
    first, last = log.rows[0], log.rows[-1]
    losses = [name for name in last if name.startswith("loss/")]
    return write_report(
        workdir.root,
        title="Style transfer",
        summary=(
            f"A picture optimised for {last['iteration']} iterations of "
            f"{config['optimizer']} against features of {config['backbone']}."
        ),
        metrics=metrics,
        sections=[
            Section("Content, style, result", pictures=[workdir / "samples.png"]),
            Section(
                "Losses",
                f"Weighted, as they enter the total ({config['weighting']} weights).",
                pictures=[workdir / "loss.png"],
                tables=[
                    Table(
                        ["term", f"iteration {first['iteration']}", "result"],
                        [[name, first[name], last[name]] for name in losses],
                    )
                ],
            ),
        ],
        notes=[
            "The same seed, machine and versions give the same picture, bit for bit; on "
            "other processors or numbers of threads sums are rounded in another order.",
        ],
    )


def _style_names(config: Mapping[str, Any], count: int) -> list[str]:
    names = [Path(name.strip()).name for name in config["styles"].split(",")]
    return [name or "drawn" for name in names][:count]
