"""The captioning report's pictures and tables, from captions made up here."""

import numpy as np
from PIL import Image

from kerasdl.reports.attention import attention_samples, enlarged
from kerasdl.reports.captioning import (
    CAPTION_METRICS,
    CaptionSample,
    ScoredCaptions,
    report_captioning,
)
from kerasdl.reports.page import Outcome

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), "uint8")
CAPTIONS = ["a dog runs", "a cat sleeps", "a cat runs", "a dog sleeps"]
REFERENCES = [["a dog runs"], ["the cat sleeps"], ["a red bird"], ["dogs play"]]


def scored(attended=()):
    return ScoredCaptions(
        "test", list("abcd"), CAPTIONS, REFERENCES, lambda index: IMAGE, attended
    )


def report(tmp_path, attended=()):
    outcome = Outcome(
        root=tmp_path,
        config={"model": {"rnn": "lstm", "units": 8, "backbone": "x"}},
        rows=[{"epoch": 1, "train/loss": 1.0}],
        best_epoch=1,
        metrics={f"test/{name}": 0.5 for name in CAPTION_METRICS},
    )
    samples = [CaptionSample(IMAGE, "test: a", "a dog runs", "a dog")]
    return report_captioning(outcome, samples, scored(attended), {"test": 4}, "val/cider")


def test_best_and_worst_pictures_words_and_lengths(tmp_path):
    page = report(tmp_path)
    titles = [section.title for section in page.sections]
    assert titles == [
        "Captions", "Scores", "Learning curves", "Best pictures of test by CIDEr",
        "Worst pictures of test by CIDEr", "What it says",
    ]  # fmt: skip
    for name in ("best", "worst", "lengths", "samples", "loss"):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert min(image.size) > 100
    diversity, coverage = page.sections[5].tables
    assert diversity.header[1] == "distinct captions"
    assert [row[1] for row in diversity.rows] == [4, 4]
    assert coverage.rows[0] == ["a", 2, 2, 2]


def test_attention_is_drawn_if_there_is_any(tmp_path):
    weights = np.full((9, 3, 3), 1 / 9)
    page = report(tmp_path, [(IMAGE, ["$word"] * 9, weights)])
    assert "Where it looked" in [section.title for section in page.sections]
    with Image.open(tmp_path / "attention.png") as image:
        assert image.size[0] > image.size[1] > 300  # ten cells are two rows


def test_maps_keep_their_place_and_their_maximum(tmp_path):
    map_ = np.zeros((4, 4))
    map_[1, 3] = 0.25
    large = enlarged(map_)
    assert large.max() == 1.0 and large.min() == 0.0
    row, column = np.unravel_index(large.argmax(), large.shape)
    assert (row * 4 // 224, column * 4 // 224) == (1, 3)
    white = np.full((30, 40, 3), 255, np.uint8)
    whole, looked = attention_samples(white, ["a"], map_[None])
    assert whole.image.min() == 255 and looked.lines == ("a",)
    light = looked.image[..., 0]
    assert light[row, column] == 255 and light.min() == 64  # a quarter of the light
