"""A text run as pictures and a page; of several runs, the table that compares them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure, FigureBase

from kerasdl.data.decisions import Decision
from kerasdl.data.texts.dataset import SPLITS
from kerasdl.reports.classification import classification_sections
from kerasdl.reports.comparison import ComparedRun, overlaid_curves
from kerasdl.reports.curves import (
    COLOURS,
    Chart,
    learning_curves,
    save_charts,
    save_figure,
    tidy,
)
from kerasdl.reports.multi_label import multi_label_sections
from kerasdl.reports.page import Outcome, Report, Section, Sentence, Table
from kerasdl.runs import flatten

# Lengths are grouped so that a bar has about this many sentences or more.
LENGTH_BARS = 12
# What a sentence without any of several labels is said to be.
NO_LABEL = "(none)"
SHOWN_TOKENS = 28
# Of the drawing of sentences: a character's width in points (of a fixed-width font of 8
# points), the columns, and the first of the words.
_CHARACTER = 4.82
_COLUMNS = 150
_WORDS_FROM = 30


@dataclasses.dataclass(frozen=True)
class Shown:
    """A sentence of the report.

    Attributes:
        text: As written.
        tokens: Its tokens, unknown words as `<UNK>`.
        effects: float (T,), how much each moves the prediction.
        label, prediction: Names of classes; several with `|` between them.
        probability: Of the prediction; of several labels that of the most probable one.
    """

    text: str
    tokens: Sequence[str]
    effects: np.ndarray
    label: str
    prediction: str
    probability: float

    @property
    def verdict(self) -> str:
        """The prediction with its probability, and the label if it is another."""
        verdict = f"{self.prediction} {self.probability:.2f}"
        if self.label != self.prediction:
            verdict += f" (GT: {self.label})"
        return verdict

    def shares(self) -> np.ndarray:
        """The effects, float (T,), over the strongest one: in -1..1."""
        return self.effects / float(np.abs(self.effects).max(initial=1e-9))

    def coloured(self) -> Sentence:
        """The sentence as the page shows it."""
        words = list(zip(self.tokens, map(float, self.shares()), strict=False))
        return Sentence(self.verdict, self.label == self.prediction, words)


def report_text(
    outcome: Outcome,
    split: str,
    label_names: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
    decision: Decision,
    lengths: np.ndarray,
    samples: Sequence[Shown],
    mistakes: Sequence[Shown],
) -> Report:
    """Draws the run's pictures.

    Args:
        outcome: Of the run.
        split: The name of the split of N sentences that is shown.
        label_names: Of the K classes.
        labels: int (N,); of several labels each 0 or 1, (N, K).
        probabilities: float (N, K).
        decision: From probabilities to labels.
        lengths: int (N,), tokens.
        samples: Sentences drawn at random.
        mistakes: The most confident mistakes.
    """
    root, model = outcome.root, outcome.config["model"]["name"]
    right = decision.chosen(probabilities) == labels
    if decision.multi_label:
        classes, calibrated = multi_label_sections(
            split, labels, probabilities, label_names, decision, root
        )
        right = right.all(axis=1)
    else:
        classes, calibrated = classification_sections(
            split, labels, probabilities, label_names, root
        )
    by_length = length_chart(lengths, right)
    save_charts([by_length], root / "length.png")
    curves = learning_curves(
        outcome.rows,
        {
            "loss, nats per sentence": ["train/loss", "val/loss"],
            "validation score": ["val/accuracy", "val/f1_macro"],
            "norm": ["train/gradient_norm", "train/update_norm"],
        },
        outcome.best_epoch,
    )
    save_charts(curves, root / "loss.png")
    for sentences, name in ((samples, "samples.png"), (mistakes, "mistakes.png")):
        if sentences:
            save_word_effects(sentences, root / name)
    return Report(
        title="Text classification",
        summary=(
            f"A classifier of {len(label_names)} classes ({model}, "
            f"{outcome.metrics['parameters']:,} parameters), kept at epoch "
            f"{outcome.best_epoch}."
        ),
        sections=[
            Section(
                "Which words move a prediction",
                "Sentences drawn at random. Coloured is the gradient of the predicted "
                "class's log-odds (of several labels the likeliest one's) with respect "
                "to a word's vector, times the vector: orange words speak for the "
                "prediction, blue ones against it. A word that stands twice shares its "
                "effect.",
                sentences=[s.coloured() for s in samples],
            ),
            classes,
            Section("Learning curves", charts=curves),
            Section(
                "The most confident mistakes",
                "" if mistakes else f"None is shown of the {split} split.",
                sentences=[s.coloured() for s in mistakes],
            ),
            calibrated,
            Section("Accuracy by sentence length", charts=[by_length]),
        ],
    )


def noise_section(
    sentences: Sequence[Shown], total: int, of: int, models: int
) -> Section:
    """The section on labels that may be wrong.

    Args:
        sentences: Some that all models contradict alike.
        total: How many there are.
        of: How many validation sentences there are.
        models: How many models were trained.
    """
    return Section(
        "Labels that may be wrong",
        f"{models} models of different seeds give {total} of {of} validation sentences "
        "the same other label. Either the sentences are hard in the same way for all, or "
        "their labels are wrong; label_noise.csv lists all of them.",
        sentences=[s.coloured() for s in sentences],
    )


def save_word_effects(sentences: Sequence[Shown], path: Path) -> None:
    """Draws each sentence with its words coloured by what they do to the prediction.

    The drawing is a grid of characters of one width, in which long sentences wrap.
    """
    texts: list[tuple[int, int, str, str, float]] = [  # row, column, text, colour, effect
        (0, _WORDS_FROM, "speaks for the prediction", "black", 0.6),
        (0, _WORDS_FROM + 28, "speaks against it", "black", -0.6),
    ]
    row = 0
    for sentence in sentences:
        row, column = row + 1, _WORDS_FROM
        right = sentence.label == sentence.prediction
        texts.append((row, 0, sentence.verdict, "black" if right else COLOURS[1], 0))
        tokens = sentence.tokens[:SHOWN_TOKENS]
        for token, share in zip(tokens, sentence.shares(), strict=False):
            if column > _WORDS_FROM and column + len(token) > _COLUMNS:
                row, column = row + 1, _WORDS_FROM
            texts.append((row, column, token, "black", float(share)))
            column += len(token) + 2
    size = (_COLUMNS * _CHARACTER / 72, 0.27 * (row + 2))  # inches
    figure = Figure(figsize=size)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    axis.set_xlim(-1, _COLUMNS)
    axis.set_ylim(row + 1.5, -0.5)
    for row, column, text, colour, share in texts:
        axis.text(
            column,
            row + 0.5,
            text,
            fontsize=8,
            va="center",
            color=colour,
            family="monospace",
            parse_math=False,
            bbox={
                "facecolor": COLOURS[4] if share > 0 else COLOURS[5],
                "alpha": abs(share),
                "edgecolor": "none",
                "pad": 1.5,
            },
        )
    save_figure(figure, path)


def surest_mistakes(
    labels: np.ndarray, probabilities: np.ndarray, chosen: np.ndarray, count: int
) -> np.ndarray:
    """Indices of sentences that got another label, the surest first: int (M,).

    Args:
        labels: int (N,); of several labels each 0 or 1, (N, K).
        probabilities: float (N, K).
        chosen: int (N,), the classes given; of several labels bool (N, K).
        count: At most so many.
    """
    wrong = chosen != labels
    if wrong.ndim == 2:  # as sure as the label that is furthest from the truth
        sure = np.where(wrong, np.abs(probabilities - labels), 0.0).max(axis=1)
        wrong = wrong.any(axis=1)
    else:
        sure = np.take_along_axis(probabilities, chosen[:, np.newaxis], axis=1)[:, 0]
    wrong = np.flatnonzero(wrong)
    return wrong[np.argsort(-sure[wrong], kind="stable")][:count]


def accuracy_by_length(
    lengths: np.ndarray, right: np.ndarray
) -> list[tuple[str, float, float]]:
    """The accuracy of groups of sentences of like length.

    There is a group for each length, or `LENGTH_BARS` of about as many sentences each if
    there are more lengths than that.

    Args:
        lengths: int (N,), tokens.
        right: bool (N,).

    Returns:
        `(lengths, accuracy, half of its 95 % interval)` of each group, by length; the
        interval is the normal approximation 1.96 √(p (1 - p) / n).
    """
    cuts = np.unique(lengths)
    if len(cuts) > LENGTH_BARS:
        shares = np.linspace(0, 1, LENGTH_BARS + 1)[1:]
        cuts = np.unique(np.quantile(lengths, shares, method="inverted_cdf"))
    group_of = np.searchsorted(cuts, lengths)
    groups = []
    for group in np.unique(group_of):
        inside = group_of == group
        low, high = lengths[inside].min(), lengths[inside].max()
        share, count = right[inside].mean(), inside.sum()
        name = f"{low}" if low == high else f"{low}-{high}"
        groups.append((name, share, 1.96 * np.sqrt(share * (1 - share) / count)))
    return groups


def length_chart(lengths: np.ndarray, right: np.ndarray) -> Chart:
    """What `accuracy_by_length` gives, with 95 % intervals."""
    names, means, errors = zip(*accuracy_by_length(lengths, right), strict=True)

    def draw(figure: FigureBase) -> None:
        axis = figure.subplots()
        # By number: matplotlib remarks on names that could be numbers too.
        places = range(len(names))
        axis.bar(places, means, yerr=errors, color=COLOURS[0], ecolor="0.4", capsize=2)
        axis.set_xticks(places, names, fontsize="x-small")
        axis.axhline(right.mean(), color="0.5", linestyle=":", label="all sentences")
        axis.set_ylim(max(0.0, min(means) - 0.1), 1.0)
        tidy(axis, "tokens in the sentence", "accuracy")
        # Above the bars, which fill the axes.
        axis.legend(
            fontsize="small", frameon=False, loc="lower right", bbox_to_anchor=(1, 1)
        )

    return Chart("Accuracy by sentence length", draw, (6.2, 3.2))


def comparison_table(runs: Mapping[str, Mapping[str, Any]]) -> Table:
    """Accuracy on every split, parameters, size, training time and rate of each model."""
    splits = _scored(runs, SPLITS)
    header = ["model", *(f"{split} accuracy" for split in splits), "parameters"]
    return Table(
        [*header, "MB on disk", "training seconds", "sentences scored per second"],
        [
            [
                name,
                *(f"{run[f'{split}/accuracy']:.2%}" for split in splits),
                run["parameters"],
                f"{run['bytes'] / 1e6:.2f}",
                f"{run['seconds']:.1f}",
                run["sentences_per_second"],
            ]
            for name, run in runs.items()
        ],
    )


def report_comparison(outcome: Outcome) -> Report:
    """Draws the accuracies of several models, whose table the command prints too."""
    runs = {name: part.metrics for name, part in outcome.parts.items()}
    table, path = comparison_table(runs), outcome.root / "accuracy.png"
    cells = [
        [f"{c:,}" if isinstance(c, int) else str(c) for c in row] for row in table.rows
    ]
    widths = [max(map(len, column)) for column in zip(table.header, *cells, strict=True)]
    splits = _scored(runs, SPLITS[1:]) or ["train"]

    def draw(figure: FigureBase) -> None:
        axis = figure.subplots()
        for colour, marker, split in zip(COLOURS, "osD", splits, strict=False):
            values = [run[f"{split}/accuracy"] for run in runs.values()]
            axis.plot(values, list(runs), marker, color=colour, label=split)
        axis.invert_yaxis()
        tidy(axis, "accuracy", "")

    accuracy = Chart("Accuracy of each model", draw, (5.4, 1.0 + 0.4 * len(runs)))
    save_charts([accuracy], path)
    compared = {
        name: ComparedRun("text", flatten(p.config), p.metrics, p.rows, p.root)
        for name, p in outcome.parts.items()
    }
    charts = [accuracy, *overlaid_curves(compared)]
    return Report(
        title="Text classification: models compared",
        summary=(
            f"{len(runs)} models on the same data. The one that is best on validation, "
            f"{outcome.metrics['best_model']}, is this folder's model.keras; each has a "
            "report of its own in the folder of its name."
        ),
        sections=[Section("Models", tables=[table], charts=charts)],
        links={name: f"{name}/report.html" for name in outcome.parts},
        hidden=[name for name in outcome.metrics if "/" in name],
        lines=[
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in (table.header, *cells)
        ],
    )


def _scored(runs: Mapping[str, Mapping[str, Any]], splits: Sequence[str]) -> list[str]:
    return [s for s in splits if any(f"{s}/accuracy" in run for run in runs.values())]
