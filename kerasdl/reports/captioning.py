"""A captioning run as a page: samples, best and worst, words, attention, curves."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from kerasdl.metrics import (
    caption_diversity,
    length_histogram,
    picture_scores,
    word_coverage,
)
from kerasdl.reports.attention import save_attention_maps
from kerasdl.reports.curves import COLOURS, save_figure, save_learning_curves, tidy
from kerasdl.reports.page import Outcome, Report, Section, Table
from kerasdl.reports.samples import Sample, save_sample_grid

CAPTION_METRICS = (
    "bleu1_single", "bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider",
    "distinct_captions", "vocabulary_used",
)  # fmt: skip

# How many pictures each of best.png and worst.png shows, and words the table of words.
BEST_AND_WORST = 6
MOST_WORDS = 25


@dataclasses.dataclass(frozen=True)
class CaptionSample:
    """A picture with a caption.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        title: `split: name`.
        caption: The model's.
        reference: The first of the data set's.
    """

    image: np.ndarray
    title: str
    caption: str
    reference: str


@dataclasses.dataclass(frozen=True)
class ScoredCaptions:
    """The captions of one split.

    Attributes:
        split: Its name.
        names: What its pictures are called.
        captions: The model's, one a picture.
        references: What people wrote of each.
        image_of: Decodes the picture with that index to uint8 (H, W, 3).
        attended: Image, words and weights of some pictures; see `save_attention_maps`.
    """

    split: str
    names: Sequence[str]
    captions: Sequence[str]
    references: Sequence[Sequence[str]]
    image_of: Callable[[int], np.ndarray]
    attended: Sequence[tuple[np.ndarray, Sequence[str], np.ndarray]] = ()


def report_captioning(
    outcome: Outcome,
    samples: Sequence[CaptionSample],
    scored_captions: ScoredCaptions,
    counts: Mapping[str, int],
    monitor: str,
) -> Report:
    """Draws the run's pictures.

    Args:
        outcome: Of the run.
        samples: What samples.png shows.
        scored_captions: Of the split that is looked at closely.
        counts: How many pictures of each split were scored.
        monitor: The figure that chose the epoch.
    """
    root, metrics, model = outcome.root, outcome.metrics, outcome.config["model"]
    save_sample_grid(
        [
            Sample(s.image, s.title, (s.caption or "(no words)", f"GT: {s.reference}"))
            for s in samples
        ],
        root / "samples.png",
    )
    save_learning_curves(
        outcome.rows,
        root / "loss.png",
        {
            "loss (nats per caption)": ["train/loss"],
            "validation BLEU": ["val/bleu1_single", "val/bleu1", "val/bleu4"],
            "validation CIDEr": ["val/cider"],
            "norm": ["train/gradient_norm", "train/update_norm"],
        },
        best_epoch=outcome.best_epoch,
    )
    scored = [name for name in counts if f"{name}/bleu1" in metrics]
    table = Table(
        ["split", "pictures", *CAPTION_METRICS],
        [
            [name, counts[name], *(metrics[f"{name}/{m}"] for m in CAPTION_METRICS)]
            for name in scored
        ],
    )
    return Report(
        title="Image captioning",
        summary=(
            f"A captioner ({model['rnn'].upper()}, {model['units']} units) on frozen "
            f"{model['backbone']} features, kept at epoch {outcome.best_epoch} of "
            f"{len(outcome.rows)} by {monitor}."
        ),
        sections=[
            Section(
                "Scores",
                "bleu1_single: unigram BLEU against a picture's first caption, averaged "
                "over pictures. The others are the COCO metrics over all captions.",
                tables=[table],
            ),
            Section("Samples", pictures=[root / "samples.png"]),
            *_closely(scored_captions, root),
            Section("Learning curves", pictures=[root / "loss.png"]),
        ],
        hidden=[f"{name}/{metric}" for name in counts for metric in CAPTION_METRICS],
        lines=[
            f"[{s.title.split(':')[0]}] {s.caption}\n    GT: {s.reference}"
            for s in samples
        ],
    )


def _closely(scored: ScoredCaptions, root: Path) -> list[Section]:
    """Best and worst pictures, what is said, and where the model looked."""
    cider = picture_scores(scored.captions, scored.references)["cider"]
    order = np.argsort(-cider, kind="stable")
    count = min(BEST_AND_WORST, len(order) // 2)
    sections = []
    for name, chosen in (("best", order[:count]), ("worst", order[::-1][:count])):
        if not count:
            continue
        save_sample_grid(
            [
                Sample(
                    scored.image_of(index),
                    f"CIDEr {cider[index]:.2f}: {scored.names[index]}",
                    (
                        scored.captions[index] or "(no words)",
                        f"GT: {scored.references[index][0]}",
                    ),
                )
                for index in chosen
            ],
            root / f"{name}.png",
        )
        title = f"{name.capitalize()} pictures of {scored.split} by CIDEr"
        sections.append(Section(title, pictures=[root / f"{name}.png"]))
    if scored.attended:
        save_attention_maps(scored.attended, root / "attention.png")
        sections.append(
            Section(
                "Where it looked",
                "The weight of each place of the picture at each word, bright is much.",
                pictures=[root / "attention.png"],
            )
        )
    _save_lengths(scored, root / "lengths.png")
    first = [references[0] for references in scored.references]
    written, said = caption_diversity(first), caption_diversity(scored.captions)
    coverage = word_coverage(scored.captions, scored.references)[:MOST_WORDS]
    sections.append(
        Section(
            "What it says",
            f"On {len(scored.captions)} pictures of {scored.split}. Distinct 1 and 2 are "
            "the different words and pairs of words over all. Of the words that people "
            "used most: of how many pictures they did, of how many of those the model "
            "did, and of how many others.",
            pictures=[root / "lengths.png"],
            tables=[
                Table(
                    ["", *said],
                    [["model", *said.values()], ["people", *written.values()]],
                ),
                Table(
                    ["word", "pictures", "said", "said of others"],
                    [[c.word, c.pictures, c.said, c.wrongly] for c in coverage],
                ),
            ],
        )
    )
    return sections


def _save_lengths(scored: ScoredCaptions, path: Path) -> None:
    """Histograms of the lengths of the model's and of people's captions."""
    figure = Figure(figsize=(6, 2.6), layout="constrained")
    axis = figure.subplots()
    everyone = [one for references in scored.references for one in references]
    for (name, captions), colour, shift in zip(
        (("model", scored.captions), ("people", everyone)),
        COLOURS,
        (-0.2, 0.2),
        strict=False,
    ):
        share = length_histogram(captions) / len(captions)
        axis.bar(np.arange(len(share)) + shift, share, 0.4, label=name, color=colour)
    tidy(axis, "words", "share of captions")
    save_figure(figure, path)
