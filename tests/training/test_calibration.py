"""Temperatures and thresholds against what they must be."""

import numpy as np
import pytest

from kerasdl.metrics.classification import calibration
from kerasdl.training.calibration import (
    fit_temperature,
    fit_threshold,
    fit_thresholds,
    scaled_probabilities,
)

RANDOM = np.random.default_rng(0)


def drawn(logits):
    """Classes drawn from softmax(logits): calibrated at temperature 1."""
    shares = scaled_probabilities(logits)
    return (shares.cumsum(axis=1) < RANDOM.random((len(shares), 1))).sum(axis=1)


@pytest.mark.parametrize("classes", [1, 4])
def test_the_temperature_of_logits_that_are_too_large_is_found(classes):
    logits = RANDOM.normal(0, 2, (20_000, classes))
    labels = drawn(logits)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.05)
    before = scaled_probabilities(3 * logits)
    after = scaled_probabilities(3 * logits, fit_temperature(3 * logits, labels))
    assert calibration(labels, after).expected_error < 0.015
    assert calibration(labels, before).expected_error > 0.1
    np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))


def test_the_temperature_of_several_labels_each():
    logits = RANDOM.normal(0, 2, (5_000, 3))
    labels = (RANDOM.random((5_000, 3)) < 1 / (1 + np.exp(-logits))).astype(int)
    assert fit_temperature(logits / 2, labels) == pytest.approx(0.5, rel=0.05)
    assert calibration(labels, 1 / (1 + np.exp(-logits))).expected_error < 0.02


def test_views_are_averaged_as_probabilities():
    logits = RANDOM.normal(size=(5, 2, 3))
    one, two = (scaled_probabilities(logits[:, v], 2.0) for v in (0, 1))
    np.testing.assert_allclose(scaled_probabilities(logits, 2.0), (one + two) / 2)
    assert 0.05 <= fit_temperature(logits, np.array([0, 1, 2, 0, 1])) <= 20


@pytest.mark.parametrize("criterion", ["accuracy", "f1"])
def test_a_threshold_is_the_best_of_all(criterion):
    scores = np.random.default_rng(1).random(60).round(2)  # some alike
    truth = np.random.default_rng(2).random(60) < scores**3

    def value(threshold):
        given = scores >= threshold
        if criterion == "accuracy":
            return (given == truth).mean()
        return 2 * (given & truth).sum() / (given.sum() + truth.sum())

    found = fit_threshold(scores, truth, criterion)
    tried = np.linspace(0.0025, 0.9975, 399)
    assert value(found) == pytest.approx(max(map(value, tried)))
    assert value(found) > value(0.5)


@pytest.mark.parametrize("truth", [np.zeros(4, bool), np.ones(4, bool)])
def test_a_threshold_of_labels_that_are_all_alike_lies_inside(truth):
    scores = np.array([0.0, 1.0, 1.0, 0.3])
    for criterion in ("accuracy", "f1"):
        assert 0 < fit_threshold(scores, truth, criterion) < 1


def test_thresholds_of_two_classes_and_of_several_labels():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    low, high = fit_thresholds(probabilities, np.array([0, 1, 0, 1]), "accuracy")
    assert high == pytest.approx(0.35) and low == pytest.approx(0.65)
    labels = np.array([[1, 0], [1, 0], [1, 0], [0, 1]])
    assert fit_thresholds(probabilities, labels, "f1") == pytest.approx([0.4, 0.6])
    with pytest.raises(ValueError, match="two classes or of several labels, got 3"):
        fit_thresholds(np.ones((2, 3)) / 3, np.array([0, 2]), "f1")


def test_nothing_to_fit_on_is_refused():
    with pytest.raises(ValueError, match="examples to be fitted on, got none"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, int))


def test_caution_keeps_a_few_right_answers_from_certainty():
    logits = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0], [1.0, 0.0, 4.0]])
    labels = np.arange(3)
    assert fit_temperature(logits, labels) < 0.06  # at its bound
    temperature = fit_temperature(logits, labels, cautious=True)
    confidence = scaled_probabilities(logits, temperature).max(axis=1).mean()
    assert confidence == pytest.approx(4 / 5)
    wrong = np.array([1, 2, 0])
    assert fit_temperature(logits, wrong, cautious=True) == pytest.approx(20, rel=0.01)


def test_caution_changes_nothing_where_answers_are_not_too_sure():
    logits = np.array([[0.1, 0.0], [0.0, 0.1], [0.1, 0.0], [0.3, 0.0]])
    labels = np.array([0, 1, 0, 1])
    plain = fit_temperature(logits, labels)
    assert scaled_probabilities(logits, plain).max(axis=1).mean() < 4 / 6
    assert fit_temperature(logits, labels, cautious=True) == plain
