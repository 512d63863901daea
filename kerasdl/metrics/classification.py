"""Metrics of classifiers: confusion matrix, scores per class, calibration."""

from __future__ import annotations

import dataclasses

import numpy as np

CALIBRATION_BINS = 10
# The least probability that a log-loss counts: float32 rounds smaller ones to 0.
LEAST_PROBABILITY = 1e-12


def confusion_matrix(
    labels: np.ndarray, predictions: np.ndarray, classes: int
) -> np.ndarray:
    """How often each class (row) was taken for each (column).

    Args:
        labels: int (N,), the true classes.
        predictions: int (N,).
        classes: K.

    Returns:
        int64 (K, K).
    """
    cells = np.asarray(labels, np.int64) * classes + np.asarray(predictions, np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


@dataclasses.dataclass(frozen=True)
class ClassScores:
    """Figures of each class, float (K,) each; a ratio of nothing to nothing is 0.

    Attributes:
        precision: Of what was taken for the class, the share that was of it.
        recall: Of what was of the class, the share that was taken for it.
        f1: The harmonic mean of the two.
        support: How much was of the class, int.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def class_scores(confusion: np.ndarray) -> ClassScores:
    """The figures of each class from a confusion matrix (K, K)."""
    hits = np.diag(confusion).astype(float)
    support, taken = confusion.sum(axis=1), confusion.sum(axis=0)
    return ClassScores(
        precision=hits / np.maximum(taken, 1),
        recall=hits / np.maximum(support, 1),
        f1=2 * hits / np.maximum(support + taken, 1),
        support=support,
    )


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How often predictions of a like confidence are right; (B,) each.

    Attributes:
        edges: The bins' bounds, (B + 1,).
        confidence: Mean probability of the class predicted; NaN in an empty bin.
        accuracy: The share that was right; NaN in an empty bin.
        count: How many predictions.
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray

    @property
    def expected_error(self) -> float:
        """|accuracy - confidence|, averaged over predictions.

        Source: Guo et al., On Calibration of Modern Neural Networks, 2017, equation 3.
        """
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.nansum(gaps * self.count) / max(1, self.count.sum()))


def calibration(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS
) -> Calibration:
    """Bins of equal width from chance, 1 / K, to 1.

    Args:
        labels: int (N,), the classes; of several labels each 0 or 1, (N, K), and then
            each label of each example is a prediction between two classes.
        probabilities: float (N, K).
        bins: B.
    """
    if np.ndim(labels) == 2:  # each label's pair of shares, for and against
        shares = np.asarray(probabilities).ravel()
        labels = np.ravel(labels)
        probabilities = np.stack([1.0 - shares, shares], axis=1)
    chance = 1.0 / probabilities.shape[1]
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(chance, 1.0, bins + 1)
    bin_of = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Calibration(
            edges,
            np.bincount(bin_of, confidence, minlength=bins) / count,
            np.bincount(bin_of, right, minlength=bins) / count,
            count,
        )


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of -log probability of the true class, in nats."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(float)
    return float(-np.log(np.maximum(chosen, LEAST_PROBABILITY)).mean())


def classification_scores(
    labels: np.ndarray, probabilities: np.ndarray, predictions: np.ndarray | None = None
) -> dict[str, float]:
    """`accuracy`, `f1_macro`, `loss` (nats) and `ece` (expected calibration error).

    Args:
        labels: int (N,), N at least 1.
        probabilities: float (N, K).
        predictions: int (N,), the classes chosen; None for the most probable ones.
    """
    if predictions is None:
        predictions = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predictions, probabilities.shape[1])
    return {
        "accuracy": float((predictions == labels).mean()),
        "f1_macro": float(class_scores(confusion).f1.mean()),
        "loss": log_loss(labels, probabilities),
        "ece": calibration(labels, probabilities).expected_error,
    }


def label_confusions(labels: np.ndarray, given: np.ndarray) -> np.ndarray:
    """How often each of several labels stood, or not, and was given, or not.

    Args:
        labels: 0 or 1, (N, K), the true ones.
        given: bool (N, K), those that were given.

    Returns:
        int64 (K, 2, 2), the truth of each label in rows, no before yes.
    """
    true, given = np.asarray(labels) == 1, np.asarray(given, bool)
    cells = [[(~true & ~given), (~true & given)], [(true & ~given), (true & given)]]
    return np.array([[cell.sum(axis=0) for cell in row] for row in cells]).transpose(
        2, 0, 1
    )


def multi_label_scores(
    labels: np.ndarray, probabilities: np.ndarray, given: np.ndarray
) -> dict[str, float]:
    """`accuracy` (all labels right), `f1_micro`, `f1_macro`, `loss` and `ece`.

    The loss is the binary cross-entropy of a label in nats, the calibration error that of
    all decisions on labels. A label that never stands and is never given has F1 0.

    Args:
        labels: 0 or 1, (N, K), N at least 1.
        probabilities: float (N, K).
        given: bool (N, K), the labels that were given.
    """
    confusions = label_confusions(labels, given)
    hits, missed, wrong = (confusions[:, a, b] for a, b in ((1, 1), (1, 0), (0, 1)))
    errors = missed + wrong
    true = np.where(np.asarray(labels) == 1, probabilities, 1.0 - probabilities)
    losses = -np.log(np.maximum(true.astype(float), LEAST_PROBABILITY))
    return {
        "accuracy": float((given == (labels == 1)).all(axis=1).mean()),
        "f1_micro": float(2 * hits.sum() / max(2 * hits.sum() + errors.sum(), 1)),
        "f1_macro": float((2 * hits / np.maximum(2 * hits + errors, 1)).mean()),
        "loss": float(losses.mean()),
        "ece": calibration(labels, probabilities).expected_error,
    }


def ordinal_scores(
    labels: np.ndarray, predictions: np.ndarray, classes: int
) -> dict[str, float]:
    """`mae` and `kappa` of classes that have an order.

    The first is the mean distance, in classes, of the prediction from the truth. The
    second is the quadratically weighted kappa (Cohen 1968): 1 less the sum of squared
    distances over that of predictions independent of the truth; 1 if all are right.

    Args:
        labels: int (N,), N at least 1.
        predictions: int (N,).
        classes: K.
    """
    confusion = confusion_matrix(labels, predictions, classes)
    number = np.arange(classes)
    squared = (number[:, None] - number) ** 2
    by_chance = np.outer(confusion.sum(axis=1), confusion.sum(axis=0)) / len(labels)
    expected = (squared * by_chance).sum()
    ratio = (squared * confusion).sum() / expected if expected else 0.0
    return {
        "mae": float(np.abs(np.subtract(labels, predictions)).mean()),
        "kappa": float(1 - ratio),
    }
