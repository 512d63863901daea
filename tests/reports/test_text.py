import itertools

import numpy as np
from PIL import Image

from kerasdl.reports.curves import save_charts
from kerasdl.reports.text import (
    LENGTH_BARS,
    Shown,
    accuracy_by_length,
    comparison_table,
    length_chart,
    save_word_effects,
)


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_words_are_coloured_by_their_effect(tmp_path):
    def draw(name, effects):
        sentence = Shown("a $b$ c", ["a", "$b$", "c"], np.array(effects), "1", "0", 0.8)
        save_word_effects([sentence], tmp_path / name)
        return pixels(tmp_path / name)

    for_it, against = draw("a.png", [0.0, 2.0, 0.0]), draw("b.png", [0.0, -2.0, 0.0])
    assert for_it.shape == against.shape
    orange, blue = np.array([230, 159, 0]), np.array([86, 180, 233])
    assert (np.abs(for_it - orange).max(axis=2) < 3).sum() > 50
    assert (np.abs(against - blue).max(axis=2) < 3).sum() > 50
    assert not (np.abs(for_it - blue).max(axis=2) < 3).any()


def test_accuracy_of_each_length():
    lengths = np.array([3, 1, 3, 1, 7, 3])
    right = np.array([True, False, True, True, True, False])
    (one, three, seven) = accuracy_by_length(lengths, right)
    assert [group[0] for group in (one, three, seven)] == ["1", "3", "7"]
    np.testing.assert_allclose([one[1], three[1], seven[1]], [1 / 2, 2 / 3, 1])
    half = 1.96 * np.sqrt([1 / 4 / 2, 2 / 9 / 3, 0])
    np.testing.assert_allclose([one[2], three[2], seven[2]], half)


def test_groups_of_many_lengths_hold_every_sentence_once():
    random = np.random.default_rng(0)
    lengths = random.integers(1, 300, 2400)
    right = random.random(2400) < lengths / 300  # longer ones are easier
    groups = accuracy_by_length(lengths, right)
    assert len(groups) == LENGTH_BARS
    ends = [tuple(map(int, name.split("-"))) for name, _, _ in groups]
    assert all(high < low for (_, high), (low, _) in itertools.pairwise(ends))
    sizes = []
    for (low, high), (_, share, _) in zip(ends, groups, strict=True):
        inside = (lengths >= low) & (lengths <= high)
        assert share == right[inside].mean()
        sizes.append(inside.sum())
    assert sum(sizes) == 2400
    assert max(sizes) < 1.3 * min(sizes)
    assert np.corrcoef(range(len(groups)), [share for _, share, _ in groups])[0, 1] > 0.9


def test_accuracy_by_length_groups_what_is_rare(tmp_path):
    random = np.random.default_rng(0)
    lengths = random.integers(1, 300, 2000)
    charts = [length_chart(lengths, random.random(2000) < 0.9)]
    charts.append(length_chart(np.full(3, 7), np.ones(3, bool)))
    save_charts(charts, tmp_path / "l.png")
    assert min(pixels(tmp_path / "l.png").shape[:2]) > 250


def test_comparison_has_the_splits_that_were_scored():
    figures = {"parameters": 3, "bytes": 2_500_000, "seconds": 1.25}
    figures["sentences_per_second"] = 1000
    runs = {
        "a": figures | {"train/accuracy": 0.5, "val/accuracy": 0.9321},
        "b": figures | {"train/accuracy": 0.5, "val/accuracy": 0.9},
    }
    table = comparison_table(runs)
    assert table.header[:4] == ["model", "train accuracy", "val accuracy", "parameters"]
    assert table.rows[0] == ["a", "50.00%", "93.21%", 3, "2.50", "1.2", 1000]
