"""Learning curves as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasdl.files import atomic_path

# Okabe & Ito's colours, told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def save_figure(figure: Figure, path: Path) -> None:
    """Writes `figure` to `path` as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")


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


def save_learning_curves(
    rows: Sequence[Mapping[str, float]],
    path: Path,
    panels: Mapping[str, Sequence[str]],
    best_epoch: int = 0,
) -> None:
    """Draws metrics over epochs, one panel for each quantity.

    Args:
        rows: Those of metrics.jsonl.
        path: The PNG file.
        panels: Title of a panel to the metrics drawn in it; a metric that no row has is
            left out, and so is a panel with none.
        best_epoch: Which epoch to mark as the one that was kept; 0 for none.
    """
    columns = {name: column(rows, name) for names in panels.values() for name in names}
    drawn = {
        title: [name for name in names if columns[name][0]]
        for title, names in panels.items()
    }
    drawn = {title: names for title, names in drawn.items() if names}
    figure = Figure(figsize=(5.2 * max(1, len(drawn)), 3.6), layout="constrained")
    axes = figure.subplots(1, max(1, len(drawn)), squeeze=False)[0]
    for axis, (title, names) in zip(axes, drawn.items(), strict=False):
        for colour, name in zip(COLOURS, names, strict=False):
            epochs, values = columns[name]
            marker = "o" if len(epochs) == 1 else None
            axis.plot(epochs, values, color=colour, label=name, marker=marker)
        if best_epoch:
            axis.axvline(
                best_epoch, color="0.6", linestyle=":", label=f"kept: epoch {best_epoch}"
            )
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        tidy(axis, "epoch", title)
    save_figure(figure, path)
