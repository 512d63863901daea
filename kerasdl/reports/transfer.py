"""A transfer run as figures, pictures and a page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from kerasdl.data.broken import BrokenInputs
from kerasdl.data.pictures.class_folders import PictureDataset
from kerasdl.errors import InputError
from kerasdl.metrics.classification import calibration, confusion_matrix
from kerasdl.models.backbones import find_backbone
from kerasdl.models.classifier import BACKBONE, grad_cam, image_size
from kerasdl.reports.classification import (
    class_table,
    confident_mistakes,
    overlay,
    save_calibration,
    save_confusion,
)
from kerasdl.reports.curves import COLOURS, save_figure, save_learning_curves
from kerasdl.reports.page import Section, Table, write_report
from kerasdl.reports.samples import Sample, save_sample_grid
from kerasdl.training.loop import TrainingLoop
from kerasdl.training.transfer import Scorer, Split
from kerasdl.training.workdir import Workdir, read_run

RIGHT, WRONG = "#00704A", "#B3261E"
COMPARED = (
    "val/accuracy_before", "val/accuracy", "val/accuracy_last", "val/loss", "val/ece",
    "test/accuracy", "seconds", "parameters",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class TransferRun:
    """A finished run, its best model loaded.

    Attributes:
        workdir: Its folder.
        dataset: What it was given.
        splits: What could be read of it.
        scorer: Scores the best model.
        classifier: The best model.
        loop: After training.
        broken: The pictures that could not be read.
    """

    workdir: Workdir
    dataset: PictureDataset
    splits: Mapping[str, Split]
    scorer: Scorer
    classifier: keras.Model
    loop: TrainingLoop
    broken: BrokenInputs

    def metrics(self, before: Mapping[str, float], prepared: float) -> dict[str, Any]:
        """The run's final figures, as metrics.json holds them.

        Args:
            before: The scores of the untrained head.
            prepared: Seconds that reading the pictures, and their features, took.
        """
        rows, progress = self.loop.log.rows, self.loop.progress
        metrics: dict[str, Any] = {}
        for name, split in self.splits.items():
            metrics |= self.scorer.scores(split, name)
        for name in ("val", "test"):
            if f"{name}/accuracy" in before:
                metrics[f"{name}/accuracy_before"] = before[f"{name}/accuracy"]
        if "val/accuracy" in rows[-1]:
            metrics["val/accuracy_last"] = rows[-1]["val/accuracy"]
        # The score above is the whole split's; the rows hold the augmented loss.
        metrics["train/loss"] = rows[progress.best_epoch - 1]["train/loss"]
        trained = len(self.splits["train"]) * progress.epoch
        weights = self.loop.model.trainable_variables
        return metrics | {
            "best_epoch": progress.best_epoch,
            "epochs": progress.epoch,
            "pictures_per_second": round(trained / max(progress.seconds, 1e-9), 1),
            "seconds": round(prepared + progress.seconds, 1),
            "seconds_preparation": round(prepared, 1),
            "seed": self.workdir.config["seed"],
            "parameters": self.classifier.count_params(),
            "parameters_trained": int(sum(np.prod(w.shape) for w in weights)),
        }


def other_runs(workdirs: str) -> dict[str, dict[str, Any]]:
    """The runs to set beside this one.

    Args:
        workdirs: Their folders, with commas between.

    Returns:
        By the folder's name: `metrics`, `rows` (of metrics.jsonl) and `mode`.

    Raises:
        InputError: A folder holds no finished transfer run.
    """
    runs = {}
    for folder in filter(None, (part.strip() for part in workdirs.split(","))):
        root = Path(folder)
        run = read_run(root)
        try:
            if run["job"] != "transfer":
                raise ValueError(f"its job is {run['job']}")
            lines = (root / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            runs[root.name] = {
                "metrics": json.loads(
                    (root / "metrics.json").read_text(encoding="utf-8")
                ),
                "rows": [json.loads(line) for line in lines],
                "mode": run["config"]["mode"],
            }
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"--config.report.compare: {folder!r} holds no finished transfer run: "
                f"{error}."
            ) from error
    return runs


def report_transfer(
    run: TransferRun, metrics: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]
) -> Path:
    """Draws the run's pictures and writes its page.

    Args:
        run: The run.
        metrics: What `run.metrics` gave.
        others: What `other_runs` gave.

    Returns:
        The path of report.html.
    """
    config, root = run.workdir.config, run.workdir
    shown = next(name for name in ("val", "test", "train") if len(run.splits[name]))
    split = run.splits[shown]
    labels, names = split.pictures.labels, run.dataset.class_names
    probabilities = run.scorer.probabilities(split)
    predictions = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predictions, len(names))
    save_confusion(confusion, names, root / "confusion.png")
    save_calibration(calibration(labels, probabilities), root / "calibration.png")
    save_learning_curves(
        run.loop.log,
        root / "loss.png",
        {
            "loss (nats)": ["train/loss", "val/loss"],
            "validation score": ["val/accuracy", "val/f1_macro"],
            "norm": ["train/gradient_norm", "train/update_norm"],
        },
        best_epoch=run.loop.progress.best_epoch,
    )
    samples = _spread(labels, config["report"]["samples"], config["seed"])
    save_sample_grid(
        [_sample(run, shown, i, probabilities[i]) for i in samples], root / "samples.png"
    )
    count = config["report"]["mistakes"]
    mistakes = confident_mistakes(labels, probabilities, count).tolist()
    if mistakes:
        save_sample_grid(
            [_sample(run, shown, i, probabilities[i]) for i in mistakes],
            root / "mistakes.png",
        )
    mapped = (mistakes[: config["report"]["maps"] // 2] + samples)[
        : config["report"]["maps"]
    ]
    _save_maps(run, shown, mapped, probabilities, root / "grad_cam.png")
    sections = [
        Section(
            f"Classes ({shown} split)",
            tables=[class_table(confusion, names)],
            pictures=[root / "confusion.png"],
        ),
        Section(
            "Predictions",
            pictures=[root / "samples.png"],
            text="Green: right. Red: wrong.",
        ),
        Section(
            "The most confident mistakes",
            "Worth a look: a label may be wrong, or the picture show both or neither."
            if mistakes
            else f"None: every picture of the {shown} split is classified rightly.",
            pictures=[root / "mistakes.png"] if mistakes else [],
        ),
        Section(
            "Where the evidence is",
            "Grad-CAM of the predicted class on the last grid of the network; mistakes "
            "first.",
            pictures=[root / "grad_cam.png"],
        ),
        Section(
            "Calibration",
            "How often predictions of a like confidence are right.",
            pictures=[root / "calibration.png"],
        ),
        Section("Learning curves", pictures=[root / "loss.png"]),
    ]
    if others:
        sections.insert(0, _comparison(run, metrics, others, root / "comparison.png"))
    before, after = metrics.get("val/accuracy_before"), metrics.get("val/accuracy")
    trained, layers = _trained_layers(run)
    if not trained:
        what = "the head alone"
    elif trained < layers:
        what = "a part of the network and its head"
    else:
        what = "the network and its head"
    summary = (
        f"{config['model']['backbone']}, {what} trained on "
        f"{len(run.splits['train']):,} pictures of {len(names)} classes."
    )
    if after is not None:
        summary += (
            f" Validation accuracy {before:.4f} before training, {after:.4f} at the best "
            f"epoch ({metrics['best_epoch']} of {metrics['epochs']}), "
            f"{metrics['val/accuracy_last']:.4f} at the last."
        )
    return write_report(
        root.root,
        title="Picture classification",
        summary=summary,
        metrics=metrics,
        sections=sections,
        notes=_notes(run),
    )


def _spread(labels: np.ndarray, count: int, seed: int) -> list[int]:
    """Up to `count` pictures drawn at random, as many of one class as of another."""
    order = np.random.default_rng(seed).permutation(len(labels))
    seen: dict[int, int] = {}
    turns = []
    for index in order:
        turns.append((seen.get(labels[index], 0), int(index)))
        seen[labels[index]] = seen.get(labels[index], 0) + 1
    return [index for _, index in sorted(turns, key=lambda turn: turn[0])[:count]]


def _sample(
    run: TransferRun,
    split: str,
    index: int,
    probabilities: np.ndarray,
    image: np.ndarray | None = None,
) -> Sample:
    pictures, names = run.splits[split].pictures, run.dataset.class_names
    predicted, label = int(probabilities.argmax()), int(pictures.labels[index])
    return Sample(
        pictures.image(index) if image is None else image,
        pictures.pictures[index].name,
        (
            f"predicted: {names[predicted]} ({probabilities[predicted]:.1%})",
            f"GT: {names[label]}",
        ),
        RIGHT if predicted == label else WRONG,
    )


def _save_maps(
    run: TransferRun,
    split: str,
    indices: Sequence[int],
    probabilities: np.ndarray,
    path: Path,
) -> None:
    images = run.scorer.prepared(run.splits[split], indices)
    chosen = probabilities[list(indices)].argmax(axis=1)
    maps, _ = grad_cam(
        run.classifier, tf.cast(images, tf.float32), tf.constant(chosen, tf.int32)
    )
    save_sample_grid(
        [
            _sample(run, split, i, probabilities[i], overlay(image, heat))
            for i, image, heat in zip(indices, images, maps.numpy(), strict=True)
        ],
        path,
    )


def _comparison(
    run: TransferRun,
    metrics: Mapping[str, Any],
    others: Mapping[str, Mapping[str, Any]],
    path: Path,
) -> Section:
    this = {
        "metrics": metrics,
        "rows": run.loop.log.rows,
        "mode": run.workdir.config["mode"],
    }
    runs = {run.workdir.root.name: this, **others}
    figure = Figure(figsize=(10.4, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, key in zip(axes, ("val/accuracy", "val/loss"), strict=True):
        for colour, (name, other) in zip(COLOURS, runs.items(), strict=False):
            rows = [row for row in other["rows"] if key in row]
            axis.plot(
                [row["epoch"] for row in rows],
                [row[key] for row in rows],
                color=colour,
                label=f"{name} ({other['mode']})",
            )
        axis.set_xlabel("epoch")
        axis.set_ylabel(key)
        axis.grid(alpha=0.25)
        axis.legend(fontsize="small", frameon=False)
    save_figure(figure, path)
    columns = [key for key in COMPARED if key in metrics]
    return Section(
        "Side by side",
        tables=[
            Table(
                ["run", "mode", *columns],
                [
                    [name, other["mode"], *(other["metrics"].get(k, "") for k in columns)]
                    for name, other in runs.items()
                ],
            )
        ],
        pictures=[path],
    )


def _trained_layers(run: TransferRun) -> tuple[int, int]:
    """How many layers of the backbone were trained, of how many that have weights."""
    backbone = run.classifier.get_layer(BACKBONE)
    layers = [layer for layer in backbone.layers if layer.weights]
    return sum(layer.trainable for layer in layers), len(layers)


def _notes(run: TransferRun) -> list[str]:
    config, broken = run.workdir.config, run.broken
    spec = find_backbone(config["model"]["backbone"])
    given = "the network's own" if spec.preprocessing is None else str(spec.preprocessing)
    trained, layers = _trained_layers(run)
    notes = [
        *run.dataset.notes,
        f"{len(broken.messages)} of {broken.total} pictures could not be read and were "
        "left out." + "".join(f" {line}" for line in broken.messages[:5]),
        f"Preprocessing, inside the model: {given}; pictures of "
        f"{image_size(run.classifier)} pixels, evaluated by "
        f"`{config['data']['preparation']}`.",
        f"{trained} of {layers} layers of the backbone were trained.",
        "val/accuracy is the best epoch's, chosen on the very split that it is reported "
        "on: val/accuracy_last, and a test split if there is one, are free of that.",
        "The same seed, machine and versions give the same weights, bit for bit; other "
        "processors or numbers of threads round sums in another order.",
    ]
    for name in ("val", "test"):
        copies = run.splits[name].pictures.copies_in(run.splits["train"].pictures)
        if copies:
            notes.append(
                f"{copies} of {len(run.splits[name])} {name} pictures are, byte for "
                "byte, training pictures too."
            )
    return notes
