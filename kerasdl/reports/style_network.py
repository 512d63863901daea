"""A run that trained a feed-forward style network, as pictures and a page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerasdl.reports.curves import save_learning_curves
from kerasdl.reports.page import Section, write_report
from kerasdl.reports.samples import Sample, save_sample_grid
from kerasdl.training.style_network import NetworkRun
from kerasdl.training.workdir import Workdir

# Pictures shown, each beside what becomes of it.
SHOWN = 4


def report_style_network(
    workdir: Workdir, run: NetworkRun, metrics: Mapping[str, Any]
) -> Path:
    """Draws pictures before and after, and the learning curves; writes the page.

    Returns:
        The path of report.html.
    """
    cells = [Sample(style, "style", ("",)) for style in run.styles]
    for name, before, after in run.samples(SHOWN):
        cells += [Sample(before, "picture", (name,)), Sample(after, "repainted", ("",))]
    save_sample_grid(cells, workdir / "samples.png")
    save_learning_curves(
        run.loop.log,
        workdir / "loss.png",
        {
            "loss": ["train/loss", "val/loss"],
            "validation loss by term": ["val/content", "val/style", "val/tv"],
            "norm": ["train/gradient_norm", "train/update_norm"],
        },
        best_epoch=run.loop.progress.best_epoch,
    )
    config = workdir.config
    return write_report(
        workdir.root,
        title="A network for one style",
        summary=(
            f"A feed-forward network of {metrics['parameters']:,} parameters, trained "
            f"for {config['network']['steps']} steps on crops of "
            f"{config['image_size']} pixels against features of {config['backbone']}."
        ),
        metrics=metrics,
        sections=[
            Section(
                "Pictures that it was not trained on", pictures=[workdir / "samples.png"]
            ),
            Section("Learning curves", pictures=[workdir / "loss.png"]),
        ],
        notes=[
            f"{len(run.broken)} pictures could not be read and were left out."
            + "".join(f" {line}" for line in run.broken[:5]),
            "The same seed, machine and versions give the same weights, bit for bit; on "
            "other processors or numbers of threads sums are rounded in another order.",
        ],
    )
