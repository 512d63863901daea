"""What is measured on the training pictures before training starts."""

from __future__ import annotations

import numpy as np


def mean_and_variance(features, feature_dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each dimension, float64 (F,) each.

    A dimension that never changes tells nothing and gets variance 1, so that it
    standardises to 0 on the training pictures and stays finite on others.

    Args:
        features: float (M, F), one row for each training picture.
        feature_dim: F.

    Raises:
        ValueError: The shape is not (M, F), or a value is not finite.
    """
    features = np.asarray(features, "float64")
    if features.ndim != 2 or features.shape[1] != feature_dim or not len(features):
        raise ValueError(
            "Received an invalid value for argument `features`, expected shape "
            f"(M, {feature_dim}) with M ≥ 1, got {features.shape}."
        )
    if not np.isfinite(features).all():
        row, column = np.argwhere(~np.isfinite(features))[0]
        raise ValueError(
            "Received an invalid value for argument `features`, expected finite "
            f"numbers, got {features[row, column]} at [{row}, {column}]."
        )
    mean, variance = features.mean(0), features.var(0)
    # A constant column's variance is rounding of its mean, not exactly 0.
    constant = variance <= (1e-6 * np.maximum(np.abs(mean), 1e-12)) ** 2
    return mean, np.where(constant, 1.0, variance)


def principal_components(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The directions in which rows differ most.

    Args:
        rows: float (M, C).
        count: P, at most C.

    Returns:
        The mean (C,), and P directions as columns (C, P), the one of the largest variance
        first, scaled so that all numbers of (rows − mean) @ directions together have
        standard deviation 1.
    """
    rows = np.asarray(rows, "float64")
    mean = rows.mean(0)
    covariance = rows.T @ rows / len(rows) - np.outer(mean, mean)
    # eigh sorts by the variance along each direction, the smallest first.
    variances, directions = np.linalg.eigh(covariance)
    kept = np.maximum(variances[: -count - 1 : -1], 0.0)
    scale = max(np.sqrt(kept.mean()), 1e-12)
    return mean, directions[:, : -count - 1 : -1] / scale
