import numpy as np
from PIL import Image

from kerasdl.metrics.classification import calibration
from kerasdl.reports.classification import (
    class_table,
    save_calibration,
    save_confusion,
)

CONFUSION = np.array([[8, 2], [1, 9]])


def test_class_table():
    table = class_table(CONFUSION, ["bad", "good"])
    assert table.rows[0][0] == "bad"
    np.testing.assert_allclose(table.rows[0][1:], [8 / 9, 0.8, 16 / 19, 10])
    assert isinstance(table.rows[0][-1], int)


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_confusion_shows_the_matrix(tmp_path):
    save_confusion(CONFUSION, ["bad", "good"], tmp_path / "a.png")
    save_confusion(CONFUSION[:, ::-1], ["bad", "good"], tmp_path / "b.png")
    first, second = pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png")
    assert first.shape == second.shape
    assert np.abs(first - second).max() > 100
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_confusion_of_many_classes(tmp_path):
    names = [f"class {i}" for i in range(40)]
    save_confusion(np.eye(40, dtype=int), names, tmp_path / "many.png")
    assert min(pixels(tmp_path / "many.png").shape[:2]) > 400


def test_calibration_picture(tmp_path):
    random = np.random.default_rng(0)
    chances = random.uniform(0, 1, 500)
    probabilities = np.stack([chances, 1 - chances], axis=1)
    save_calibration(
        calibration(random.integers(0, 2, 500), probabilities), tmp_path / "c.png"
    )
    assert min(pixels(tmp_path / "c.png").shape[:2]) > 300
