"""A captioning run as a page: samples, best and worst, words, attention, curves."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import FigureBase

from kerasdl.metrics import (
    caption_diversity,
    length_histogram,
    picture_scores,
    word_coverage,
)
from kerasdl.reports.attention import attention_samples
from kerasdl.reports.curves import COLOURS, Chart, learning_curves, save_charts, tidy
from kerasdl.reports.figures import figure_name
from kerasdl.reports.page import SMALL, Grid, Outcome, Report, Section, Table
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
        captions: The model's, one per picture.
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
    shown = [Sample(s.image, s.title, _lines(s.caption, s.reference)) for s in samples]
    save_sample_grid(shown, root / "samples.png")
    curves = learning_curves(
        outcome.rows,
        {
            "loss, nats per caption": ["train/loss", "val/loss"],
            "BLEU": ["val/bleu1_single", "val/bleu1", "val/bleu4"],
            "CIDEr": ["val/cider"],
            "norm": ["train/gradient_norm", "train/update_norm"],
        },
        outcome.best_epoch,
    )
    save_charts(curves, root / "loss.png")
    scored = [name for name in counts if f"{name}/bleu1" in metrics]
    table = Table(
        ["split", "pictures", *map(figure_name, CAPTION_METRICS)],
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
                "Captions",
                "GT is what the data set says first of the picture.",
                grids=[Grid(shown)],
            ),
            Section(
                "Scores",
                "BLEU-1, one reference: unigram BLEU against a picture's first caption, "
                "averaged over pictures. The others are COCO's, over all captions.",
                tables=[table],
            ),
            Section("Learning curves", charts=curves),
            *_closely(scored_captions, root),
        ],
        lines=[
            f"[{s.title.split(':')[0]}] {s.caption}\n    GT: {s.reference}"
            for s in samples
        ],
    )


def _lines(caption: str, reference: str) -> tuple[str, str]:
    return caption or "(no words)", f"GT: {reference}"


def _closely(scored: ScoredCaptions, root: Path) -> list[Section]:
    """Best and worst pictures, words of the captions, and attention."""
    cider = picture_scores(scored.captions, scored.references)["cider"]
    order = np.argsort(-cider, kind="stable")
    count = min(BEST_AND_WORST, len(order) // 2)
    sections = []
    for name, chosen in (("best", order[:count]), ("worst", order[::-1][:count])):
        if not count:
            continue
        pictures = [
            Sample(
                scored.image_of(index),
                f"CIDEr {cider[index]:.2f}: {scored.names[index]}",
                _lines(scored.captions[index], scored.references[index][0]),
            )
            for index in chosen
        ]
        save_sample_grid(pictures, root / f"{name}.png")
        title = f"{name.capitalize()} pictures of {scored.split} by CIDEr"
        sections.append(Section(title, grids=[Grid(pictures)]))
    if scored.attended:
        grids = [Grid(attention_samples(*one), SMALL) for one in scored.attended]
        words = [sample for grid in grids for sample in grid.samples]
        save_sample_grid(words, root / "attention.png", columns=7)
        sections.append(
            Section(
                "Where it looked",
                "The weight of each place of the picture at each word: bright is much.",
                grids=grids,
            )
        )
    lengths = _lengths(scored)
    save_charts([lengths], root / "lengths.png")
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
            charts=[lengths],
            tables=[
                Table(
                    ["", *map(figure_name, said)],
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


def _lengths(scored: ScoredCaptions) -> Chart:
    """Histograms of the lengths of the model's and of people's captions."""

    def draw(figure: FigureBase) -> None:
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
        tidy(axis, "words in the caption", "share of captions")

    return Chart("Lengths of captions, the model's and people's", draw)
