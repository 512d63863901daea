"""Charts: drawn once, as a PNG file for the folder and as SVG for the report.

The SVG follows the page's light or dark colours, and shows its numbers under the pointer.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator

from kerasdl.files import atomic_path
from kerasdl.reports.figures import figure_name

# Okabe & Ito's colours, told apart by colour-blind readers too. Black is in none of them:
# the page turns it into the colour of its text.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
# On the hover layer at most so many places of the x axis answer.
MOST_READINGS = 120


@dataclasses.dataclass(frozen=True)
class Chart:
    """A figure that can be drawn at any place.

    Attributes:
        name: What it shows, for readers who do not see it.
        draw: Draws it into a figure or a part of one.
        size: Width and height in inches.
        readings: What the page shows under the pointer, by x of the first axes.
    """

    name: str
    draw: Callable[[FigureBase], None]
    size: tuple[float, float] = (4.6, 3.2)
    readings: Mapping[float, str] = dataclasses.field(default_factory=dict)

    def svg(self) -> str:
        """The chart as an `<svg>` element for a page, its black as the text's colour."""
        figure = Figure(figsize=self.size, layout="constrained")
        self.draw(figure)
        file = io.StringIO()
        # Text stays text, in the page's font; the salt makes equal charts equal bytes.
        style = {"svg.fonttype": "none", "svg.hashsalt": self.name}
        with matplotlib.rc_context(style):
            figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
        svg = file.getvalue().partition("<svg")[2]
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
        svg = re.sub(r' xmlns(:\w+)?="[^"]*"| (width|height)="[\d.]+pt"', "", svg)
        svg = re.sub(r"font: [^;\"]*?([\d.]+px)[^;\"]*", r"font-size: \1", svg)
        svg = svg.replace("xlink:href", "href").replace("#000000", "currentColor")
        label = f' role="img" aria-label={quoteattr(self.name)}'
        label += f' style="max-width: {6 * self.size[0]:.0f}rem"'
        return "<svg" + label + svg.replace("</svg>", self._readings(figure) + "</svg>")

    def _readings(self, figure: Figure) -> str:
        """A transparent strip over each x, which shows its numbers under the pointer."""
        if not self.readings:
            return ""
        axis = figure.axes[0]
        places = sorted(self.readings)[:: -(-len(self.readings) // MOST_READINGS)]
        scale = 72 / figure.dpi  # from pixels to the SVG's points
        xs = [axis.transData.transform((x, 0))[0] * scale for x in places]
        box = axis.get_window_extent()
        left, right = box.x0 * scale, box.x1 * scale
        top = self.size[1] * 72 - box.y1 * scale
        middles = [(a + b) / 2 for a, b in itertools.pairwise(xs)]
        strips = []
        for x, start, end, place in zip(
            xs, [left, *middles], [*middles, right], places, strict=True
        ):
            lines = "".join(
                f'<tspan x="{left + 6:.1f}" dy="1.2em">{escape(line)}</tspan>'
                for line in self.readings[place].split("\n")
            )
            strips.append(
                f'<g class="reading"><rect x="{start:.1f}" y="{top:.1f}" '
                f'width="{end - start:.1f}" height="{box.height * scale:.1f}"/>'
                f'<path d="M{x:.1f} {top:.1f}v{box.height * scale:.1f}"/>'
                f'<text y="{top:.1f}">{lines}</text></g>'
            )
        return "".join(strips)


def save_charts(charts: Sequence[Chart], path: Path) -> None:
    """Draws charts side by side into one PNG or SVG file."""
    charts = charts or [Chart("nothing to draw", lambda figure: None)]
    width, height = sum(c.size[0] for c in charts), max(c.size[1] for c in charts)
    figure = Figure(figsize=(width, height), layout="constrained")
    parts = figure.subfigures(
        1, len(charts), squeeze=False, width_ratios=[c.size[0] for c in charts]
    )
    for chart, part in zip(charts, parts[0], strict=True):
        chart.draw(part)
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Writes `figure` to `path`, as its ending says, whole or not at all."""
    form = path.suffix.removeprefix(".")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=form, dpi=120, bbox_inches="tight")


def column(
    rows: Sequence[Mapping[str, float]], name: str, key: str = "epoch"
) -> tuple[list[float], list[float]]:
    """The numbers of the rows that have a figure, and the figure in each."""
    pairs = [(row[key], row[name]) for row in rows if name in row]
    return [number for number, _ in pairs], [value for _, value in pairs]


def tidy(axis: Axes, x_label: str, y_label: str) -> None:
    """Labels an axis, and leaves its grid, its legend and no frame."""
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    axis.grid(alpha=0.25)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize="small", frameon=False)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def line_chart(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    *,
    logarithmic: bool = False,
    marked: tuple[float, str] | None = None,
    level: tuple[float, str] | None = None,
) -> Chart:
    """A chart of lines.

    Args:
        lines: By what the legend calls each: its x and its y.
        x_label: Of the x axis, with its unit.
        y_label: Of the y axis, with its unit.
        logarithmic: Whether the y axis is.
        marked: An x to mark by a vertical line, and what the legend calls it.
        level: A y to mark by a horizontal line, and what the legend calls it.
    """
    values = {y for _, ys in lines.values() for y in ys}
    readings: dict[float, list[str]] = {}
    for name, (xs, ys) in lines.items():
        for x, y in zip(xs, ys, strict=True):
            readings.setdefault(x, [f"{x_label} {x:g}"]).append(f"{name}: {y:.4g}")

    def draw(figure: FigureBase) -> None:
        axis = figure.subplots()
        for index, (name, (xs, ys)) in enumerate(lines.items()):
            axis.plot(
                *(xs, ys),
                color=COLOURS[index % len(COLOURS)],
                linestyle="-" if index < len(COLOURS) else "--",
                marker="o" if len(xs) == 1 else None,
                label=name if len(xs) else "_nothing",  # kept out of the legend
            )
        if marked is not None:
            axis.axvline(marked[0], color="0.6", linestyle=":", label=marked[1])
        if level is not None:
            axis.axhline(level[0], color="0.6", linestyle="--", label=level[1])
        if logarithmic:
            # A content picture as the start has content loss 0, which has no logarithm.
            axis.set_yscale("log", nonpositive="mask")
        elif len(values) == 1 and max(values) > 0:
            axis.set_ylim(0, 1.05 * max(values))  # not an accuracy's 0.96 to 1.04
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        tidy(axis, x_label, y_label)

    shown = {x: "\n".join(text) for x, text in readings.items()}
    return Chart(f"{y_label} by {x_label}", draw, readings=shown)


def learning_curves(
    rows: Sequence[Mapping[str, float]],
    panels: Mapping[str, Sequence[str]],
    best_epoch: int = 0,
    key: str = "epoch",
    logarithmic: bool = False,
) -> list[Chart]:
    """A chart of metrics over epochs for each quantity.

    Args:
        rows: Those of metrics.jsonl.
        panels: What a chart's y axis shows to the metrics drawn in it; a metric that no
            row has is left out, and so is a chart with none.
        best_epoch: Which epoch to mark as the one that was kept; 0 for none.
        key: What numbers the rows: `epoch` or `iteration`.
        logarithmic: Whether the y axes are.
    """
    marked = (best_epoch, f"kept: epoch {best_epoch}") if best_epoch else None
    charts = []
    for title, names in panels.items():
        columns = {name: column(rows, name, key) for name in names}
        drawn = {figure_name(n): pair for n, pair in columns.items() if pair[0]}
        if drawn:
            charts.append(
                line_chart(drawn, key, title, logarithmic=logarithmic, marked=marked)
            )
    return charts


def rate_chart(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    marked: Mapping[str, float],
) -> Chart:
    """The loss at learning rates that grew from step to step.

    Args:
        rates: Of the M steps.
        losses: Of each step's minibatch.
        smoothed: The same, smoothed.
        marked: Rates to mark by a vertical line, by what the legend calls them.
    """

    def draw(figure: FigureBase) -> None:
        axis = figure.subplots()
        axis.plot(rates, losses, color=COLOURS[0], alpha=0.35, label="minibatch")
        axis.plot(rates, smoothed, color=COLOURS[0], label="smoothed")
        for colour, (name, rate) in zip(COLOURS[1:], marked.items(), strict=False):
            label = f"{name}: {rate:.2g}"
            axis.axvline(rate, color=colour, linestyle="--", label=label)
        axis.set_xscale("log")
        tidy(axis, "learning rate", "loss")

    return Chart("Loss by learning rate", draw)
