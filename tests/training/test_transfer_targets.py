"""Several labels a picture, and classes in an order, from a table to the exports."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import kerasdl
from kerasdl.configs.transfer import default
from kerasdl.data.drawn.shapes import drawn_shapes
from kerasdl.data.pictures.class_folders import in_order
from kerasdl.data.pictures.label_tables import read_label_table
from kerasdl.errors import InputError
from kerasdl.metrics.classification import ordinal_scores
from kerasdl.training import transfer_few, transfer_losses
from kerasdl.training.jobs import JOBS


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Pictures of shapes: the shape is a label, and so is standing at an even place."""
    root = tmp_path_factory.mktemp("labelled")
    lines = ["image,labels,split"]
    for split in ("train", "val"):
        dataset = drawn_shapes(3, train=24, val=12, test=0, side=48)
        for number, picture in enumerate(getattr(dataset, split)):
            name = f"{split}{number}.png"
            (root / name).write_bytes(picture.data)
            labels = ["round"] * (picture.label == 0) + ["even"] * (
                picture.label % 2 == 0
            )
            lines.append(f"{name},{'|'.join(labels)},{split}")
    (root / "labels.csv").write_text("\n".join(lines))
    return root


def test_a_table_gives_several_labels_each(table):
    dataset = read_label_table(table / "labels.csv", multi_label=True)
    assert dataset.class_names == ("even", "round")
    assert (len(dataset.train), len(dataset.val)) == (24, 12)
    assert {picture.label for picture in dataset.train} == {(0, 0), (1, 0), (1, 1)}
    with pytest.raises(InputError, match=r"line \d+: expected one label .*multi_label"):
        read_label_table(table / "labels.csv")


@pytest.mark.parametrize(
    "text, message",
    [
        ("image,x\na.png,1", "line 1: expected the header image,labels"),
        (
            "image,label\n../a.png,1",
            r"line 2: .*inside the table's folder, got '../a.png'",
        ),
        ("image,label\nb.png,1", "line 2: there is no picture 'b.png'"),
        ("image,label\na.png,1\na.png,2", "line 3: expected each picture once"),
        ("image,label,split\na.png,1,x", "line 2: expected a split of .*, got 'x'"),
        ("image,label\na.png,1", "expected at least two classes"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, message):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_label_table(tmp_path / "labels.csv")


def test_classes_in_another_order():
    dataset = drawn_shapes(0, train=8, val=2, test=0, side=32)
    names = dataset.class_names[::-1]
    other = in_order(dataset, names)
    for one, two in zip(dataset.train, other.train, strict=True):
        assert dataset.class_names[one.label] == names[two.label]
    with pytest.raises(InputError, match=r"data\.labels must name the classes"):
        in_order(dataset, names[:-1])


def test_losses_against_numpy():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 4)).astype(np.float32)
    ones = np.ones(4, np.float32)
    several = rng.integers(0, 2, (5, 4))
    p = 1 / (1 + np.exp(-logits))
    targets = several * 0.8 + 0.1
    expected = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean()
    got = transfer_losses.classification_loss(
        tf.constant(logits), several, ones, 0.2, "multi_label"
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    labels = np.array([0, 3, 1, 2, 2])
    shares = np.exp(-2.0 * np.abs(np.arange(4) - labels[:, None]))
    shares /= shares.sum(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    got = transfer_losses.classification_loss(
        tf.constant(logits), labels, ones, 0.0, "ordinal"
    )
    np.testing.assert_allclose(got, -(shares * log_p).sum(axis=1).mean(), rtol=1e-5)


def test_ordinal_scores_against_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    labels, predictions = rng.integers(0, 4, 40), rng.integers(0, 4, 40)
    scores = ordinal_scores(labels, predictions, 4)
    kappa = metrics.cohen_kappa_score(labels, predictions, weights="quadratic")
    np.testing.assert_allclose(scores["kappa"], kappa)
    error = metrics.mean_absolute_error(labels, predictions)
    np.testing.assert_allclose(scores["mae"], error)
    assert ordinal_scores(labels, labels, 4) == {"mae": 0.0, "kappa": 1.0}


def test_a_regression_for_each_label():
    rng = np.random.default_rng(0)
    labels = np.array(list(itertools.product((0, 1), repeat=3)) * 3)
    labels[:, 2] = 1  # one that all pictures have
    features = rng.normal(size=(24, 6)).astype(np.float32) + 4 * labels @ np.eye(3, 6)
    kernel, bias = transfer_few.logistic_head(
        features[None].astype(np.float32), labels, 0
    )
    assert kernel.shape == (6, 3)
    assert (((features @ kernel + bias) > 0) == labels).mean() > 0.95
    np.testing.assert_allclose(1 / (1 + np.exp(-bias[2])), 25 / 26, rtol=1e-5)


def test_several_labels_from_a_table_to_an_export(table, tmp_path):
    run = kerasdl.train(
        "configs/transfer/default.py",
        tmp_path / "w",
        data={"root": table, "cache": tmp_path / "cache"},
        target="multi_label",
        epochs=6,
        calibration="val",
        **{"model.image_size": 32},
    )
    metrics = run.metrics
    assert {"val/f1_micro", "val/f1_macro", "temperature"} <= metrics.keys()
    trained = kerasdl.load(run)
    paths = sorted(table.glob("val*.png"))
    answers = trained.predict(paths)
    for answer in answers:
        given = [n for n, p in answer["probabilities"].items() if p >= 0.5]
        assert answer["label"] == "|".join(given)
    page = (tmp_path / "w" / "report.html").read_text()
    assert "By label (val split)" in page
    kerasdl.export.tflite(tmp_path / "w", tmp_path / "m.tflite")
    exported = kerasdl.load(tmp_path / "m.tflite").predict(paths)
    for one, other in zip(answers, exported, strict=True):
        for name, probability in one["probabilities"].items():
            assert abs(probability - other["probabilities"][name]) < 1e-3
    assert [e["label"] for e in exported] == [a["label"] for a in answers]


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"mode": "prototype"}, "mode must be another, of several labels"),
        ({"class_weights": "balanced"}, "class_weights must be none if target is"),
    ],
)
def test_what_does_not_go_with_several_labels(fields, message):
    config = default.get_config()
    config.update_from_flattened_dict({"target": "multi_label", **fields})
    with pytest.raises(InputError, match=message):
        JOBS["transfer"].check(config)
