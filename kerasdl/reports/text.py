"""A text run as pictures and a page; of several runs, the table that compares them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerasdl.metrics.classification import calibration, confusion_matrix
from kerasdl.models.text.attribution import word_effects
from kerasdl.models.text.classifier import TextClassifier
from kerasdl.reports.classification import (
    class_table,
    confident_mistakes,
    save_calibration,
    save_confusion,
)
from kerasdl.reports.curves import COLOURS, save_figure, save_learning_curves
from kerasdl.reports.page import Section, Table, write_report
from kerasdl.training.loop import TrainingLoop
from kerasdl.training.text import EncodedSplit, TextCorpus, TextScorer
from kerasdl.training.workdir import Workdir

# Lengths are grouped so that a bar has about this many sentences or more.
LENGTH_BARS = 12
SHOWN_TOKENS = 28


@dataclasses.dataclass(frozen=True)
class Shown:
    """A sentence of the report.

    Attributes:
        text: As written.
        tokens: Its tokens, unknown words as `<UNK>`.
        effects: float (T,), how much each moves the prediction.
        label, prediction: Names of classes.
        probability: Of the prediction.
    """

    text: str
    tokens: Sequence[str]
    effects: np.ndarray
    label: str
    prediction: str
    probability: float


def report_text(
    workdir: Workdir,
    corpus: TextCorpus,
    scorer: TextScorer,
    loop: TrainingLoop,
    metrics: Mapping[str, Any],
    notes: Sequence[str],
) -> Path:
    """Draws the run's pictures and writes its page.

    Returns:
        The path of report.html.
    """
    label_names, best_epoch = corpus.label_names, loop.progress.best_epoch
    name = next(n for n in ("test", "val", "train") if len(corpus.splits[n]))
    split = corpus.splits[name]
    probabilities = scorer.probabilities(split.rows)
    predictions = probabilities.argmax(axis=1)
    confusion = confusion_matrix(split.labels, predictions, len(label_names))
    save_confusion(confusion, label_names, workdir / "confusion.png")
    save_calibration(
        calibration(split.labels, probabilities), workdir / "calibration.png"
    )
    save_accuracy_by_length(
        split.rows.lengths, predictions == split.labels, workdir / "length.png"
    )
    save_learning_curves(
        loop.log,
        workdir / "loss.png",
        {
            "loss (nats a sentence)": ["train/loss", "val/loss"],
            "accuracy": ["val/accuracy"],
            "norm": ["train/gradient_norm", "train/update_norm"],
        },
        best_epoch=best_epoch,
    )
    count = workdir.config["report"]["samples"]
    mistakes = confident_mistakes(split.labels, probabilities, count)
    random = np.random.default_rng(workdir.config["seed"])
    sample = random.permutation(len(split))[:count]
    shown = _show(scorer.model, corpus, split, sample, probabilities)
    wrong = _show(scorer.model, corpus, split, mistakes, probabilities)
    save_word_effects(shown, workdir / "samples.png")
    pictures = [workdir / "samples.png"]
    if wrong:
        save_word_effects(wrong, workdir / "mistakes.png")
        pictures.append(workdir / "mistakes.png")
    config = workdir.config
    return write_report(
        workdir.root,
        title="Text classification",
        summary=(
            f"A classifier of {len(label_names)} classes ({config['model']['name']}, "
            f"{metrics['parameters']:,} parameters), kept at epoch {best_epoch}."
        ),
        metrics=metrics,
        sections=[
            Section(
                f"By class ({name} split)",
                tables=[class_table(confusion, label_names)],
                pictures=[workdir / "confusion.png"],
            ),
            Section(
                "Calibration",
                "How often a prediction of some confidence is right.",
                pictures=[workdir / "calibration.png"],
            ),
            Section("Accuracy by sentence length", pictures=[workdir / "length.png"]),
            Section(
                "Which words move a prediction",
                "Gradient of the predicted class's log-odds with respect to a word's "
                "vector, times the vector: orange words speak for the prediction, blue "
                "ones against it. A word that stands twice shares its effect. First "
                "sentences drawn at random, then the most confident mistakes.",
                pictures=pictures,
                tables=[_mistake_table(wrong)] if wrong else [],
            ),
            Section("Learning curves", pictures=[workdir / "loss.png"]),
        ],
        notes=[
            *notes,
            "The same seed, machine and versions give the same weights, bit for bit; on "
            "other processors or numbers of threads sums are rounded in another order.",
        ],
    )


def _show(
    model: TextClassifier,
    corpus: TextCorpus,
    split: EncodedSplit,
    chosen: np.ndarray,
    probabilities: np.ndarray,
) -> list[Shown]:
    if not len(chosen):
        return []
    ids = split.rows.padded(chosen)
    predictions = probabilities[chosen].argmax(axis=1)
    effects = word_effects(model, ids, predictions)
    lengths = split.rows.lengths[chosen]
    return [
        Shown(
            text=split.texts[index],
            tokens=[corpus.vocabulary.tokens[i] for i in ids[row, : lengths[row]]],
            effects=effects[row, : lengths[row]],
            label=corpus.label_names[split.labels[index]],
            prediction=corpus.label_names[predictions[row]],
            probability=float(probabilities[index].max()),
        )
        for row, index in enumerate(chosen)
    ]


def _mistake_table(mistakes: Sequence[Shown]) -> Table:
    return Table(
        ["sentence", "true", "predicted", "probability"],
        [[m.text[:300], m.label, m.prediction, m.probability] for m in mistakes],
    )


def save_word_effects(sentences: Sequence[Shown], path: Path) -> None:
    """Draws each sentence with its words coloured by what they do to the prediction."""
    figure = Figure(figsize=(11, 0.52 * len(sentences) + 0.3))
    axis = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    axis.set_axis_off()
    axis.set_xlim(0, 120)
    axis.set_ylim(len(sentences), 0)
    for row, sentence in enumerate(sentences):
        right = sentence.label == sentence.prediction
        verdict = f"{sentence.prediction} {sentence.probability:.2f}"
        if not right:
            verdict += f" (GT: {sentence.label})"
        axis.text(
            0,
            row + 0.5,
            verdict,
            fontsize=8,
            va="center",
            color="black" if right else COLOURS[1],
            parse_math=False,
        )
        strongest = float(np.abs(sentence.effects).max(initial=1e-9))
        column = 22.0
        for token, effect in zip(
            sentence.tokens[:SHOWN_TOKENS], sentence.effects, strict=False
        ):
            share = float(effect) / strongest
            axis.text(
                column,
                row + 0.5,
                token,
                fontsize=8,
                va="center",
                family="monospace",
                parse_math=False,
                bbox={
                    "facecolor": COLOURS[4] if share > 0 else COLOURS[5],
                    "alpha": abs(share),
                    "edgecolor": "none",
                    "pad": 1.5,
                },
            )
            column += 0.92 * len(token) + 1.2
            if column > 118:
                break
    save_figure(figure, path)


def save_accuracy_by_length(lengths: np.ndarray, right: np.ndarray, path: Path) -> None:
    """Draws the accuracy of groups of sentences of like length, with 95 % intervals.

    Args:
        lengths: int (N,), tokens.
        right: bool (N,).
        path: The PNG file.
    """
    values = np.unique(lengths)
    if len(values) > LENGTH_BARS:
        cuts = np.unique(np.quantile(lengths, np.linspace(0, 1, LENGTH_BARS + 1)[1:]))
        group_of = np.searchsorted(cuts, lengths)
    else:
        group_of = np.searchsorted(values, lengths)
    names, means, errors = [], [], []
    for group in np.unique(group_of):
        inside = group_of == group
        low, high = lengths[inside].min(), lengths[inside].max()
        share, count = right[inside].mean(), inside.sum()
        names.append(f"{low}" if low == high else f"{low}-{high}")
        means.append(share)
        errors.append(1.96 * np.sqrt(share * (1 - share) / count))
    figure = Figure(figsize=(6.2, 3.2), layout="constrained")
    axis = figure.subplots()
    # By number: matplotlib remarks on names that could be numbers too.
    places = range(len(names))
    axis.bar(places, means, yerr=errors, color=COLOURS[0], ecolor="0.4", capsize=2)
    axis.set_xticks(places, names, fontsize="x-small")
    axis.axhline(right.mean(), color="0.5", linestyle=":", label="all sentences")
    axis.set_ylim(max(0.0, min(means) - 0.1), 1.0)
    axis.set_xlabel("tokens in the sentence")
    axis.set_ylabel("accuracy")
    # Above the bars, which fill the axes.
    axis.legend(fontsize="small", frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    save_figure(figure, path)
