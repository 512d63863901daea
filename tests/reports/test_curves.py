"""Curves and grids: pictures of the size and colours that they should have."""

import numpy as np
from PIL import Image

from kerasdl.reports.curves import COLOURS, save_learning_curves
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
    save_learning_curves(rows, tmp_path / "a.png", panels, best_epoch=3)
    found = colours_in(tmp_path / "a.png")
    assert {COLOURS[0], COLOURS[1]} <= found
    assert COLOURS[2] not in found
    one = Image.open(tmp_path / "a.png").size
    panels["nothing"] = ["train/loss"]
    save_learning_curves(rows, tmp_path / "b.png", panels)
    assert Image.open(tmp_path / "b.png").size[0] > 1.5 * one[0]


def test_one_epoch_is_still_visible(tmp_path):
    rows = []
    rows.append({"epoch": 1, "train/loss": 1.0})
    save_learning_curves(rows, tmp_path / "a.png", {"loss": ["train/loss"]})
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
