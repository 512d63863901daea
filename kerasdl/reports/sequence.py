"""The page of a bench of recurrent cells: error, accuracy and memory horizons by step."""

from __future__ import annotations

from kerasdl.data.drawn.sequences import TaskShape
from kerasdl.reports.curves import Chart, column, line_chart, save_charts
from kerasdl.reports.page import Outcome, Report, Section, Table

SUMMARIES = {
    "adding": (
        "Two of {steps} numbers are marked; the network is to give their sum after the "
        "last step, so it must carry what it has seen over up to {steps} steps."
    ),
    "copying": (
        "{symbols} symbols of {alphabet} kinds are shown and then {steps} blanks; the "
        "network is to give the symbols in their order, so it must carry each over "
        "{steps} + {symbols} steps."
    ),
    "pixels": (
        "A drawn digit comes pixel by pixel in {steps} steps; the network is to name it "
        "after the last one."
    ),
}
# The picture of each cell's run, which the bench's page shows too.
HORIZON = "memory_horizon.png"


def report_bench(outcome: Outcome, shape: TaskShape) -> Report:
    """The page of the runs of several cells on one task.

    Args:
        outcome: Of the bench; its parts are the cells'.
        shape: Of the task.
    """
    config = outcome.config
    error = "cross-entropy in nats" if shape.outputs > 1 else "mean squared error"
    charts = [
        _by_step(
            *(outcome, "val/loss", f"{error}, validation"),
            logarithmic=shape.outputs == 1,
            level=(shape.chance, f"knowing nothing: {shape.chance:.3f}"),
        )
    ]
    if shape.outputs > 1:
        level = (1 / shape.outputs, "guessing")
        charts.append(_by_step(outcome, "val/accuracy", "accuracy", level=level))
    save_charts(charts, outcome.root / "loss.png")
    sections = [Section("Validation", charts=charts, tables=[_table(outcome)])]
    horizons = [
        chart
        for gradient, letter in (("delta", "hidden state"), ("gamma", "cell state"))
        if (chart := _horizons(outcome, gradient, letter, shape.length)) is not None
    ]
    if horizons:
        save_charts(horizons, outcome.root / HORIZON)
        text = (
            "How many steps back the gradient of the last step reaches before less than "
            "1 % of it is left, by training step. The page of each cell has its heat-map."
        )
        sections.append(Section("Memory horizon", text, charts=horizons))
    return Report(
        title=f"{config['task'].capitalize()}: recurrent cells compared",
        summary=SUMMARIES[config["task"]].format_map(config),
        sections=sections,
        links={name: f"{name}/report.html" for name in outcome.parts},
    )


def _by_step(outcome: Outcome, figure: str, label: str, **more) -> Chart:
    """A chart of a figure of each cell by training step."""
    config, lines = outcome.config, {}
    for name, part in outcome.parts.items():
        epochs, values = column(part.rows, figure)
        # A cell without the figure keeps its colour for the charts that show it.
        lines[name] = ([e * config["batches_per_epoch"] for e in epochs], values)
    steps = f"training steps of {config['batch_size']} sequences"
    return line_chart(lines, steps, label, **more)


def _horizons(outcome: Outcome, gradient: str, state: str, length: int) -> Chart | None:
    """The horizons of δ or γ; None if none was measured."""
    ends = f"/{gradient}_horizon"
    found = {
        key: "horizon"
        for part in outcome.parts.values()
        for key in part.rows[-1]
        if key.endswith(ends)
    }
    if not found:
        return None
    parts = {}
    for name, part in outcome.parts.items():
        rows = [
            {"epoch": row["epoch"], "horizon": row[key]}
            for row in part.rows
            for key in found
            if key in row
        ]
        parts[name] = Outcome(part.root, part.config, rows=rows)
    renamed = Outcome(outcome.root, outcome.config, parts=parts)
    label = f"horizon of the {state}, time steps"
    return _by_step(renamed, "horizon", label, level=(length, "the whole sequence"))


def _table(outcome: Outcome) -> Table:
    """What each cell came to."""
    figures = ("val/loss", "val/accuracy", "seconds", "parameters")
    known = [f for f in figures if f in next(iter(outcome.parts.values())).metrics]
    rows = [
        [name, *(f"{part.metrics[figure]:.4g}" for figure in known)]
        for name, part in outcome.parts.items()
    ]
    return Table(["cell", *known], rows)
