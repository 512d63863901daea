import numpy as np
import pytest

from kerasdl.data.pictures import feature_shards
from kerasdl.data.pictures.feature_shards import FeatureRows, FeatureShards
from kerasdl.errors import InputError


class Picture:
    def __init__(self, number, data=None):
        self.where = f"{number}.png"
        self._data = bytes([number, 7]) if data is None else data

    def bytes(self):
        return self._data


class Network:
    """Two views of a picture: what its first byte is, and twice that."""

    def __init__(self):
        self.batches = []

    def __call__(self, images):
        self.batches.append(len(images))
        first = images[:, 0, 0, 0]
        return np.stack([first, 2 * first], axis=1)[:, :, None]


def prepare(data, name):
    if not data:
        raise InputError(f"{name}: expected a picture, got an empty file.")
    return np.full((1, 1, 3), data[0], np.uint8)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(feature_shards, "SHARD", 4)
    monkeypatch.setattr(feature_shards, "BATCH", 6)  # three pictures of two views


def shards(folder, key="network"):
    return FeatureShards(folder, key, (2, 1), prepare, Network())


def pictures(count=10):
    return [Picture(number) for number in range(count)]


def test_batches_within_shards_and_once(tmp_path):
    first, again = shards(tmp_path), shards(tmp_path)
    rows = FeatureRows(list(first.rows(pictures())))
    assert rows.shape == (10, 2, 1) and len(rows) == 10
    assert first.network.batches == [3, 1, 3, 1, 2]
    expected = np.arange(10.0)
    np.testing.assert_array_equal(np.asarray(rows)[:, 0, 0], expected)
    np.testing.assert_array_equal(np.asarray(rows)[:, 1, 0], 2 * expected)
    found = list(again.rows(pictures()))
    assert not again.network.batches
    assert isinstance(found[0][0], np.memmap)
    same = FeatureRows(found)
    np.testing.assert_array_equal(same[np.array([7, 2, 2])], rows[np.array([7, 2, 2])])
    np.testing.assert_array_equal(same[1:6:2], np.asarray(rows)[1:6:2])
    doubled = FeatureRows(found, lambda rows: 2 * rows[:, 0])
    assert doubled.shape == (10, 1)
    np.testing.assert_array_equal(doubled[3:5][:, 0], [6.0, 8.0])


def test_a_shard_is_kept_once_its_last_row_is_read(tmp_path):
    reading = shards(tmp_path).rows(pictures(3))
    for _ in range(3):
        next(reading)
    assert len(list(shards(tmp_path).folder.glob("*.npy"))) == 1


def test_an_interrupted_extraction_goes_on_at_its_shard(tmp_path):
    stopped = shards(tmp_path).rows(pictures())
    for _ in range(6):  # a shard, and half of the next one
        next(stopped)
    stopped.close()
    after = shards(tmp_path)
    assert len(list(after.rows(pictures()))) == 10
    assert after.network.batches == [3, 1, 2]


@pytest.mark.parametrize("harm", ["cut", "flip", "empty"])
def test_a_damaged_shard_is_computed_again(tmp_path, harm):
    list(shards(tmp_path).rows(pictures(4)))
    (path,) = shards(tmp_path).folder.glob("*.npy")
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    kept = {"cut": bytes(data[:-9]), "flip": bytes(data), "empty": b""}[harm]
    path.write_bytes(kept)
    after = shards(tmp_path)
    rows = FeatureRows(list(after.rows(pictures(4))))
    assert after.network.batches == [3, 1]
    np.testing.assert_array_equal(rows[:][:, 0, 0], np.arange(4.0))


def test_broken_pictures_are_named_then_and_later(tmp_path):
    some = [Picture(0), Picture(1, b""), Picture(2)]
    for _ in range(2):
        reader = shards(tmp_path)
        found = list(reader.rows(some))
        assert str(found[1]) == "1.png: expected a picture, got an empty file."
        assert [row for _, row in (found[0], found[2])] == [0, 2]
    assert not reader.network.batches


def test_features_that_are_not_finite_are_refused(tmp_path):
    for _ in range(2):
        reader = shards(tmp_path)
        reader.network = lambda images: np.full((1, 2, 1), np.inf, np.float32)
        found = list(reader.rows([Picture(0)]))
        assert str(found[0]) == "0.png: its features must be finite numbers, got others."


def test_another_order_or_key_shares_nothing(tmp_path):
    list(shards(tmp_path).rows(pictures(4)))
    for reader, some in (
        (shards(tmp_path), pictures(4)[::-1]),
        (shards(tmp_path, "another"), pictures(4)),
    ):
        list(reader.rows(some))
        assert reader.network.batches == [3, 1]


def test_a_full_disk_keeps_the_features_in_memory(tmp_path, monkeypatch):
    def refuse(path, array):
        raise OSError("No space left on device")

    monkeypatch.setattr(feature_shards, "save_array", refuse)
    with pytest.warns(UserWarning, match="computed again: No space left"):
        rows = FeatureRows(list(shards(tmp_path).rows(pictures(3))))
    np.testing.assert_array_equal(rows[:][:, 0, 0], np.arange(3.0))


def test_no_rows_have_the_shape_of_others():
    rows = FeatureRows([(np.ones((2, 3, 5), np.float32), 1)])
    assert rows[:0].shape == (0, 3, 5)
    assert rows[np.array([], int)].shape == (0, 3, 5)
    assert rows[:].shape == (1, 3, 5)
