import numpy as np
import pytest

from kerasdl.data.texts.batches import TextBatches, in_order
from kerasdl.data.texts.tokens import TokenRows


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    return TokenRows.from_lists(
        [random.integers(2, 99, random.integers(1, 60)).tolist() for _ in range(3000)]
    )


def test_an_epoch_holds_each_sentence_once_with_its_label(rows):
    labels = np.arange(len(rows))
    batches = TextBatches(rows, labels, batch_size=7, seed=3)
    seen = []
    for ids, chosen in batches(2):
        np.testing.assert_array_equal(ids, rows.padded(chosen))
        seen += chosen.tolist()
    assert sorted(seen) == labels.tolist()
    assert len(list(batches(0))) == len(batches) == 429


def test_order_is_a_function_of_seed_and_epoch(rows):
    def order(seed, epoch):
        batches = TextBatches(rows, np.zeros(len(rows)), 7, seed)
        batches.order(epoch + 1)
        return np.concatenate(batches.order(epoch)).tolist()

    assert order(0, 5) == order(0, 5)
    assert order(0, 5) != order(0, 6)
    assert order(0, 5) != order(1, 5)


def test_batches_are_of_like_length_and_shuffled(rows):
    order = TextBatches(rows, np.zeros(len(rows)), 20, 0).order(0)
    padded = sum(rows.lengths[batch].max() * len(batch) for batch in order)
    at_random = np.random.default_rng(0).permutation(len(rows)).reshape(-1, 20)
    unsorted = rows.lengths[at_random].max(axis=1).sum() * 20
    assert padded < 1.06 * rows.lengths.sum() < 0.7 * unsorted
    longest = [rows.lengths[batch].max() for batch in order]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.25


def test_in_order_visits_each_sentence_once(rows):
    seen = []
    for chosen, ids in in_order(rows, 64):
        np.testing.assert_array_equal(ids, rows.padded(chosen))
        seen += chosen.tolist()
    assert sorted(seen) == list(range(len(rows)))


def test_no_sentences():
    assert list(in_order(TokenRows.from_lists([]), 4)) == []
