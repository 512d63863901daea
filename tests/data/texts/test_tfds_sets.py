import re
import socket
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds

from kerasdl.data import tfds_sets
from kerasdl.data.texts.readers import read_texts
from kerasdl.data.tfds_sets import check_reachable
from kerasdl.errors import InputError

EXAMPLES = {
    "train": [("good \u00e9clair", 1), ("bad", 0), ("fine", 1)],
    "validation": [("awful", 0)],
    "test": [("unknown", -1), ("labelled", 1)],
    "unsupervised": [("never read", -1)],
}


class TinyReviews(tfds.core.GeneratorBasedBuilder):
    """A set of the form that imdb_reviews and glue/sst2 have."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "sentence": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=["neg", "pos"]),
                    "idx": np.int32,
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(name) for name in EXAMPLES}

    def _generate_examples(self, split):
        for index, (text, label) in enumerate(EXAMPLES[split]):
            yield index, {"sentence": text, "label": label, "idx": index}


class TinyPairs(TinyReviews):
    """A set with two texts an example, as glue/mrpc has."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "sentence": tfds.features.Text(),
                    "premise": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=["neg", "pos"]),
                }
            )
        )

    def _generate_examples(self, split):
        for index, (text, label) in enumerate(EXAMPLES[split]):
            yield index, {"sentence": text, "premise": "so", "label": label}


def read(folder, name="tfds:tiny_reviews", **options):
    options = {"text_column": "text", "label_column": "label"} | options
    return read_texts(name, tfds_folder=str(folder), **options)


def test_a_set_by_name(tmp_path):
    dataset = read(tmp_path)
    assert sorted(dataset.train.texts) == ["bad", "fine", "good \u00e9clair"]
    labels = dict(zip(dataset.train.texts, dataset.train.labels.tolist(), strict=True))
    assert labels == {"bad": 0, "fine": 1, "good \u00e9clair": 1}
    assert dataset.val.texts == ["awful"]
    assert dataset.test.texts == ["labelled"]
    assert dataset.label_names == ("neg", "pos")
    assert "1 of 2 test examples have no label" in dataset.notes[0]


def test_column_that_is_not_there(tmp_path):
    message = "of the name 'text', got the features premise, sentence"
    with pytest.raises(InputError, match=re.escape(message)):
        read(tmp_path, name="tfds:tiny_pairs")
    read(tmp_path, name="tfds:tiny_pairs", text_column="sentence")


def test_no_such_set(tmp_path):
    with pytest.raises(InputError, match="tfds:no_such_set_here: no such set"):
        read_texts(
            "tfds:no_such_set_here",
            text_column="text",
            label_column="label",
            tfds_folder=str(tmp_path),
        )


def test_an_unreachable_host_is_told_at_once(monkeypatch):
    monkeypatch.setattr(tfds_sets, "REACH_SECONDS", 1.0)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/data.zip"
        started = time.monotonic()
        with pytest.raises(InputError, match=r"x, and 127\.0\.0\.1:\d+ cannot be"):
            check_reachable("tfds:x", [url])
        assert time.monotonic() - started < 30
