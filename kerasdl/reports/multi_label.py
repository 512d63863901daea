"""The sections of a classifier whose examples have several labels each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import FigureBase

from kerasdl.data.decisions import Decision
from kerasdl.metrics.classification import (
    calibration,
    class_scores,
    label_confusions,
)
from kerasdl.reports.classification import calibration_chart
from kerasdl.reports.curves import COLOURS, Chart, save_charts, tidy
from kerasdl.reports.page import Section, Table


def multi_label_sections(
    split: str,
    labels: np.ndarray,
    probabilities: np.ndarray,
    names: Sequence[str],
    decision: Decision,
    root: Path,
) -> tuple[Section, Section]:
    """The sections on labels and on calibration; draws labels.png, calibration.png.

    Args:
        split: The name of the split of N examples that is shown.
        labels: 0 or 1, (N, K).
        probabilities: float (N, K).
        names: Of the K labels.
        decision: From probabilities to labels.
        root: The run's folder.
    """
    confusions = label_confusions(labels, decision.chosen(probabilities))
    scores = [class_scores(confusion) for confusion in confusions]
    rows = [
        [name, threshold, *(float(c[1]) for c in (s.precision, s.recall, s.f1)), n]
        for name, threshold, s, n in zip(
            names,
            decision.thresholds or [0.5] * len(names),
            scores,
            np.sum(labels, axis=0).tolist(),
            strict=True,
        )
    ]
    chart = _bars(names, rows)
    calibrated = calibration_chart({"model": calibration(labels, probabilities)})
    save_charts([chart], root / "labels.png")
    save_charts([calibrated], root / "calibration.png")
    header = ["label", "threshold", "precision", "recall", "F1", "examples"]
    return (
        Section(
            f"By label ({split} split)", charts=[chart], tables=[Table(header, rows)]
        ),
        Section(
            "Calibration",
            "How often decisions on a label of about the same confidence are right.",
            charts=[calibrated],
        ),
    )


def _bars(names: Sequence[str], rows: Sequence[Sequence]) -> Chart:
    """Precision, recall and F1 of each label, and its threshold."""

    def draw(figure: FigureBase) -> None:
        axis = figure.subplots()
        places = np.arange(len(names))
        for offset, (name, column) in enumerate(
            (("precision", 2), ("recall", 3), ("F1", 4))
        ):
            values = [row[column] for row in rows]
            axis.barh(
                places + 0.27 * (offset - 1),
                values,
                height=0.25,
                color=COLOURS[offset],
                label=name,
            )
        thresholds = [row[1] for row in rows]
        axis.plot(thresholds, places, "D", color="0.3", markersize=4, label="threshold")
        axis.set_yticks(places, names)
        axis.invert_yaxis()
        axis.set_xlim(0, 1)
        tidy(axis, "share", "")
        axis.legend(
            fontsize="x-small",
            frameon=False,
            ncols=4,
            loc="lower left",
            bbox_to_anchor=(0, 1),
        )

    height = float(np.clip(1.2 + 0.5 * len(names), 2.4, 14.0))
    return Chart("Precision, recall and F1 of each label", draw, (5.2, height))
