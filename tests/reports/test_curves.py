"""Curves and grids: pictures of the size and colours that they should have."""

import itertools
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from kerasdl.reports.curves import COLOURS, learning_curves, line_chart, save_charts
from kerasdl.reports.samples import Sample, save_sample_grid


def colours_in(path):
    with Image.open(path) as picture:
        counted = picture.convert("RGB").getcolors(1 << 24)
    return {f"#{r:02X}{g:02X}{b:02X}" for _, (r, g, b) in counted}


def test_each_metric_has_its_line(tmp_path):
    rows = []
    for epoch in range(1, 6):
        rows.append({"epoch": epoch, "train/loss": 1 / epoch, "val/loss": 2 / epoch})
    panels = {"loss": ["train/loss", "val/loss"], "nothing": ["val/none"]}
    save_charts(learning_curves(rows, panels, best_epoch=3), tmp_path / "a.png")
    found = colours_in(tmp_path / "a.png")
    assert {COLOURS[0], COLOURS[1]} <= found
    assert COLOURS[2] not in found
    one = Image.open(tmp_path / "a.png").size
    panels["nothing"] = ["train/loss"]
    save_charts(learning_curves(rows, panels), tmp_path / "b.png")
    assert Image.open(tmp_path / "b.png").size[0] > 1.5 * one[0]


def test_a_score_that_never_moved_is_drawn_from_zero():
    figure = Figure()
    line_chart({"accuracy": ([1, 2], [1.0, 1.0])}, "epoch", "accuracy").draw(figure)
    assert figure.axes[0].get_ylim() == (0, 1.05)


def test_one_epoch_is_still_visible(tmp_path):
    rows = []
    rows.append({"epoch": 1, "train/loss": 1.0})
    save_charts(learning_curves(rows, {"loss": ["train/loss"]}), tmp_path / "a.png")
    assert COLOURS[0] in colours_in(tmp_path / "a.png")


def test_grid_shows_every_picture_and_survives_odd_text(tmp_path):
    shades = ["#FF0000", "#00FF00", "#0000FF", "#FFFF00"]
    samples = [
        Sample(
            np.full(
                (20 + 7 * i, 30, 3), [int(s[j : j + 2], 16) for j in (1, 3, 5)], "uint8"
            ),
            "test: a.png",
            ("costs $5 and $6_{", "word " * 40),
        )
        for i, s in enumerate(shades)
    ]
    save_sample_grid(samples, tmp_path / "grid.png")
    assert set(shades) <= colours_in(tmp_path / "grid.png")


def test_long_titles_stay_clear_of_each_other(tmp_path):
    image = np.zeros((20, 30, 3), "uint8")
    for name, title in {"short": "a" * 44, "long": "a" * 200}.items():
        samples = [Sample(image, title, ("GT: ant",)) for _ in range(3)]
        save_sample_grid(samples, tmp_path / f"{name}.png")
    with (
        Image.open(tmp_path / "short.png") as short,
        Image.open(tmp_path / "long.png") as long,
    ):
        assert short.size == long.size
        titles = np.asarray(long.convert("L"))[: long.height // 4]
    # Each column of the grid ends with a gap that no title crosses.
    dark = (titles < 200).any(axis=0)
    assert not dark[long.width // 3 - 4 : long.width // 3].all()


def test_a_chart_of_the_page_follows_its_colours_and_shows_its_numbers():
    lines = {"a & b": ([1, 2, 3], [0.5, 0.25, 0.125]), "c": ([2], [7.0])}
    chart = line_chart(lines, "epoch", "loss, nats", marked=(2, "kept"))
    svg = chart.svg()
    assert svg == chart.svg()
    page = ElementTree.fromstring(svg)
    texts = ["".join(t.itertext()) for t in page.iter("text")]
    assert {"epoch", "loss, nats", "a & b", "c", "kept"} <= set(texts)
    assert "currentColor" in svg and "#000000" not in svg and "http" not in svg
    readings = [g for g in page.iter("g") if g.get("class") == "reading"]
    assert ["".join(g.itertext()) for g in readings] == [
        "epoch 1a & b: 0.5", "epoch 2a & b: 0.25c: 7", "epoch 3a & b: 0.125",
    ]  # fmt: skip
    # The strips tile the axes, each with its line inside.
    strips = [g.find("rect") for g in readings]
    for one, other in itertools.pairwise(strips):
        end = float(one.get("x")) + float(one.get("width"))
        assert end == pytest.approx(float(other.get("x")), abs=0.11)
    for strip, line in zip(strips, (g.find("path") for g in readings), strict=True):
        x = float(line.get("d")[1:].split()[0])
        assert 0 < x - float(strip.get("x")) < float(strip.get("width"))
