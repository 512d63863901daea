"""A run that trained a feed-forward style network, as pictures and a page."""

from collections.abc import Sequence

import numpy as np

from kerasdl.reports.curves import learning_curves, save_charts
from kerasdl.reports.page import Grid, Outcome, Report, Section
from kerasdl.reports.samples import Sample, save_sample_grid


def report_style_network(
    outcome: Outcome,
    styles: Sequence[np.ndarray],
    samples: Sequence[tuple[str, np.ndarray, np.ndarray]],
    broken: Sequence[str],
) -> Report:
    """Draws pictures before and after, and the learning curves.

    Args:
        outcome: Of the run.
        styles: The style pictures, uint8 (H, W, 3) each.
        samples: `(name, picture, repainted)` of pictures not trained on.
        broken: The message of each picture that could not be read.
    """
    config, root = outcome.config, outcome.root
    shown = [Sample(style, "style", ("",)) for style in styles]
    pairs = []
    for name, before, after in samples:
        pairs += [Sample(before, "picture", (name,)), Sample(after, "repainted", ("",))]
    save_sample_grid([*shown, *pairs], root / "samples.png")
    curves = learning_curves(
        outcome.rows,
        {
            "loss": ["train/loss", "val/loss"],
            "validation loss by term": ["val/content", "val/style", "val/tv"],
            "norm": ["train/gradient_norm", "train/update_norm"],
        },
        outcome.best_epoch,
    )
    save_charts(curves, root / "loss.png")
    return Report(
        title="A network for one style",
        summary=(
            f"A feed-forward network of {outcome.metrics['parameters']:,} parameters, "
            f"trained for {config['network']['steps']} steps on crops of "
            f"{config['image_size']} pixels against features of {config['backbone']}."
        ),
        sections=[
            Section("Pictures not trained on", grids=[Grid(pairs, columns=2)]),
            Section("The style", grids=[Grid(shown)]),
            Section("Learning curves", charts=curves),
        ],
        notes=[
            f"{len(broken)} pictures could not be read and were left out."
            + "".join(f" {line}" for line in broken[:5])
        ],
    )
