"""Sample pictures with their captions or labels, as a grid."""

import dataclasses
import textwrap
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from kerasdl.reports.curves import save_figure
from kerasdl.reports.fonts import families_for

CELL_INCHES = 3.1
WRAP_CHARACTERS = 42
TITLE_CHARACTERS = 44
_VERDICTS = {None: "black", True: "#00704A", False: "#B3261E"}


@dataclasses.dataclass(frozen=True)
class Sample:
    """One picture of a grid.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        title: The line above the picture, such as its name; a long one loses its middle.
        lines: The lines below it, each wrapped as it needs.
        right: Whether the lines are right, shown in green, or wrong, shown in red; None
            for neither.
    """

    image: np.ndarray
    title: str
    lines: tuple[str, ...]
    right: bool | None = None


def save_sample_grid(samples: Sequence[Sample], path: Path, columns: int = 3) -> None:
    """Draws the samples row by row into one PNG file."""
    columns = max(1, min(columns, len(samples)))
    rows = max(1, -(-len(samples) // columns))
    captions = ["\n".join(wrapped(line) for line in sample.lines) for sample in samples]
    families = families_for([*captions, *(sample.title for sample in samples)])
    most_lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    height = CELL_INCHES + 0.5 + 0.19 * most_lines
    figure = Figure(
        figsize=(CELL_INCHES * 1.15 * columns, height * rows), layout="constrained"
    )
    figure.get_layout_engine().set(h_pad=0.12)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, sample, caption in zip(axes, samples, captions, strict=False):
        axis.imshow(sample.image, interpolation="antialiased")
        axis.set_anchor("NW")  # titles of a row on one line
        axis.set_title(
            _shortened(sample.title),
            fontsize=9,
            color="0.4",
            loc="left",
            parse_math=False,
            fontfamily=families,
        )
        axis.text(
            0.0,
            -0.03,
            caption,
            transform=axis.transAxes,
            fontsize=8.5,
            va="top",
            color=_VERDICTS[sample.right],
            # `$` in a caption is a character, not the start of an equation.
            parse_math=False,
            fontfamily=families,
        )
    save_figure(figure, path)


def wrapped(line: str) -> str:
    """A line in pieces that fit below a picture; Chinese characters, say, are wide.

    `textwrap` counts characters and breaks at spaces, which wide scripts do without.
    """
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in line)
    return textwrap.fill(line, WRAP_CHARACTERS // (2 if 2 * wide > len(line) else 1))


def _shortened(title: str) -> str:
    """A title that stays clear of its neighbour; both ends of a path tell most."""
    if len(title) <= TITLE_CHARACTERS:
        return title
    half = (TITLE_CHARACTERS - 1) // 2
    return f"{title[:half]}…{title[-half:]}"
