"""Heads that are computed from features, not trained by steps: for few pictures a class.

Both are linear, logits = f W + b, and replace the weights of the head.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

# Inverse strengths of the regularisation that are tried: from almost none to strong.
STRENGTHS = np.geomspace(1e-4, 1e2, 7)
# Cross-validation of the strength uses at most so many folds.
FOLDS = 5

Head = tuple[np.ndarray, np.ndarray]


def logistic_head(features: np.ndarray, labels: np.ndarray, seed: int) -> Head:
    """Logistic regression, its L2 regularisation chosen by cross-validation.

    The features are standardised, by one mean and one deviation for all dimensions, for
    the regularisation to mean the same with every network; the head undoes it.

    Args:
        features: float32 (V, N, F), of V views of each picture; the views of a picture
            are held out together.
        labels: int (N,), each of the K classes at least once; of several labels each 0 or
            1, (N, K), which makes one regression for each label.
        seed: Of the folds.

    Returns:
        W float32 (F, K) and b float32 (K,).
    """
    views, count, width = features.shape
    mean, deviation = features.mean(), features.std() + 1e-12
    x = ((features - mean) / deviation).reshape(-1, width)
    labels, pictures = np.concatenate([labels] * views), np.tile(np.arange(count), views)
    if labels.ndim == 2:
        parts = [_regression(x, column, pictures, seed) for column in labels.T]
        kernel = np.concatenate([part[0] for part in parts], axis=1)
        bias = np.concatenate([part[1] for part in parts])
    else:
        kernel, bias = _regression(x, labels, pictures, seed)
        if kernel.shape[1] == 1:
            kernel, bias = kernel * [-0.5, 0.5], bias * [-0.5, 0.5]
    kernel = kernel / deviation
    return kernel.astype(np.float32), (bias - mean * kernel.sum(0)).astype(np.float32)


def _regression(
    x: np.ndarray, labels: np.ndarray, pictures: np.ndarray, seed: int
) -> Head:
    """W (F, K) and b (K,), or of two classes the log-odds of the second, (F, 1) and (1,).

    With a single picture of a class there is nothing to validate on: the strength is then
    the middle of `STRENGTHS`. A label that all pictures have, or none, is likelier by
    the logarithm of their number.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) == 1:
        sign = 2 * int(labels[0]) - 1
        return np.zeros((x.shape[1], 1)), np.array([sign * np.log(1 + len(labels))])
    model = LogisticRegression(C=np.median(STRENGTHS), max_iter=1000)
    views = len(pictures) // len(np.unique(pictures))
    folds = min(FOLDS, counts.min() // views)
    if folds >= 2:
        parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        search = GridSearchCV(model, {"C": STRENGTHS}, scoring="neg_log_loss", cv=parts)
        model = search.fit(x, labels, groups=pictures).best_estimator_
    else:
        model.fit(x, labels)
    return model.coef_.T, model.intercept_


def prototype_head(features: np.ndarray, labels: np.ndarray) -> Head:
    """Each class is the mean μ of its features; the nearest one answers.

        logit_k = -|f - μ_k|² / 2τ + |f|² / 2τ = (f · μ_k - |μ_k|² / 2) / τ

    τ is what makes the training pictures likeliest, each against prototypes without it.
    Source: Snell et al., Prototypical Networks, 2017, equation 8.

    Args:
        features: float32 (N, F).
        labels: int (N,), each of the K classes at least once.

    Returns:
        W float32 (F, K) and b float32 (K,).
    """
    shares = np.eye(labels.max() + 1)[labels]
    counts = shares.sum(axis=0)
    means = shares.T @ features / counts[:, None]  # (K, F)
    distances = ((features[:, None] - means) ** 2).sum(axis=-1)  # (N, K)
    own = np.arange(len(labels)), labels
    several = counts[labels] > 1
    # Without it a class's mean is further from a picture, by n / (n - 1).
    n = counts[labels]
    held = distances.copy()
    held[own] *= np.where(several, (n / np.maximum(n - 1, 1)) ** 2, 1)

    def loss(log_tau: float) -> float:
        scores = log_softmax(-held / (2 * np.exp(log_tau)), axis=1)
        return -scores[own][several].mean()

    middle = np.log(distances.mean() / 2 + 1e-12)
    tau = np.exp(middle)
    if several.any():
        found = minimize_scalar(loss, bounds=(middle - 8, middle + 8), method="bounded")
        tau = np.exp(found.x)
    kernel, bias = means.T / tau, -(means**2).sum(axis=1) / (2 * tau)
    return kernel.astype(np.float32), bias.astype(np.float32)
