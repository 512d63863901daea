import numpy as np
from PIL import Image

from kerasdl.metrics.classification import calibration
from kerasdl.reports.classification import (
    calibration_chart,
    class_table,
    confident_mistakes,
    confusion_chart,
    overlay,
)
from kerasdl.reports.curves import save_charts

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
    save_charts([confusion_chart(CONFUSION, ["bad", "good"])], tmp_path / "a.png")
    other = confusion_chart(CONFUSION[:, ::-1], ["bad", "good"])
    save_charts([other], tmp_path / "b.png")
    first, second = pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png")
    assert first.shape == second.shape
    assert np.abs(first - second).max() > 100
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_confusion_of_many_classes(tmp_path):
    names = [f"class {i}" for i in range(40)]
    chart = confusion_chart(np.eye(40, dtype=int), names)
    save_charts([chart], tmp_path / "many.png")
    assert min(pixels(tmp_path / "many.png").shape[:2]) > 400


def test_calibration_picture(tmp_path):
    random = np.random.default_rng(0)
    chances = random.uniform(0, 1, 500)
    probabilities = np.stack([chances, 1 - chances], axis=1)
    chart = calibration_chart(
        {"model": calibration(random.integers(0, 2, 500), probabilities)}
    )
    save_charts([chart], tmp_path / "c.png")
    assert min(pixels(tmp_path / "c.png").shape[:2]) > 300


def test_the_surest_mistakes_come_first():
    labels = np.array([0, 1, 1, 0])
    probabilities = np.array([[0.3, 0.7], [0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    assert confident_mistakes(labels, probabilities, 5).tolist() == [1, 0, 3]
    assert confident_mistakes(labels, probabilities, 2).tolist() == [1, 0]
    right = probabilities.argmax(axis=1)
    assert not len(confident_mistakes(right, probabilities, 5))


def test_a_map_shows_on_a_picture_of_its_own_colour():
    yellow = np.zeros((64, 64, 3), np.uint8) + np.array([255, 220, 0], np.uint8)
    heat = np.zeros((4, 4))
    heat[:2] = 1.0
    laid = overlay(yellow, heat)
    assert laid.shape == yellow.shape and laid.dtype == np.uint8
    upper, lower = laid[:16].mean((0, 1)), laid[-16:].mean((0, 1))
    assert np.abs(upper - lower).max() > 40
    # Without evidence a picture is itself, of less colour and as bright.
    np.testing.assert_allclose(lower.mean(), yellow.mean(), atol=1)
