"""Nothing is decided by which of two times is later."""

import json
import os

import numpy as np

from kerasdl.data.pictures.feature_cache import FeatureCache
from kerasdl.export.serving.state import State


def test_a_server_sees_what_was_replaced_by_older_files(tmp_path):
    path = tmp_path / "state.json"
    state = State(path, "model")
    for number, seconds in (("1", 4e9), ("2", 2e9), ("3", 0)):
        new = tmp_path / "new"
        new.write_text(json.dumps({"states": {number: ["LOADING", ""]}, "models": {}}))
        os.utime(new, (seconds, seconds))
        new.replace(path)
        assert list(state.states()) == [number]


def test_features_from_the_future_are_kept(tmp_path):
    cache = FeatureCache(tmp_path, "network")
    expected = cache.get(b"picture", "a", lambda *_: np.ones(3, np.float32))
    for path in tmp_path.rglob("*"):
        os.utime(path, (4e9, 4e9))
    again = FeatureCache(tmp_path, "network").get(b"picture", "b", lambda *_: 1 / 0)
    np.testing.assert_array_equal(again, expected)
