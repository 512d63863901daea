"""A transfer run as figures, pictures and a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kerasdl.data.decisions import Decision
from kerasdl.data.pictures.batches import PictureSplit
from kerasdl.models.backbones import find_backbone
from kerasdl.reports.classification import (
    classification_sections,
    overlay,
)
from kerasdl.reports.comparison import ComparedRun, comparison_section
from kerasdl.reports.curves import Chart, learning_curves, save_charts
from kerasdl.reports.multi_label import multi_label_sections
from kerasdl.reports.page import Grid, Outcome, Report, Section
from kerasdl.reports.samples import Sample, save_sample_grid
from kerasdl.reports.text import NO_LABEL, surest_mistakes
from kerasdl.runs import flatten

COMPARED = (
    "val/accuracy_before", "val/accuracy", "val/accuracy_last", "val/loss", "val/ece",
    "test/accuracy", "seconds", "parameters",
)  # fmt: skip


# What the figures on calibration rest on.
_CALIBRATED = {
    "folds": (
        "Probabilities are calibrated by one temperature, fitted by cross-validation "
        "inside the training pictures; the head's weights are divided by it.",
    ),
    "val": (
        "Probabilities are calibrated by one temperature, fitted on the validation "
        "pictures: their loss and calibration error flatter it.",
    ),
}


@dataclasses.dataclass(frozen=True)
class ShownSplit:
    """The split that the report shows, and what the model makes of it.

    Attributes:
        name: Of the split.
        pictures: N pictures.
        class_names: Of the K classes.
        probabilities: float32 (N, K).
        heat: Takes indices and a class for each; gives the pictures as the network sees
            them, uint8 (M, S, S, 3), and their class maps, float (M, h, w) in 0..1.
        uncalibrated: As `probabilities`, before they were calibrated; None if they were
            not.
        decision: From probabilities to labels.
    """

    name: str
    pictures: PictureSplit
    class_names: Sequence[str]
    probabilities: np.ndarray
    heat: Callable[[Sequence[int], np.ndarray], tuple[np.ndarray, np.ndarray]]
    uncalibrated: np.ndarray | None = None
    decision: Decision = dataclasses.field(default_factory=Decision)

    def sample(self, index: int, image: np.ndarray | None = None) -> Sample:
        """A picture with its prediction and its label; `image` in its place if given."""
        probabilities = self.probabilities[index]
        chosen, label = self.decision.chosen(probabilities), self.pictures.labels[index]
        predicted, true = (
            self.decision.name(self.class_names, one) or NO_LABEL
            for one in (chosen, label)
        )
        return Sample(
            self.pictures.image(index) if image is None else image,
            self.pictures.pictures[index].name,
            (
                f"predicted: {predicted} ({probabilities.max():.1%})",
                f"GT: {true}",
            ),
            predicted == true,
        )

    def maps(self, indices: Sequence[int]) -> list[Sample]:
        """The class maps of the predictions, over their pictures."""
        classes = self.probabilities[list(indices)].argmax(axis=1)
        images, maps = self.heat(indices, classes)
        return [
            self.sample(i, overlay(image, heat))
            for i, image, heat in zip(indices, images, np.asarray(maps), strict=True)
        ]


def report_transfer(
    outcome: Outcome,
    shown: ShownSplit,
    others: Mapping[str, ComparedRun],
    pictures: Mapping[str, int],
    copies: Mapping[str, int],
    trained_layers: tuple[int, int],
    size: int,
    rates: Chart | None = None,
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
        rates: Losses by learning rate, if they were swept.
    """
    config, root = outcome.config, outcome.root
    counts, labels, names = config["report"], shown.pictures.labels, shown.class_names
    if shown.decision.multi_label:
        classes, calibrated = multi_label_sections(
            shown.name, labels, shown.probabilities, names, shown.decision, root
        )
    else:
        classes, calibrated = classification_sections(
            shown.name, labels, shown.probabilities, names, root, shown.uncalibrated
        )
    curves = learning_curves(
        outcome.rows,
        {
            "loss, nats": ["train/loss", "val/loss"],
            "validation score": ["val/accuracy", "val/f1_macro", "val/kappa"],
            "norm": ["train/gradient_norm", "train/update_norm"],
        },
        outcome.best_epoch,
    )
    save_charts(curves, root / "loss.png")
    samples = _spread(labels, counts["samples"], config["seed"])
    mistakes = surest_mistakes(
        labels,
        shown.probabilities,
        shown.decision.chosen(shown.probabilities),
        counts["mistakes"],
    )
    mistakes = mistakes.tolist()
    mapped = (mistakes[: counts["maps"] // 2] + samples)[: counts["maps"]]
    grids = {
        "samples": [shown.sample(i) for i in samples],
        "mistakes": [shown.sample(i) for i in mistakes],
        "class_maps": shown.maps(mapped) if mapped else [],
    }
    for name, cells in grids.items():
        if cells:
            save_sample_grid(cells, root / f"{name}.png")
    sections = [
        Section(
            "Predictions", "Green: right. Red: wrong.", grids=[Grid(grids["samples"])]
        ),
        classes,
        Section("Learning curves", charts=curves),
        Section(
            "The most confident mistakes",
            "Worth a look: a label may be wrong, or the picture show both or neither."
            if mistakes
            else f"None is shown of the {shown.name} split.",
            grids=[Grid(grids["mistakes"])],
        ),
        Section(
            "Where the evidence is",
            "What spoke for the predicted class (LayerCAM); mistakes first.",
            grids=[Grid(grids["class_maps"])],
        ),
        calibrated,
    ]
    if rates is not None:
        text = "The rate grew at every step of a trial before training."
        sections.append(Section("Learning rate", text, charts=[rates]))
    if others:
        this = ComparedRun(
            "transfer", flatten(config), outcome.metrics, outcome.rows, root
        )
        runs = {root.name: this, **others}
        keys = [key for key in COMPARED if key in outcome.metrics]
        compared = comparison_section(runs, keys)
        save_charts(compared.charts, root / "comparison.png")
        sections.insert(0, compared)
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
    seen: dict[bytes, int] = {}
    turns = []
    for index in order:
        key = labels[index].tobytes()
        turns.append((seen.get(key, 0), int(index)))
        seen[key] = seen.get(key, 0) + 1
    return [index for _, index in sorted(turns, key=lambda turn: turn[0])[:count]]


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
        *_CALIBRATED.get(config["calibration"], ()),
        "val/accuracy is the best epoch's, chosen on the very split that it is reported "
        "on: val/accuracy_last, and a test split if there is one, are free of that.",
        *(
            f"{count} of {pictures[name]} {name} pictures are, byte for byte, training "
            "pictures too."
            for name, count in copies.items()
            if count
        ),
    ]
