"""Heat-maps of memory horizons: what is left of a gradient, by lag and training step."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasdl.reports.curves import COLOURS
from kerasdl.reports.page import Section

# Shares of the gradient from white to black; what is outside has the colour of the end.
LEAST, MOST = 1e-4, 1.0


def draw_horizons(
    steps: Sequence[int], reaches: Sequence[Mapping[str, Any]], threshold: float
) -> Figure:
    """Draws a heat-map for each layer, of δ and for an LSTM of γ.

    Args:
        steps: The training steps of M measurements.
        reaches: Their M results, {layer: `kerasdl.training.reach.Reach`} each.
        threshold: The share at which the horizon is drawn.
    """
    panels = [
        (layer, part)
        for layer in reaches[-1]
        for part in ("delta", "gamma")
        if getattr(reaches[-1][layer], part) is not None
    ]
    figure = Figure(figsize=(5.4 * len(panels) + 1.2, 4.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (layer, part) in zip(axes, panels, strict=True):
        course = [reach[layer] for reach in reaches]
        mesh = _draw_panel(axis, steps, course, part, threshold)
        letter = {"delta": "δ", "gamma": "γ"}[part]
        state = {"delta": "hidden state", "gamma": "cell state"}[part]
        axis.set_title(f"{layer}: gradient of the {state}, {letter}", fontsize="medium")
        axis.set_xlabel("training step")
    axes[0].set_ylabel("lag k: time steps before the last")
    bar = figure.colorbar(mesh, ax=axes, extend="both", pad=0.02)
    bar.set_label("share left at lag k, ‖δ$_{T-k}$‖ / ‖δ$_T$‖ (γ alike), median")
    return figure


def _draw_panel(axis, steps, course, part, threshold):
    lags = max(len(getattr(reach, part)) for reach in course)
    shares = np.full((lags, len(steps)), np.nan)
    for column, reach in zip(shares.T, course, strict=True):
        values = getattr(reach, part)
        column[: len(values)] = np.maximum(values, LEAST / 10)
    edges = _edges(steps)
    mesh = axis.pcolormesh(
        *(edges, np.arange(lags + 1) - 0.5, shares),
        norm=LogNorm(LEAST, MOST),
        cmap="magma_r",
        rasterized=True,
    )
    name = f"{part}_horizon"
    horizons = [reach.figures(threshold)[name] for reach in course]
    # Where the gradient reaches past the longest sequence, the line runs along the edge.
    line = np.minimum([*horizons, horizons[-1]], lags - 0.5)
    axis.step(
        *(edges, line),
        where="post",
        color=COLOURS[5],
        linewidth=2,
        label=(
            f"horizon: under {threshold:.0%}"
            if min(horizons) < lags
            else f"horizon: past lag {lags - 1}, the last"
        ),
    )
    if course[-1].half_lives is not None:
        for key, style, label in (
            ("half_life", "--", "gate's half-life, median unit"),
            ("half_life_90", ":", "gate's half-life, 90th percentile"),
        ):
            values = [reach.figures(threshold)[key] for reach in course]
            values = np.array([*values, values[-1]])
            values[values > lags - 0.5] = np.nan  # beyond what is drawn
            if np.isfinite(values).any():
                axis.step(
                    *(edges, values),
                    where="post",
                    color=COLOURS[2],
                    linestyle=style,
                    label=label,
                )
    axis.set_ylim(-0.5, lags - 0.5)
    axis.set_xlim(edges[0], edges[-1])
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(fontsize="small", loc="upper right", framealpha=0.85)
    return mesh


def _edges(steps: Sequence[int]) -> np.ndarray:
    """Each measurement's column reaches half-way to its neighbours."""
    steps = np.asarray(steps, float)
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    middles = (steps[1:] + steps[:-1]) / 2
    first, last = steps[0] - (middles[0] - steps[0]), 2 * steps[-1] - middles[-1]
    return np.array([first, *middles, last])


def png_of(figure: Figure) -> bytes:
    """The figure as a PNG file's bytes, the same for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def horizon_section(path: Path) -> list[Section]:
    """The part of a report that shows a run's heat-map; empty if there is none."""
    if not path.exists():
        return []
    text = (
        "A random gradient enters at the last step of each of some training sequences. "
        "Shown is the share of it that is left k steps further back, by training step; "
        "the line is where it falls under 1 %."
    )
    return [Section("Memory horizon", text, pictures=[path])]
