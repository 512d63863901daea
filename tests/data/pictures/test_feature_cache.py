import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kerasdl.data.pictures.feature_cache import FeatureCache, default_cache_folder
from kerasdl.errors import InputError


class Extractor:
    """Features that only the bytes decide; remembers what it was asked for."""

    def __init__(self):
        self.names = []

    def __call__(self, data, name):
        self.names.append(name)
        return np.random.default_rng(list(data)).normal(size=(3, 5)).astype(np.float32)


@pytest.fixture
def extract():
    return Extractor()


def test_computes_each_picture_once(tmp_path, extract):
    first = FeatureCache(tmp_path, "network").get(b"picture", "a.jpg", extract)
    again = FeatureCache(tmp_path, "network").get(b"picture", "renamed.jpg", extract)
    assert extract.names == ["a.jpg"]
    np.testing.assert_array_equal(first, again, strict=True)
    assert first.tobytes() == again.tobytes()


def test_edited_picture_is_computed_again(tmp_path, extract):
    cache = FeatureCache(tmp_path, "network")
    before = cache.get(b"picture", "a.jpg", extract)
    after = cache.get(b"pictura", "a.jpg", extract)
    assert extract.names == ["a.jpg", "a.jpg"]
    assert not np.array_equal(before, after)


def test_another_key_shares_nothing(tmp_path, extract):
    FeatureCache(tmp_path, "network 224").get(b"picture", "a", extract)
    FeatureCache(tmp_path, "network 192").get(b"picture", "b", extract)
    assert extract.names == ["a", "b"]


def test_another_version_shares_nothing(tmp_path, monkeypatch, extract):
    FeatureCache(tmp_path, "network").get(b"picture", "a", extract)
    monkeypatch.setattr("importlib.metadata.version", lambda package: "999")
    FeatureCache(tmp_path, "network").get(b"picture", "b", extract)
    assert extract.names == ["a", "b"]


def test_key_is_written_beside_the_features(tmp_path):
    cache = FeatureCache(tmp_path, "efficientnet_lite0 224 pooled")
    lines = (cache.folder / "key.txt").read_text().splitlines()
    assert lines[0] == "efficientnet_lite0 224 pooled"
    assert any(line.startswith("tensorflow ") for line in lines[1:])


@pytest.mark.parametrize("kept", [0, 5, 60, 130, 150])
def test_file_that_was_cut_short_is_computed_again(tmp_path, extract, kept):
    cache = FeatureCache(tmp_path, "network")
    expected = cache.get(b"picture", "a", extract)
    (path,) = cache.folder.glob("*.npy")
    path.write_bytes(path.read_bytes()[:kept])
    np.testing.assert_array_equal(cache.get(b"picture", "b", extract), expected)
    assert extract.names == ["a", "b"]
    np.testing.assert_array_equal(cache.get(b"picture", "c", extract), expected)
    assert extract.names == ["a", "b"]


def test_a_flipped_bit_is_computed_again(tmp_path, extract):
    cache = FeatureCache(tmp_path, "network")
    expected = cache.get(b"picture", "a", extract)
    (path,) = cache.folder.glob("*.npy")
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        np.testing.assert_array_equal(cache.get(b"picture", "b", extract), expected)
    assert extract.names == ["a"] + ["b"] * len(range(0, len(data), 7))


def test_features_of_another_shape_are_computed_again(tmp_path, extract):
    FeatureCache(tmp_path, "network").get(
        b"picture", "a", lambda *_: np.zeros((4,), np.float32)
    )
    cache = FeatureCache(tmp_path, "network", (3, 5))
    assert cache.get(b"picture", "b", extract).shape == (3, 5)
    with pytest.raises(InputError, match=r"c: its features .*\(3, 5\); got float32"):
        cache.get(b"other", "c", lambda *_: np.zeros((4,), np.float32))


def test_features_that_are_not_finite_name_the_picture(tmp_path):
    cache = FeatureCache(tmp_path, "network")
    with pytest.raises(InputError, match=r"a\.jpg: its features must be finite numbers"):
        cache.get(b"picture", "a.jpg", lambda *_: np.full(3, np.nan, np.float32))
    assert list(cache.folder.glob("*.npy")) == []


def test_pickled_objects_are_not_loaded(tmp_path, extract):
    cache = FeatureCache(tmp_path, "network")
    expected = cache.get(b"picture", "a", extract)
    (path,) = cache.folder.glob("*.npy")
    np.save(path, np.array([{"an": "object"}], object), allow_pickle=True)
    np.testing.assert_array_equal(cache.get(b"picture", "b", extract), expected)


def test_broken_picture_stores_nothing(tmp_path):
    cache = FeatureCache(tmp_path, "network")

    def refuse(data, name):
        raise InputError(f"{name}: broken")

    for _ in range(2):
        with pytest.raises(InputError, match=r"^a\.jpg: broken$"):
            cache.get(b"picture", "a.jpg", refuse)
    assert [path.name for path in cache.folder.iterdir()] == ["key.txt"]


def test_write_that_fails_leaves_nothing_and_warns(tmp_path, monkeypatch, extract):
    cache = FeatureCache(tmp_path, "network")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        features = cache.get(b"picture", "a", extract)
    assert features.shape == (3, 5)
    assert [path.name for path in cache.folder.iterdir()] == ["key.txt"]


def test_interrupted_write_leaves_nothing(tmp_path, monkeypatch, extract):
    cache = FeatureCache(tmp_path, "network")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.get(b"picture", "a", extract)
    assert [path.name for path in cache.folder.iterdir()] == ["key.txt"]


def test_many_writers_of_one_picture(tmp_path, extract):
    caches = [FeatureCache(tmp_path, "network") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda c: c.get(b"picture", "a", extract), caches))
    for result in results:
        np.testing.assert_array_equal(result, results[0])
    assert len(list(caches[0].folder.glob("*"))) == 2


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cache cannot be written.*file"):
        FeatureCache(tmp_path / "file", "network")


def test_default_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASDL_CACHE", str(tmp_path / "chosen"))
    assert default_cache_folder() == tmp_path / "chosen"
    assert FeatureCache(None, "network").folder.parent == tmp_path / "chosen"
    monkeypatch.setenv("KERASDL_CACHE", "")
    assert default_cache_folder() == Path.home() / ".cache" / "kerasdl"


def test_needs_no_tensorflow():
    code = (
        "import sys, kerasdl.data.pictures.feature_cache\n"
        "sys.exit('tensorflow is imported' if 'tensorflow' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
