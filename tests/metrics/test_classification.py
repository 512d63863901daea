import numpy as np
import pytest

from kerasdl.metrics.classification import (
    calibration,
    class_scores,
    classification_scores,
    confusion_matrix,
    label_confusions,
    log_loss,
    multi_label_scores,
)

LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTIONS = np.array([0, 0, 1, 1, 0, 1])


def test_confusion_matrix():
    assert confusion_matrix(LABELS, PREDICTIONS, 4).tolist() == [
        [2, 1, 0, 0],
        [1, 1, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 0, 0],
    ]


def test_class_scores_by_hand():
    scores = class_scores(confusion_matrix(LABELS, PREDICTIONS, 4))
    np.testing.assert_allclose(scores.precision, [2 / 3, 1 / 3, 0, 0])
    np.testing.assert_allclose(scores.recall, [2 / 3, 1 / 2, 0, 0])
    np.testing.assert_allclose(scores.f1, [2 / 3, 2 / 5, 0, 0])
    assert scores.support.tolist() == [3, 2, 1, 0]


def test_scores_agree_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not there")
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(5), 400)
    labels = random.integers(0, 5, 400)
    predictions = probabilities.argmax(axis=1)
    ours = class_scores(confusion_matrix(labels, predictions, 5))
    theirs = metrics.precision_recall_fscore_support(labels, predictions)
    for mine, expected in zip(
        (ours.precision, ours.recall, ours.f1, ours.support), theirs, strict=True
    ):
        np.testing.assert_allclose(mine, expected)
    assert log_loss(labels, probabilities) == pytest.approx(
        metrics.log_loss(labels, probabilities)
    )


def test_calibration_bins_by_hand():
    probabilities = np.array([[0.55, 0.45], [0.4, 0.6], [0.9, 0.1], [0.0, 1.0]])
    figures = calibration(np.array([0, 0, 0, 1]), probabilities, bins=5)
    np.testing.assert_allclose(figures.edges, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert figures.count.tolist() == [1, 1, 0, 0, 2]
    np.testing.assert_allclose(figures.confidence, [0.55, 0.6, np.nan, np.nan, 0.95])
    np.testing.assert_allclose(figures.accuracy, [1, 0, np.nan, np.nan, 1])
    assert figures.expected_error == pytest.approx((0.45 + 0.6 + 0.05 * 2) / 4)


def test_a_calibrated_model_has_no_calibration_error():
    random = np.random.default_rng(0)
    chances = random.uniform(0, 1, 200_000)
    labels = (random.uniform(0, 1, 200_000) < chances).astype(int)
    figures = calibration(labels, np.stack([1 - chances, chances], axis=1))
    assert figures.expected_error < 0.005
    sure = np.stack([chances < 0.5, chances >= 0.5], axis=1).astype(float)
    assert calibration(labels, sure).expected_error == pytest.approx(0.25, abs=0.01)


def test_scores_of_a_perfect_and_of_an_uncertain_model():
    labels = np.array([0, 1, 1])
    perfect = classification_scores(labels, np.eye(2)[labels])
    assert perfect == {"accuracy": 1.0, "f1_macro": 1.0, "loss": 0.0, "ece": 0.0}
    uncertain = classification_scores(labels, np.full((3, 2), 0.5))
    assert uncertain["loss"] == pytest.approx(np.log(2))
    assert uncertain["accuracy"] == pytest.approx(1 / 3)


def test_a_probability_of_zero_is_a_large_but_finite_loss():
    assert 20 < log_loss(np.array([1]), np.array([[1.0, 0.0]])) < 40


def test_scores_of_multi_label_are_scikit_learns():
    from sklearn import metrics

    random = np.random.default_rng(0)
    probabilities = random.random((40, 3))
    labels = (random.random((40, 3)) < probabilities).astype(int)
    given = probabilities >= [0.3, 0.5, 0.6]
    scores = multi_label_scores(labels, probabilities, given)
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(labels, given))
    for kind in ("micro", "macro"):
        expected = metrics.f1_score(labels, given, average=kind)
        assert scores[f"f1_{kind}"] == pytest.approx(expected)
    loss = metrics.log_loss(labels.ravel(), probabilities.ravel())
    assert scores["loss"] == pytest.approx(loss)
    np.testing.assert_array_equal(
        label_confusions(labels, given),
        metrics.multilabel_confusion_matrix(labels, given),
    )
