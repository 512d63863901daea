"""Where a captioner looked at each word, over the picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from kerasdl.reports.curves import save_figure
from kerasdl.reports.fonts import families_for

CELL_INCHES = 1.7
COLUMNS = 7
# Side of the drawn pictures, in pixels.
SIDE = 224


def save_attention_maps(
    pictures: Sequence[tuple[np.ndarray, Sequence[str], np.ndarray]], path: Path
) -> None:
    """Draws each picture, then one for each word, bright where the word looked.

    The weights are those of the places of the feature grid, enlarged bicubically; each
    map is scaled by its own maximum.

    Args:
        pictures: For each the image, uint8 (H, W, 3), its T words, and their weights,
            float (T, rows, columns).
        path: The PNG file.
    """
    rows = [-(-(1 + len(words)) // COLUMNS) for _, words, _ in pictures]
    figure = Figure(
        figsize=(CELL_INCHES * COLUMNS, (CELL_INCHES + 0.25) * sum(rows)),
        layout="constrained",
    )
    axes = figure.subplots(sum(rows), COLUMNS, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    families = families_for([word for _, words, _ in pictures for word in words])
    first = 0
    for (image, words, weights), count in zip(pictures, rows, strict=True):
        own = axes[first : first + count].ravel()
        first += count
        # The model saw the whole picture squashed to a square; so it is drawn.
        square = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        own[0].imshow(square)
        for axis, word, map_ in zip(own[1:], words, weights, strict=False):
            axis.imshow(square)
            axis.imshow(enlarged(map_), cmap="gray", alpha=0.72, vmin=0.0, vmax=1.0)
            axis.set_title(word, fontsize=9, parse_math=False, fontfamily=families)
    save_figure(figure, path)


def enlarged(map_: np.ndarray) -> np.ndarray:
    """A map (rows, columns) at the picture's size, in [0, 1], its maximum 1."""
    small = Image.fromarray((map_ / max(float(map_.max()), 1e-12)).astype(np.float32))
    large = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return np.clip(large, 0.0, 1.0)
