import subprocess
import sys

import pytest

from kerasdl.metrics import caption_diversity, length_histogram, word_coverage


def test_diversity_by_hand():
    # Words a dog runs a cat a dog runs: 8, of which 4 differ; pairs a-dog dog-runs a-cat
    # a-dog dog-runs: 5, of which 3 differ.
    figures = caption_diversity(["a dog runs", "A cat .", "a dog runs"])
    assert figures == {
        "distinct_captions": 2,
        "vocabulary_used": 4,
        "distinct_1": 4 / 8,
        "distinct_2": 3 / 5,
        "mean_length": pytest.approx(8 / 3),
    }


def test_no_words_are_no_variety():
    figures = caption_diversity(["", "."])
    assert figures["distinct_captions"] == 1
    assert figures["distinct_1"] == figures["distinct_2"] == figures["mean_length"] == 0


def test_length_histogram():
    assert length_histogram(["a dog", "", "a cat runs .", "a cow"]).tolist() == [
        1,
        0,
        2,
        1,
    ]


def test_word_coverage_by_hand():
    coverage = word_coverage(
        ["a dog", "a dog", "a cat"], [["a dog", "the dog"], ["a cat"], ["a red cat"]]
    )
    rows = [(c.word, c.pictures, c.said, c.wrongly) for c in coverage]
    assert rows == [
        ("a", 3, 3, 0), ("cat", 2, 1, 0), ("dog", 1, 1, 1), ("red", 1, 0, 0),
        ("the", 1, 0, 0),
    ]  # fmt: skip


def test_scoring_captions_needs_no_tensorflow():
    code = (
        "import sys, kerasdl.metrics as m\n"
        "m.coco_scores(['a dog'], [['a dog']]); m.bleu1_single(['a dog'], [['a dog']])\n"
        "m.CiderD([[['a']]]); m.caption_diversity(['a dog'])\n"
        "print([n for n in ('tensorflow', 'keras') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
