"""A captioning run as pictures and a page: loss.png, samples.png, report.html."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasdl.data.pictures.decoding import decode_picture
from kerasdl.reports.curves import save_learning_curves
from kerasdl.reports.page import Section, Table, write_report
from kerasdl.reports.samples import Sample, save_sample_grid
from kerasdl.training.captioning import CaptionScorer, Split
from kerasdl.training.loop import TrainingLoop
from kerasdl.training.workdir import Workdir

# Which splits the sample grid shows, by preference, and the share of its cells for the
# first that has pictures: what was held out matters most.
SHOWN_SPLITS = ("test", "val", "train")

CAPTION_METRICS = (
    "bleu1_single", "bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider",
)  # fmt: skip


def pick_samples(
    splits: Mapping[str, Split], scorer: CaptionScorer, count: int
) -> list[tuple[str, str, str, Any]]:
    """`(split, caption, first reference, picture)` of up to `count` pictures.

    Held-out pictures come first and fill two thirds of the grid.
    """
    samples = []
    names = [name for name in SHOWN_SPLITS if splits[name].pictures]
    for position, name in enumerate(names):
        left = count - len(samples)
        last = position == len(names) - 1
        split = splits[name].first(left if last else -(-left * 2 // 3))
        captions = scorer.captions(split.features)
        for picture, caption in zip(split.pictures, captions, strict=True):
            samples.append((name, caption, picture.captions[0], picture))
    return samples


def report_captioning(
    workdir: Workdir,
    splits: Mapping[str, Split],
    scorer: CaptionScorer,
    loop: TrainingLoop,
    metrics: Mapping[str, Any],
    notes: Sequence[str],
) -> Path:
    """Draws the run's pictures, prints its sample captions and writes its page.

    Args:
        workdir: The run's folder.
        splits: The pictures that were scored, by split.
        scorer: Captions them.
        loop: The training that is reported.
        metrics: The run's final figures.
        notes: What was left out of the data.

    Returns:
        The path of report.html.
    """
    samples = pick_samples(splits, scorer, workdir.config["report"]["samples"])
    save_sample_grid(
        [
            Sample(
                decode_picture(picture.bytes(), picture.name),
                f"{split}: {picture.name}",
                (caption or "(no words)", f"GT: {reference}"),
            )
            for split, caption, reference, picture in samples
        ],
        workdir / "samples.png",
    )
    save_learning_curves(
        loop.log,
        workdir / "loss.png",
        {
            "loss (nats a caption)": ["train/loss"],
            "validation BLEU": ["val/bleu1_single", "val/bleu1", "val/bleu4"],
            "validation CIDEr": ["val/cider"],
            "norm": ["train/gradient_norm", "train/update_norm"],
        },
        best_epoch=loop.progress.best_epoch,
    )
    for split, caption, reference, _ in samples:
        print(f"[{split}] {caption}\n    GT: {reference}")
    scored = [name for name in ("train", "val", "test") if f"{name}/bleu1" in metrics]
    config = workdir.config
    return write_report(
        workdir.root,
        title="Image captioning",
        summary=(
            f"A captioner ({config['model']['rnn'].upper()}, "
            f"{config['model']['units']} units) on frozen {config['model']['backbone']} "
            f"features, kept at epoch {loop.progress.best_epoch} of "
            f"{loop.progress.epoch} by {loop.monitor}."
        ),
        metrics={
            name: value
            for name, value in metrics.items()
            if name.rsplit("/", 1)[-1] not in CAPTION_METRICS
        },
        sections=[
            Section(
                "Scores",
                "bleu1_single: unigram BLEU against a picture's first caption, averaged "
                "over pictures. The others are the COCO metrics over all captions, on "
                "lower-cased tokens split at white space.",
                tables=[
                    Table(
                        ["split", "pictures", *CAPTION_METRICS],
                        [
                            [
                                name,
                                len(splits[name].pictures),
                                *(metrics[f"{name}/{m}"] for m in CAPTION_METRICS),
                            ]
                            for name in scored
                        ],
                    )
                ],
            ),
            Section("Samples", pictures=[workdir / "samples.png"]),
            Section("Learning curves", pictures=[workdir / "loss.png"]),
        ],
        notes=[
            *notes,
            "The same seed, machine and versions give the same weights, bit for bit; on "
            "other processors or numbers of threads sums are rounded in another order.",
        ],
    )
