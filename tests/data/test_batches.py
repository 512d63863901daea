"""The order of minibatches, reading ahead, memory that does not grow with the data."""

import tracemalloc

import numpy as np
import pytest

from kerasdl.data.batches import EpochBatches
from kerasdl.data.drawn.shapes import drawn_shapes
from kerasdl.data.pictures.augmentation import Augmentation
from kerasdl.data.pictures.batches import FeatureBatches, PictureBatches, PictureSplit
from kerasdl.training.features import FeatureRows


class Numbers(EpochBatches):
    """The examples' own numbers; keeps count of what was read."""

    def __init__(self, *arguments, threads=0, **more):
        super().__init__(*arguments, **more)
        self.threads, self.seen = threads, []

    def read(self, epoch, rows):
        self.seen.append(len(rows))
        return (rows,)


@pytest.mark.parametrize("threads", [0, 3])
def test_an_epoch_goes_on_from_any_step_and_reads_nothing_before(threads):
    whole = [rows for (rows,) in Numbers(22, 4, 7)(3)]
    assert sorted(np.concatenate(whole)) == [*range(22)]
    for first in (0, 1, 5, 6):
        batches = Numbers(22, 4, 7, threads=threads)
        rest = [rows for (rows,) in batches(3, first)]
        assert len(batches) == 6 and len(batches.seen) == len(rest) == 6 - first
        for actual, expected in zip(rest, whole[first:], strict=True):
            np.testing.assert_array_equal(actual, expected)


def test_shards_share_each_batch_out():
    whole = Numbers(22, 4, 7)(1)
    parts = [Numbers(22, 4, 7, shard=slice(k, None, 3))(1) for k in range(3)]
    for (rows,), *shards in zip(whole, *parts, strict=True):
        assert sorted(np.concatenate([own for (own,) in shards])) == sorted(rows)


def test_reading_ahead_ends_with_the_epoch_that_is_left():
    batches = Numbers(1000, 1, 0, threads=2)
    epoch = batches(0)
    next(epoch)
    epoch.close()
    assert len(batches.seen) < 20


def test_a_fault_while_reading_ahead_reaches_the_loop():
    class Broken(Numbers):
        def read(self, epoch, rows):
            raise ValueError(f"row {rows[0]}")

    with pytest.raises(ValueError, match="row"):
        list(Broken(5, 1, 0, threads=2)(0))


def peak(run, *arguments):
    """Bytes of Python's and NumPy's memory that a call takes at most."""
    tracemalloc.start()
    try:
        run(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_of_features_does_not_grow_with_the_data(tmp_path):
    width = 256

    def epoch(count):
        rows = FeatureRows(width, tmp_path)
        row = np.zeros(width, np.float32)
        for number in range(count):
            row[0] = number
            rows.append(row)
        labels = np.arange(count, dtype=np.int32)
        batches = FeatureBatches(rows.array()[None], labels, 32, 0)
        for features, numbers in batches(0):
            np.testing.assert_array_equal(features[:, 0], numbers)

    epoch(10)  # what the first call imports
    few, many = peak(epoch, 1_000), peak(epoch, 20_000)
    # 19 MB more on disk; the order and the labels take 20 bytes an example.
    assert many - few < 40 * 20_000


def test_no_features(tmp_path):
    assert FeatureRows(3, tmp_path).array().shape == (0, 3)


def test_memory_of_pictures_does_not_grow_with_the_data(monkeypatch):
    monkeypatch.setattr("kerasdl.data.pictures.batches.DECODED_BYTES", 50_000)
    pictures = drawn_shapes(0, 12, 0, 0, side=64).train

    def epoch(times):
        split = PictureSplit(list(pictures) * times)
        batches = PictureBatches(split, Augmentation(64), 4, 0)
        batches.threads = 2
        for images, _ in batches(0):
            assert images.shape[1:] == (64, 64, 3)

    epoch(1)
    few, many = peak(epoch, 2), peak(epoch, 16)  # 24 and 192 pictures of 12 kB
    assert many - few < 168 * 1_000
