"""Charts and tables of classifiers: confusion, calibration, mistakes, class maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import FigureBase
from PIL import Image

from kerasdl.metrics.classification import (
    Calibration,
    calibration,
    class_scores,
    confusion_matrix,
)
from kerasdl.reports.curves import COLOURS, Chart, save_charts, tidy
from kerasdl.reports.page import Section, Table

# Above so many classes a cell has no room for its number.
NUMBERED_CLASSES = 20
# How strongly a class map covers its picture where it is largest, and how much of its
# own colours the picture keeps below: a yellow map is lost on a yellow flower.
MAP_OPACITY = 0.65
COLOUR_KEPT = 0.25


def class_table(confusion: np.ndarray, names: Sequence[str]) -> Table:
    """Precision, recall, F1 and support of each class.

    Args:
        confusion: int (K, K), true classes in rows.
        names: Of the K classes.
    """
    scores = class_scores(confusion)
    columns = (scores.precision, scores.recall, scores.f1, scores.support)
    return Table(
        ["class", "precision", "recall", "F1", "examples"],
        [
            [name, *(column[index].item() for column in columns)]
            for index, name in enumerate(names)
        ],
    )


def classification_sections(
    split: str,
    labels: np.ndarray,
    probabilities: np.ndarray,
    names: Sequence[str],
    root: Path,
    uncalibrated: np.ndarray | None = None,
) -> tuple[Section, Section]:
    """The sections on classes and on calibration; draws confusion.png, calibration.png.

    Args:
        split: The name of the split of N examples that is shown.
        labels: int (N,).
        probabilities: float (N, K).
        names: Of the K classes.
        root: The run's folder.
        uncalibrated: float (N, K), the probabilities before they were calibrated, if they
            were.
    """
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), len(names))
    matrix = confusion_chart(confusion, names)
    lines = {"model": calibration(labels, probabilities)}
    if uncalibrated is not None:
        lines["before calibration"] = calibration(labels, uncalibrated)
    calibrated = calibration_chart(lines)
    save_charts([matrix], root / "confusion.png")
    save_charts([calibrated], root / "calibration.png")
    classes = Section(
        f"By class ({split} split)",
        charts=[matrix],
        tables=[class_table(confusion, names)],
    )
    text = "How often predictions of about the same confidence are right."
    return classes, Section("Calibration", text, charts=[calibrated])


def confusion_chart(confusion: np.ndarray, names: Sequence[str]) -> Chart:
    """A confusion matrix: colour by the share of the true class, count in the cell.

    Args:
        confusion: int (K, K), true classes in rows.
        names: Of the K classes.
    """
    count = len(names)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)

    def draw(figure: FigureBase) -> None:
        axis = figure.subplots()
        image = axis.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
        figure.colorbar(image, ax=axis, label="share of the true class", shrink=0.8)
        axis.set_xticks(range(count), names, rotation=45 if count > 3 else 0)
        axis.set_yticks(range(count), names)
        axis.set_xlabel("predicted")
        axis.set_ylabel("true")
        if count > NUMBERED_CLASSES:
            return
        for (row, column), share in np.ndenumerate(shares):
            axis.text(
                column,
                row,
                f"{confusion[row, column]:,}",
                ha="center",
                va="center",
                color="#FEFEFE"
                if share > 0.5
                else "#111111",  # on its cell, not the page
                fontsize="small",
            )

    side = float(np.clip(1.6 + 0.55 * count, 3.0, 12.0))
    return Chart("Confusion matrix", draw, (side + 0.8, side))


def calibration_chart(lines: Mapping[str, Calibration]) -> Chart:
    """Accuracy against confidence, and how many predictions have which.

    Args:
        lines: By what the legend calls each, on bins that are the same for all.
    """

    def draw(figure: FigureBase) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        for index, (name, figures) in enumerate(lines.items()):
            start, known = figures.edges[0], figures.count > 0
            if not index:
                grey = {"color": "0.6", "linestyle": ":"}
                upper.plot([start, 1], [start, 1], **grey, label="calibrated")
            upper.plot(
                figures.confidence[known],
                figures.accuracy[known],
                color=COLOURS[index],
                marker="o",
                label=f"{name} (expected error {figures.expected_error:.3f})",
            )
            lower.stairs(
                figures.count, figures.edges, fill=not index, color=COLOURS[index]
            )
        tidy(upper, "", "accuracy")
        lower.set_yscale("symlog")
        tidy(lower, "confidence: probability of the predicted class", "predictions")

    return Chart("Calibration: accuracy by confidence", draw, (4.6, 4.4))


def confident_mistakes(
    labels: np.ndarray, probabilities: np.ndarray, count: int
) -> np.ndarray:
    """Indices of examples that are taken for another class, the surest first: int (M,).

    Args:
        labels: int (N,).
        probabilities: float (N, K).
        count: At most so many.
    """
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:count]


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lays a map over a picture, which loses most of its colour.

    Args:
        image: uint8 (S, S, 3).
        heat: float (h, w) in 0..1.

    Returns:
        uint8 (S, S, 3).
    """
    grey = Image.fromarray((255 * heat).astype(np.uint8))
    large = np.asarray(grey.resize(image.shape[1::-1], Image.Resampling.BICUBIC)) / 255
    colours = matplotlib.colormaps["inferno"](large)[..., :3] * 255
    opacity = MAP_OPACITY * large[..., None]
    grey_image = image.mean(axis=-1, keepdims=True)
    below = COLOUR_KEPT * image + (1 - COLOUR_KEPT) * grey_image
    return np.rint(below * (1 - opacity) + colours * opacity).astype(np.uint8)
