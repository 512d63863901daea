"""Learning curves as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasdl.training.workdir import MetricsLog, atomic_path

# Okabe & Ito's colours, told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def save_figure(figure: Figure, path: Path) -> None:
    """Writes `figure` to `path` as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")


def save_learning_curves(
    log: MetricsLog,
    path: Path,
    panels: Mapping[str, Sequence[str]],
    best_epoch: int = 0,
) -> None:
    """Draws metrics over epochs, one panel a quantity.

    Args:
        log: The run's rows.
        path: The PNG file.
        panels: Title of a panel to the metrics drawn in it; a metric that no row has is
            left out, and so is a panel with none.
        best_epoch: Where to mark the epoch that was kept; 0 for no mark.
    """
    columns = {name: log.column(name) for names in panels.values() for name in names}
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
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_ylabel(title)
        axis.grid(alpha=0.25)
        axis.legend(fontsize="small", frameon=False)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    save_figure(figure, path)
