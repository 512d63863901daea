"""`report.html`: a run's figures and pictures on one page that needs no server."""

from __future__ import annotations

import base64
import dataclasses
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from kerasdl.files import write_text
from kerasdl.reports.curves import Chart
from kerasdl.reports.figures import figure_name, format_figure, headline
from kerasdl.reports.samples import Sample
from kerasdl.runs import flatten, read_run

# A picture on the page is at most so large; the files in the folder keep their size.
WIDE, NORMAL, SMALL = 1600, 480, 200  # pixels
_FILES = (
    "metrics.json", "metrics.jsonl", "config.json", "model.keras", "vocab.txt",
    "labels.txt", "result.png", "result.jpg", "samples.png", "loss.png", "tensorboard",
)  # fmt: skip

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("kerasdl.reports"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: `header` names its columns; each row has as many cells."""

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclasses.dataclass(frozen=True)
class Grid:
    """Pictures with their lines, in rows that fit the screen.

    Attributes:
        samples: The pictures.
        side: `WIDE`, `NORMAL` or `SMALL`: the longer side of each in pixels.
        columns: How many stand in a row, on a phone too; 0 for as many as fit.
    """

    samples: Sequence[Sample]
    side: int = NORMAL
    columns: int = 0


@dataclasses.dataclass(frozen=True)
class Sentence:
    """A sentence whose words are coloured.

    Attributes:
        verdict: What is said of it.
        right: Whether that is true.
        words: Each with a share in -1..1: orange above 0, blue below.
    """

    verdict: str
    right: bool
    words: Sequence[tuple[str, float]]


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page: a heading, text, and what is shown under it in this order.

    Attributes:
        title: The heading.
        text: What a reader must know of it.
        grids: Pictures with lines.
        sentences: Sentences with coloured words.
        charts: Figures that follow the page's colours.
        pictures: PNG files.
        tables: Tables.
    """

    title: str
    text: str = ""
    grids: Sequence[Grid] = ()
    sentences: Sequence[Sentence] = ()
    charts: Sequence[Chart] = ()
    pictures: Sequence[Path] = ()
    tables: Sequence[Table] = ()


@dataclasses.dataclass(frozen=True)
class Report:
    """What a job tells of a run; `write_report` makes the page.

    Attributes:
        title: The page's title.
        summary: A sentence or two under it.
        sections: What is shown between the figures and the config.
        notes: What a reader must know to trust the figures.
        hidden: Final figures that the command does not print again, as each of several
            models printed its own.
        lines: What the command prints before the final figures.
        links: Other pages by what they are called.
    """

    title: str
    summary: str
    sections: Sequence[Section]
    notes: Sequence[str] = ()
    hidden: Sequence[str] = ()
    lines: Sequence[str] = ()
    links: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Outcome:
    """What came of a training, to be scored and reported.

    Attributes:
        root: The run's folder.
        config: The resolved config, nested dicts.
        rows: Those of metrics.jsonl.
        best_epoch: The epoch that was kept; 0 if there are none.
        seconds: Training time.
        metrics: The final figures, once they are known.
        parts: The outcome of each model, if several were trained.
    """

    root: Path
    config: Mapping[str, Any]
    rows: Sequence[Mapping[str, float]] = ()
    best_epoch: int = 0
    seconds: float = 0.0
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)
    parts: Mapping[str, Outcome] = dataclasses.field(default_factory=dict)


def write_report(
    root: Path,
    title: str,
    summary: str,
    metrics: Mapping[str, Any],
    sections: Sequence[Section],
    notes: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
) -> Path:
    """Writes `report.html` into a run's folder, its pictures inlined.

    Args:
        root: The run's folder; its config.json is shown on the page.
        title: The page's title.
        summary: A sentence or two under it.
        metrics: The run's final figures.
        sections: What is shown between the figures and the config.
        notes: What a reader must know to trust the figures: pictures skipped, what is
            not deterministic.
        links: Other pages by what they are called.

    Returns:
        The page's path.
    """
    run = read_run(root)
    folder = Path(os.path.normpath(root))
    commands = []
    if (root / "model.keras").exists():
        name = folder.name or "run"
        commands = [
            f"python -m kerasdl.export.{kind} --model={folder} --output={name}{end}"
            for kind, end in (("saved_model", "_served"), ("tflite", ".tflite"))
        ]
    path = root / "report.html"
    write_page(
        path,
        title,
        summary,
        sections,
        notes=notes,
        tiles=[
            (format_figure(metrics[key], key), figure_name(key))
            for key in headline(run["job"], metrics)
        ],
        figures=[(key, figure_name(key), metrics[key]) for key in metrics],
        command=run["command"],
        settings={name: repr(value) for name, value in flatten(run["config"]).items()}
        | run["versions"],
        files=[name for name in _FILES if (root / name).exists()],
        commands=commands,
        links=links or {},
    )
    return path


def write_page(
    path: Path, title: str, summary: str, sections: Sequence[Section], **more: Any
) -> None:
    """Writes a page of sections; `more` is what else the template shows."""
    nothing = {"tiles": [], "figures": [], "command": "", "settings": {}, "files": []}
    nothing |= {"commands": [], "notes": [], "links": {}}
    page = _TEMPLATES.get_template("report.html").render(
        title=title,
        summary=summary,
        sections=sections,
        inline=_inline,
        encoded=_encoded,
        svg=lambda chart: Markup(chart.svg()),
        format_figure=format_figure,
        **{**nothing, **more},
    )
    write_text(path, page)


def _inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _encoded(image: np.ndarray, side: int) -> str:
    """A picture, uint8 (H, W, 3), at up to `side` pixels, as the address of an <img>."""
    picture = Image.fromarray(image)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.convert("RGB").save(file, "JPEG", quality=88, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
