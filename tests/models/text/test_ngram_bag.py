import numpy as np

from kerasdl.models.text.ngram_bag import ngram_buckets


def test_buckets_are_the_polynomial_hash():
    ids = np.array([[7, 123_456, 3, 99]], np.int32)
    got = ngram_buckets(ids, 3, 1000).numpy()[0]
    for start in range(2):
        value = 7 if start == 0 else 123_456
        for following in ids[0, start + 1 : start + 3].tolist():
            value = (value * 1_000_003 + following) % 2_147_483_629
        assert got[start] == value % 1000


def test_shorter_sentences_have_none():
    assert ngram_buckets(np.array([[4]]), 2, 10).shape == (1, 0)


def test_buckets_are_filled_evenly():
    pairs = np.stack(np.meshgrid(np.arange(2, 202), np.arange(2, 202)), -1).reshape(-1, 2)
    counts = np.bincount(ngram_buckets(pairs, 2, 100).numpy()[:, 0], minlength=100)
    assert counts.min() > 300 and counts.max() < 500  # 400 on average
    swapped = ngram_buckets(pairs[:, ::-1], 2, 100).numpy()
    assert np.mean(swapped == ngram_buckets(pairs, 2, 100).numpy()) < 0.03
