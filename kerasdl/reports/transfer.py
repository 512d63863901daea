"""A transfer run as figures, pictures and a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from kerasdl.data.pictures.batches import PictureSplit
from kerasdl.metrics.classification import calibration, confusion_matrix
from kerasdl.models.backbones import find_backbone
from kerasdl.reports.classification import (
    class_table,
    confident_mistakes,
    overlay,
    save_calibration,
    save_confusion,
)
from kerasdl.reports.curves import (
    COLOURS,
    column,
    save_figure,
    save_learning_curves,
    tidy,
)
from kerasdl.reports.page import Outcome, Report, Section, Table
from kerasdl.reports.samples import Sample, save_sample_grid

RIGHT, WRONG = "#00704A", "#B3261E"
COMPARED = (
    "val/accuracy_before", "val/accuracy", "val/accuracy_last", "val/loss", "val/ece",
    "test/accuracy", "seconds", "parameters",
)  # fmt: skip


class OtherRun(NamedTuple):
    """A finished run to set beside this one.

    Attributes:
        metrics: Its final figures.
        rows: Those of its metrics.jsonl.
        mode: `finetune` or `freeze`.
    """

    metrics: Mapping[str, Any]
    rows: Sequence[Mapping[str, float]]
    mode: str


@dataclasses.dataclass(frozen=True)
class ShownSplit:
    """The split that the report shows, and what the model makes of it.

    Attributes:
        name: Of the split.
        pictures: N pictures.
        class_names: Of the K classes.
        probabilities: float32 (N, K).
        heat: Takes indices and a class for each; gives the pictures as the network sees
            them, uint8 (M, S, S, 3), and their Grad-CAM maps, float (M, h, w) in 0..1.
    """

    name: str
    pictures: PictureSplit
    class_names: Sequence[str]
    probabilities: np.ndarray
    heat: Callable[[Sequence[int], np.ndarray], tuple[np.ndarray, np.ndarray]]

    def sample(self, index: int, image: np.ndarray | None = None) -> Sample:
        """A picture with its prediction and its label; `image` in its place if given."""
        probabilities, label = self.probabilities[index], self.pictures.labels[index]
        predicted = int(probabilities.argmax())
        return Sample(
            self.pictures.image(index) if image is None else image,
            self.pictures.pictures[index].name,
            (
                f"predicted: {self.class_names[predicted]} "
                f"({probabilities[predicted]:.1%})",
                f"GT: {self.class_names[label]}",
            ),
            RIGHT if predicted == label else WRONG,
        )

    def save_maps(self, indices: Sequence[int], path: Path) -> None:
        """Draws Grad-CAM maps of the predicted classes over their pictures."""
        classes = self.probabilities[list(indices)].argmax(axis=1)
        images, maps = self.heat(indices, classes)
        samples = [
            self.sample(i, overlay(image, heat))
            for i, image, heat in zip(indices, images, np.asarray(maps), strict=True)
        ]
        save_sample_grid(samples, path)


def report_transfer(
    outcome: Outcome,
    shown: ShownSplit,
    others: Mapping[str, OtherRun],
    pictures: Mapping[str, int],
    copies: Mapping[str, int],
    trained_layers: tuple[int, int],
    size: int,
) -> Report:
    """Draws the run's pictures.

    Args:
        outcome: Of the run.
        shown: The split that is shown.
        others: Runs to set beside it, by name.
        pictures: How many pictures each split has.
        copies: How many of a split's pictures are training pictures too.
        trained_layers: How many layers of the backbone were trained, of how many.
        size: Side of the network's input, in pixels.
    """
    config, root = outcome.config, outcome.root
    counts, labels, names = config["report"], shown.pictures.labels, shown.class_names
    predictions = shown.probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predictions, len(names))
    save_confusion(confusion, names, root / "confusion.png")
    save_calibration(calibration(labels, shown.probabilities), root / "calibration.png")
    save_learning_curves(
        outcome.rows,
        root / "loss.png",
        {
            "loss (nats)": ["train/loss", "val/loss"],
            "validation score": ["val/accuracy", "val/f1_macro"],
            "norm": ["train/gradient_norm", "train/update_norm"],
        },
        best_epoch=outcome.best_epoch,
    )
    samples = _spread(labels, counts["samples"], config["seed"])
    mistakes = confident_mistakes(labels, shown.probabilities, counts["mistakes"])
    mistakes = mistakes.tolist()
    for indices, name in ((samples, "samples.png"), (mistakes, "mistakes.png")):
        if indices:
            save_sample_grid([shown.sample(i) for i in indices], root / name)
    mapped = (mistakes[: counts["maps"] // 2] + samples)[: counts["maps"]]
    if mapped:
        shown.save_maps(mapped, root / "grad_cam.png")
    sections = [
        Section(
            f"Classes ({shown.name} split)",
            tables=[class_table(confusion, names)],
            pictures=[root / "confusion.png"],
        ),
        Section(
            "Predictions",
            "Green: right. Red: wrong.",
            pictures=[root / "samples.png"] if samples else [],
        ),
        Section(
            "The most confident mistakes",
            "Worth a look: a label may be wrong, or the picture show both or neither."
            if mistakes
            else f"None is shown of the {shown.name} split.",
            pictures=[root / "mistakes.png"] if mistakes else [],
        ),
        Section(
            "Where the evidence is",
            "Grad-CAM of the predicted class on the last grid of the network; mistakes "
            "first.",
            pictures=[root / "grad_cam.png"] if mapped else [],
        ),
        Section(
            "Calibration",
            "How often predictions of a like confidence are right.",
            pictures=[root / "calibration.png"],
        ),
        Section("Learning curves", pictures=[root / "loss.png"]),
    ]
    if others:
        sections.insert(0, _comparison(outcome, others, root / "comparison.png"))
    return Report(
        title="Picture classification",
        summary=_summary(outcome, pictures["train"], len(names), trained_layers),
        sections=sections,
        notes=_notes(config, pictures, copies, trained_layers, size),
    )


def _summary(
    outcome: Outcome, pictures: int, classes: int, trained_layers: tuple[int, int]
) -> str:
    metrics, (trained, layers) = outcome.metrics, trained_layers
    if not trained:
        what = "the head alone"
    elif trained < layers:
        what = "a part of the network and its head"
    else:
        what = "the network and its head"
    summary = (
        f"{outcome.config['model']['backbone']}, {what} trained on {pictures:,} pictures "
        f"of {classes} classes."
    )
    if "val/accuracy" in metrics:
        summary += (
            f" Validation accuracy {metrics['val/accuracy_before']:.4f} before training, "
            f"{metrics['val/accuracy']:.4f} at the best epoch ({metrics['best_epoch']} "
            f"of {metrics['epochs']}), {metrics['val/accuracy_last']:.4f} at the last."
        )
    return summary


def _spread(labels: np.ndarray, count: int, seed: int) -> list[int]:
    """Up to `count` pictures drawn at random, as many of one class as of another."""
    order = np.random.default_rng(seed).permutation(len(labels))
    seen: dict[int, int] = {}
    turns = []
    for index in order:
        turns.append((seen.get(labels[index], 0), int(index)))
        seen[labels[index]] = seen.get(labels[index], 0) + 1
    return [index for _, index in sorted(turns, key=lambda turn: turn[0])[:count]]


def _comparison(outcome: Outcome, others: Mapping[str, OtherRun], path: Path) -> Section:
    this = OtherRun(outcome.metrics, outcome.rows, outcome.config["mode"])
    runs = {outcome.root.name: this, **others}
    figure = Figure(figsize=(10.4, 3.6), layout="constrained")
    for axis, key in zip(
        figure.subplots(1, 2), ("val/accuracy", "val/loss"), strict=True
    ):
        for colour, (name, run) in zip(COLOURS, runs.items(), strict=False):
            axis.plot(*column(run.rows, key), color=colour, label=f"{name} ({run.mode})")
        tidy(axis, "epoch", key)
    save_figure(figure, path)
    columns = [key for key in COMPARED if key in outcome.metrics]
    rows = [
        [name, run.mode, *(run.metrics.get(key, "") for key in columns)]
        for name, run in runs.items()
    ]
    table = Table(["run", "mode", *columns], rows)
    return Section("Side by side", tables=[table], pictures=[path])


def _notes(
    config: Mapping[str, Any],
    pictures: Mapping[str, int],
    copies: Mapping[str, int],
    trained_layers: tuple[int, int],
    size: int,
) -> list[str]:
    spec = find_backbone(config["model"]["backbone"])
    trained, layers = trained_layers
    given = "the network's own" if spec.preprocessing is None else str(spec.preprocessing)
    return [
        f"Preprocessing, inside the model: {given}; pictures of {size} pixels, evaluated "
        f"by `{config['data']['preparation']}`.",
        f"{trained} of {layers} layers of the backbone were trained.",
        "val/accuracy is the best epoch's, chosen on the very split that it is reported "
        "on: val/accuracy_last, and a test split if there is one, are free of that.",
        *(
            f"{count} of {pictures[name]} {name} pictures are, byte for byte, training "
            "pictures too."
            for name, count in copies.items()
            if count
        ),
    ]
