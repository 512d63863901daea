"""A captioning run as pictures and a page: loss.png, samples.png, report.html."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from kerasdl.reports.curves import save_learning_curves
from kerasdl.reports.page import Outcome, Report, Section, Table
from kerasdl.reports.samples import Sample, save_sample_grid

CAPTION_METRICS = (
    "bleu1_single", "bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider",
)  # fmt: skip


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


def report_captioning(
    outcome: Outcome,
    samples: Sequence[CaptionSample],
    counts: Mapping[str, int],
    monitor: str,
) -> Report:
    """Draws the run's pictures.

    Args:
        outcome: Of the run.
        samples: What samples.png shows.
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
            Section("Learning curves", pictures=[root / "loss.png"]),
        ],
        hidden=[f"{name}/{metric}" for name in counts for metric in CAPTION_METRICS],
        lines=[
            f"[{s.title.split(':')[0]}] {s.caption}\n    GT: {s.reference}"
            for s in samples
        ],
    )
