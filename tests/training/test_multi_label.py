"""Texts with several labels, temperatures, thresholds: from the files to the exports."""

import json

import numpy as np
import pytest
import tensorflow as tf

import kerasdl
from kerasdl.data.decisions import Decision
from kerasdl.data.texts.readers import read_texts
from kerasdl.errors import InputError
from kerasdl.export.text import names_in_graph
from kerasdl.models.text.models import MODELS
from kerasdl.training.config import override, read_config
from kerasdl.training.job import prepare
from kerasdl.training.jobs import JOBS
from kerasdl.training.run import train

COLUMNS = {"text_column": "text", "label_column": "label", "multi_label": True}
SMALL = {
    "data.generated_train": 200,
    "data.generated_val": 60,
    "data.generated_test": 40,
    "model.name": "average",
    "model.width": 8,
    "learning_rate": 0.03,
    "epochs": 3,
    "report.samples": 1,
    "calibration.temperature": True,
}
SENTENCES = ["the food was bad but the staff was friendly .", "the room was fine ."]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of several labels each, and one of two classes."""
    root = tmp_path_factory.mktemp("runs")
    several = SMALL | {"data.multi_label": True, "calibration.thresholds": "f1"}
    two = SMALL | {"calibration.thresholds": "accuracy"}
    return {
        name: train("configs/text/default.py", root / name, **fields)
        for name, fields in (("several", several), ("two", two))
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.txt", "1|4 a b\n| nothing\n4 c\n"),
        ("train.txt", "__label__1 __label__4 a b\n| nothing\n__label__4\tc\n"),
        ("train.csv", "label,text\n1|4,a b\n,nothing\n4 | 4,c\n"),
    ],
)
def test_formats_of_several_labels(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    (tmp_path / "dev.txt").write_text("1 x\n")
    dataset = read_texts(str(tmp_path), **COLUMNS)
    assert dataset.label_names == ("1", "4")
    assert list(dataset.train.texts) == ["a b", "nothing", "c"]
    assert dataset.train.labels.tolist() == [[1, 1], [0, 0], [0, 1]]
    assert dataset.val.labels.tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1|4 a\nword b\n", r"line 2: .*begin with its labels, numbers with \| .*'word'"),
        ("| a\n| b\n", "expected a label of some text, got none"),
        ("1 a\n1 b\n", "expected two labels or more, got '1' alone"),
        ("1|2 a\n1|2\n", "line 2: expected a sentence"),
    ],
)
def test_bad_lines_of_several_labels(content, message, tmp_path):
    (tmp_path / "train.txt").write_text(content)
    with pytest.raises(InputError, match=message):
        read_texts(str(tmp_path), **COLUMNS)


def test_several_labels_of_one_are_not_read_by_mistake(tmp_path):
    (tmp_path / "train.txt").write_text("__label__1 __label__4 a b\n")
    with pytest.raises(InputError, match=r"several labels need --config\.data"):
        read_texts(str(tmp_path), text_column="text", label_column="label")


@pytest.mark.parametrize("classes", [2, 3])
def test_loss_and_probabilities_of_several_labels(classes):
    model = MODELS["bag_of_words"](9, classes, multi_label=True)
    logits = np.random.default_rng(0).normal(size=(5, classes)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 2, (5, classes))
    assert model(tf.ones((5, 2), tf.int32)).shape == logits.shape
    shares = 1 / (1 + np.exp(-logits.astype(float)))
    expected = -np.log(np.where(labels == 1, shares, 1 - shares)).mean()
    assert float(model.classification_loss(logits, labels)) == pytest.approx(expected)
    np.testing.assert_allclose(model.probabilities(logits), shares, rtol=1e-5)
    model.calibrate(2.0, Decision(True))
    halved = 1 / (1 + np.exp(-logits / 2))
    np.testing.assert_allclose(model.probabilities(logits), halved, rtol=1e-5)


@pytest.mark.parametrize("name", ["several", "two"])
def test_the_fitted_run_is_the_best_on_validation(name, runs):
    metrics, trained = runs[name].metrics, kerasdl.load(runs[name])
    assert metrics["temperature"] == trained.model.temperature != 1.0
    assert metrics["val/ece"] < metrics["val/ece_uncalibrated"]
    rows = (runs[name].workdir / "metrics.jsonl").read_text().splitlines()
    best = json.loads(rows[metrics["best_epoch"] - 1])
    figure = "val/f1_macro" if name == "several" else "val/accuracy"
    assert metrics[figure] >= best[figure]
    assert metrics["val/loss"] < best["val/loss"]
    thresholds = trained.model.decision.thresholds
    assert len(thresholds) == len(trained.labels)
    assert metrics.get("threshold") == (thresholds[1] if name == "two" else None)
    page = (runs[name].workdir / "report.html").read_text()
    assert ("By label (test split)" in page) == (name == "several")


def test_a_finished_run_started_again_is_the_same(runs):
    before = runs["two"]
    config = kerasdl.runs.read_run(before.workdir)["config"]
    again = train(read_config("configs/text/default.py"), before.workdir, **config)
    assert again.metrics["temperature"] == before.metrics["temperature"]
    assert again.metrics["val/loss"] == before.metrics["val/loss"]


@pytest.mark.parametrize(
    ("name", "export", "file"),
    [("several", "tflite", "m.tflite"), ("two", "saved_model", "1")],
)
def test_exports_decide_as_the_run_does(name, export, file, runs, tmp_path):
    expected = kerasdl.load(runs[name]).predict(SENTENCES)
    output = tmp_path if export == "saved_model" else tmp_path / file
    getattr(kerasdl.export, export)(runs[name].workdir, output)
    answers = kerasdl.load(tmp_path / file).predict(SENTENCES)
    for answer, wanted in zip(answers, expected, strict=True):
        assert answer["label"] == wanted["label"]
        assert answer["probabilities"] == pytest.approx(wanted["probabilities"])


@pytest.mark.parametrize(
    "decision",
    [Decision(), Decision(thresholds=(0.5, 0.25, 0.25)), Decision(True)]
    + [Decision(True, (0.2, 0.5, 0.9))],
)
def test_a_graph_names_labels_as_numpy_does(decision):
    shares = np.random.default_rng(0).random((20, 3)).astype(np.float32)
    shares[0] = 0.0  # no label at all
    names = names_in_graph("abc", decision, tf.constant(shares)).numpy()
    assert [name.decode() for name in names] == decision.names("abc", shares)


@pytest.mark.parametrize(
    ("fields", "files", "message"),
    [
        ({"data.generated_val": 0}, {}, "needs a validation split to be fitted on"),
        (
            {"calibration.thresholds": "f1"},
            {"train.txt": "0 a\n1 b\n2 c\n", "dev.txt": "0 a\n"},
            "thresholds must be none for more than two classes",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused_before(fields, files, message, tmp_path):
    for file, content in files.items():
        (tmp_path / file).write_text(content)
    fields = SMALL | fields | ({"data.root": str(tmp_path)} if files else {})
    config = override(read_config("configs/text/default.py"), fields)
    with pytest.raises(InputError, match=message):
        prepare(JOBS["text"].make(config))


@pytest.mark.parametrize(
    ("temperature", "thresholds", "message"),
    [
        (0.0, (), "`temperature`, expected a number above 0, got 0.0"),
        (1.0, (0.5,), r"`thresholds`, expected none or 2 numbers .* got \(0.5,\)"),
        (1.0, (0.5, 1.0), "`thresholds`, expected none or 2 numbers"),
    ],
)
def test_a_model_refuses_what_is_out_of_range(temperature, thresholds, message):
    with pytest.raises(ValueError, match=message):
        MODELS["bag_of_words"](9, temperature=temperature, thresholds=thresholds)
