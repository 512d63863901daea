"""Pretraining of a text classifier: that it learns, goes on, and refuses."""

import json

import keras
import numpy as np
import pytest

from kerasdl.configs.text import default
from kerasdl.errors import InputError
from kerasdl.training.text_corpus import TextCorpus
from kerasdl.training.text_objective import build_classifier
from kerasdl.training.text_pretraining import FOLDER, pretrain
from kerasdl.training.workdir import Workdir


def make_config(epochs=3, name="bilstm", **more):
    config = default.get_config()
    config.data.generated_train, config.data.generated_val = 300, 100
    config.data.generated_test = 5
    config.model.name, config.model.width, config.model.units = name, 8, 12
    config.pretraining.epochs = epochs
    config.pretraining.learning_rate = 5e-2
    config.update_from_flattened_dict(more)
    return config


def run(config, root):
    keras.utils.set_random_seed(config.seed)
    corpus = TextCorpus(config)
    model, _ = build_classifier(config, corpus.vocabulary, 2)
    workdir = Workdir(root, "text", config.to_dict()).create()
    pretraining = pretrain(model, corpus, config, workdir)
    workdir.close()
    return model, pretraining


def weights(model):
    parts = (model.word_vectors, model.forward_lstm, model.backward_lstm)
    return [np.array(v) for part in parts for v in part.trainable_variables]


def test_it_learns_and_tells(tmp_path):
    model, pretraining = run(make_config(), tmp_path)
    lines = (tmp_path / FOLDER / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    losses = [row["val/loss"] for row in rows]
    assert pretraining.seconds == pytest.approx(sum(row["seconds"] for row in rows))
    note = pretraining.note
    assert len(losses) == 3
    assert losses[-1] < losses[0] - 0.1
    assert "for 3 epochs to tell the next word" in note
    assert f"{min(losses):.3f} nats a validation word" in note
    again, told = run(make_config(), tmp_path)  # finished: the best epoch is loaded
    assert told == pretraining
    for a, b in zip(weights(again), weights(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_epochs_no_change(tmp_path):
    model, pretraining = run(make_config(epochs=0), tmp_path)
    assert pretraining == (0.0, "")
    assert not (tmp_path / FOLDER).exists()
    fresh, _ = run(make_config(epochs=0), tmp_path)
    for a, b in zip(weights(model), weights(fresh), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "more", [{"name": "lstm"}, {"name": "average"}, {"model.frozen": True}], ids=str
)
def test_of_another_model(more, tmp_path):
    with pytest.raises(InputError, match=r"pretraining.epochs must be 0 .*got 3 for"):
        run(make_config(**more), tmp_path)
