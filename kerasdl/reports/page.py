"""`report.html`: a run's figures and pictures on one page that needs no server."""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from kerasdl.files import write_text
from kerasdl.runs import flatten, read_run

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
class Section:
    """A part of the page: a heading, text, pictures (PNG files) and tables."""

    title: str
    text: str = ""
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
        hidden: Final figures that the page shows elsewhere.
        lines: What the command prints before the final figures.
    """

    title: str
    summary: str
    sections: Sequence[Section]
    notes: Sequence[str] = ()
    hidden: Sequence[str] = ()
    lines: Sequence[str] = ()


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
    parts: Mapping[str, "Outcome"] = dataclasses.field(default_factory=dict)


def format_figure(value: Any) -> str:
    """A metric as people read it.

    >>> format_figure(0.123456), format_figure(1234567), format_figure("lstm")
    ('0.1235', '1,234,567', 'lstm')
    >>> format_figure(12711.9)
    '12,712'
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def write_report(
    root: Path,
    title: str,
    summary: str,
    metrics: Mapping[str, Any],
    sections: Sequence[Section],
    notes: Sequence[str] = (),
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

    Returns:
        The page's path.
    """
    run = read_run(root)
    page = _TEMPLATES.get_template("report.html").render(
        title=title,
        summary=summary,
        metrics={name: format_figure(value) for name, value in metrics.items()},
        sections=[
            {
                "title": section.title,
                "text": section.text,
                "pictures": [(path.stem, _inline(path)) for path in section.pictures],
                "tables": section.tables,
            }
            for section in sections
        ],
        notes=notes,
        command=run["command"],
        config={name: repr(value) for name, value in flatten(run["config"]).items()},
        versions=run["versions"],
        format_figure=format_figure,
    )
    path = root / "report.html"
    write_text(path, page)
    return path


def _inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
