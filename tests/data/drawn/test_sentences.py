import numpy as np
import pytest

from kerasdl.data.drawn.sentences import (
    _ASPECTS,
    _NEGATIVE,
    _POSITIVE,
    generated_sentences,
)


@pytest.fixture(scope="module")
def dataset():
    return generated_sentences(0, train=3000, val=300, test=600)


def test_same_seed_same_sentences(dataset):
    again = generated_sentences(0, train=3000, val=300, test=600)
    assert again.train.texts == dataset.train.texts
    np.testing.assert_array_equal(again.test.labels, dataset.test.labels)
    assert (
        generated_sentences(1, train=30, val=3, test=3).train.texts
        != (dataset.train.texts[:30])
    )


def test_sizes_balance_and_no_overlap(dataset):
    splits = (dataset.train, dataset.val, dataset.test)
    assert [len(split) for split in splits] == [3000, 300, 600]
    texts = [text for split in splits for text in split.texts]
    assert len(set(texts)) == len(texts)
    for split in splits:
        assert 0.4 < split.labels.mean() < 0.6


def pairs(split):
    """Which aspect meets which adjective in the clauses of a split."""
    found = set()
    for text in split.texts:
        words = text.split()
        aspect = None
        for word in words:
            if word in _ASPECTS:
                aspect = word
            elif word in _POSITIVE + _NEGATIVE:
                found.add((aspect, word))
    return found


def test_held_out_pairs_never_meet_in_training(dataset):
    train, test = pairs(dataset.train), pairs(dataset.test)
    assert len(test) > 40
    assert not train & test
    assert {word for _, word in test} <= {word for _, word in train}


def test_words_alone_do_not_tell(dataset):
    """The best threshold on (positive - negative adjectives) is far from right."""
    scores = np.array(
        [
            sum((w in _POSITIVE) - (w in _NEGATIVE) for w in text.split())
            for text in dataset.test.texts
        ]
    )
    accuracies = [((scores > t) == dataset.test.labels).mean() for t in (-1, 0, 1)]
    assert max(accuracies) < 0.75
