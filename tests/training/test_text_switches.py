"""Switches of the text job: few sentences, contradicted labels, sizes, explanations."""

import csv

import numpy as np
import pytest

import kerasdl
from kerasdl.errors import InputError
from kerasdl.models.text.attribution import word_effects
from kerasdl.training.config import override, read_config
from kerasdl.training.run import train
from kerasdl.training.text_corpus import TextCorpus, few_of_each
from kerasdl.training.text_search import TextSearch, trial_fields
from kerasdl.training.workdir import Workdir

SMALL = {
    "data.generated_train": 300,
    "data.generated_val": 80,
    "data.generated_test": 0,
    "data.min_subword": 3,
    "data.max_subword": 3,
    "data.subword_buckets": 300,
    "model.name": "average",
    "model.width": 4,
    "learning_rate": 0.03,
    "epochs": 2,
    "report.samples": 2,
    "noise_seeds": 1,
    "max_megabytes": 0.0057,
}
TEXTS = ["the foood was good .", "not good not good"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train("configs/text/default.py", tmp_path_factory.mktemp("w") / "r", **SMALL)


def test_a_model_within_its_size_answers_with_subwords(run):
    trained = kerasdl.load(run)
    assert trained.model.word_vectors.parts in (1, 2)
    assert "val/accuracy_unquantised" in run.metrics
    held = trained.model.word_vectors.codes.shape[0]
    assert held == len(trained.vocabulary) + 300


def test_contradicted_sentences_are_listed(run):
    with (run.workdir / "label_noise.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == run.metrics["val/contradicted"] > 0
    config = override(read_config("configs/text/default.py"), SMALL)
    val = TextCorpus(config).splits["val"]
    one = kerasdl.load(run)
    for row in rows[:5]:
        index = int(row["sentence"]) - 1
        assert row["text"] == val.texts[index]
        assert row["label"] == one.labels[val.labels[index]] != row["told"]
    assert "Labels that may be wrong" in (run.workdir / "report.html").read_text()
    assert (run.workdir / "seeds" / "1" / "metrics.jsonl").is_file()


def test_exports_explain_as_the_model_does(run, tmp_path):
    import tensorflow as tf

    from kerasdl.export.litert import DeviceModel

    explain = {"signatures": ("infer", "explain")}
    kerasdl.export.saved_model(run.workdir, tmp_path, **explain)
    kerasdl.export.tflite(run.workdir, tmp_path / "m.tflite", **explain)
    trained = kerasdl.load(run)
    rows = trained._encode(TEXTS)
    chosen = trained.probabilities(TEXTS).argmax(axis=1)
    effects = word_effects(trained.model, rows.padded(), chosen)
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["explain"]
    told = served(text=tf.constant(TEXTS))
    device = DeviceModel(tmp_path / "m.tflite")
    for place, text in enumerate(TEXTS):
        words = text.split()
        assert [t.decode() for t in told["tokens"][place].numpy()][: len(words)] == words
        expected = rows.by_token(place, effects[place])
        np.testing.assert_allclose(
            told["effects"][place, : len(words)], expected, rtol=1e-4, atol=1e-6
        )
        ids = rows.padded(slice(place, place + 1))
        found = device.signatures["explain"](ids=ids)["effects"][0]
        np.testing.assert_allclose(
            found, effects[place, : ids.shape[1]], rtol=1e-4, atol=1e-6
        )


def test_so_many_sentences_of_each_class():
    labels = np.array([0, 1, 0, 1, 0, 1, 1])
    chosen = few_of_each(labels, 2, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [2, 2]
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert chosen.tolist() == few_of_each(labels, 2, seed=0).tolist()
    with pytest.raises(InputError, match=r"shots must be at most .* got 4 for one of 3"):
        few_of_each(labels, 4, seed=0)
    with pytest.raises(InputError, match=r"shots must be 0 for several labels"):
        few_of_each(np.zeros((3, 2)), 1, seed=0)


def test_the_other_sentences_are_kept_without_labels():
    fields = SMALL | {"data.shots": 8}
    corpus = TextCorpus(override(read_config("configs/text/default.py"), fields))
    few, all_of_them = corpus.splits["train"], corpus.unlabelled
    assert len(few) == 16 and len(all_of_them) == 300
    assert np.bincount(few.labels).tolist() == [8, 8]
    place = list(all_of_them.texts).index(few.texts[3])
    for owned in ("values", "owners"):
        a, b = (getattr(s.rows, owned) for s in (few, all_of_them))
        start, end = few.rows.offsets[3:5]
        first = all_of_them.rows.offsets[place]
        np.testing.assert_array_equal(a[start:end], b[first : first + end - start])


def test_a_search_keeps_its_best_trial_and_goes_on(tmp_path):
    fields = SMALL | {"noise_seeds": 0, "max_megabytes": 0.0, "report.samples": 0}
    fields |= {"autotune_minutes": 1e-6, "epochs": 1}
    path, folder = "configs/text/default.py", tmp_path / "w"
    first = train(path, folder, **fields).metrics
    assert first["best_model"] == "trial_0" and not (folder / "trial_1").exists()
    # As if it had been stopped in the second trial.
    config = override(read_config(path), fields)
    job = TextSearch(config)._trial(config, 1)
    Workdir(folder / "trial_1", "text", job.config.to_dict()).create().close()
    metrics = train(path, folder, **fields).metrics
    scores = [metrics[f"trial_{k}/val/accuracy"] for k in (0, 1)]
    assert metrics["best_model"] == f"trial_{int(np.argmax(scores))}"
    assert metrics["trial_0/val/loss"] == first["trial_0/val/loss"]
    assert kerasdl.load(folder).predict(TEXTS[0])["label"] in ("negative", "positive")


def test_trials_are_drawn_by_seed_and_number():
    config = read_config("configs/text/default.py")
    assert trial_fields(config, 0) == {}
    assert trial_fields(config, 3) == trial_fields(config, 3) != trial_fields(config, 4)
    other = override(config, {"seed": 1})
    assert trial_fields(other, 3) != trial_fields(config, 3)
