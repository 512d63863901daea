"""Temperature scaling and decision thresholds, fitted on held-out examples.

    p = softmax(z / T) or σ(z / T),      T = argmin of the mean −log p of the truth

A temperature leaves every order of probabilities as it is, so that it changes no decision
by itself. With thresholds t, label k of several is given if p_k ≥ t_k; of two classes the
second is chosen if p_1 ≥ t_1, with t_0 = 1 − t_1.

Sources: Guo et al., On Calibration of Modern Neural Networks, 2017, section 4.2; Lipton,
Elkan and Naryanaswamy, Optimal Thresholding of Classifiers to Maximize F1 Measure, 2014.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, log_expit, softmax

from kerasdl.metrics.classification import log_loss

# Temperatures are looked for between this and its inverse.
LOWEST = 0.05
# What a threshold can make best, on the examples that it is fitted on.
CRITERIA = ("accuracy", "f1")


def scaled_probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Logits as the probabilities of K classes at a temperature.

    Args:
        logits: float (N, K); or (N, V, K), of V views of each example, whose
            probabilities are averaged; or (N, 1), the log-odds of the second of two
            classes.
        temperature: T, above 0.

    Returns:
        float64 (N, K).
    """
    logits = np.asarray(logits, np.float64) / temperature
    if logits.shape[-1] == 1:
        return np.concatenate([expit(-logits), expit(logits)], axis=-1)
    probabilities = softmax(logits, axis=-1)
    return probabilities.mean(axis=1) if logits.ndim == 3 else probabilities


def fit_temperature(
    logits: np.ndarray, labels: np.ndarray, cautious: bool = False
) -> float:
    """The temperature at which held-out labels are likeliest, between 0.05 and 20.

    Args:
        logits: As for `scaled_probabilities`; of several labels each float (N, K).
        labels: int (N,), the classes; of several labels each 0 or 1, (N, K).
        cautious: Of classes, whether the mean probability of the class predicted may be
            no more than (R + 1) / (N + 2), Laplace's estimate of being right after R of N
            right answers. Without it, a few examples that are all answered rightly make
            the model sure of everything.

    Raises:
        ValueError: There is no example.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    if not len(labels):
        raise ValueError("A temperature needs examples to be fitted on, got none.")

    def loss(log_temperature: float) -> float:
        temperature = math.exp(log_temperature)
        if labels.ndim == 2:
            signs = 2.0 * labels - 1.0
            return float(-log_expit(signs * logits / temperature).mean())
        return log_loss(labels, scaled_probabilities(logits, temperature))

    bounds = (math.log(LOWEST), -math.log(LOWEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded").x
    if cautious and labels.ndim == 1:
        right = scaled_probabilities(logits, math.exp(found)).argmax(axis=1) == labels
        most = (right.sum() + 1) / (len(labels) + 2)

        def excess(log_temperature: float) -> float:
            temperature = math.exp(log_temperature)
            return scaled_probabilities(logits, temperature).max(axis=1).mean() - most

        if excess(bounds[1]) >= 0:
            found = bounds[1]
        elif excess(found) > 0:
            found = brentq(excess, found, bounds[1])
    return math.exp(found)


def fit_threshold(scores: np.ndarray, positive: np.ndarray, criterion: str) -> float:
    """The threshold at which the decisions score ≥ threshold are best.

    Of equally good ones, and between two scores, it is the middle that is nearest ½.

    Args:
        scores: float (N,), probabilities of what is to be decided.
        positive: bool (N,), whether it was so.
        criterion: `accuracy`, or `f1` of what was so.

    Returns:
        A number above 0 and below 1.
    """
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    scores, positive = np.asarray(scores, np.float64)[order], np.asarray(positive)[order]
    hits = np.concatenate([[0], np.cumsum(positive)])  # if the first n are taken
    taken = np.arange(len(scores) + 1)
    if criterion == "f1":
        value = 2 * hits / np.maximum(taken + positive.sum(), 1)
    else:
        value = (2 * hits - taken + (len(scores) - positive.sum())) / len(scores)
    edges = np.concatenate([[1.0], scores, [0.0]])
    cuts = (edges[:-1] + edges[1:]) / 2  # cut n takes the first n
    possible = (edges[:-1] > edges[1:]) & (cuts > 0) & (cuts < 1)
    best = possible & (value >= value[possible].max() - 1e-12)
    return float(cuts[best][np.abs(cuts[best] - 0.5).argmin()])


def fit_thresholds(
    probabilities: np.ndarray, labels: np.ndarray, criterion: str
) -> list[float]:
    """A threshold for each label, or for each of two classes.

    Args:
        probabilities: float (N, K).
        labels: int (N,) of two classes; of several labels each 0 or 1, (N, K).
        criterion: One of `CRITERIA`; for several labels, of each by itself. `f1` of two
            classes is that of the second.

    Returns:
        K thresholds.

    Raises:
        ValueError: There are more than two classes, of which each example has one.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2:
        pairs = zip(probabilities.T, labels.T == 1, strict=True)
        return [fit_threshold(scores, truth, criterion) for scores, truth in pairs]
    if probabilities.shape[1] != 2:
        raise ValueError(
            "Thresholds are of two classes or of several labels, got "
            f"{probabilities.shape[1]} classes."
        )
    threshold = fit_threshold(probabilities[:, 1], labels == 1, criterion)
    return [1.0 - threshold, threshold]
