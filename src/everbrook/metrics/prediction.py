"""How good predicted values and classes were: MSE, RMSE, accuracy, AUC."""

from __future__ import annotations

import numpy as np

from everbrook.types import F64, Bool


def mse(predicted: F64, actual: F64) -> float:
    """Mean squared error; NaN without events."""
    return float(np.mean((predicted - actual) ** 2)) if len(actual) else float("nan")


def rmse(predicted: F64, actual: F64) -> float:
    """Root of the mean squared error, in the unit of the values."""
    return float(np.sqrt(mse(predicted, actual)))


def accuracy(predicted: F64, actual: Bool, threshold: float = 0.5) -> float:
    """Share of events whose predicted probability lies on the side of what happened; NaN without events."""
    return float(np.mean((predicted >= threshold) == actual)) if len(actual) else float("nan")


def auc(predicted: F64, actual: Bool) -> float:
    """Chance that a positive scores above a negative, equal scores counting half; NaN where one class is missing.

    Source: Hanley, McNeil, 'The meaning and use of the area under a ROC curve', Radiology 1982 (rank-sum form).
    """
    positives = int(actual.sum())
    negatives = len(actual) - positives
    if not positives or not negatives:
        return float("nan")
    _, place, counts = np.unique(predicted, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle = last - (counts - 1) / 2.0  # mean 1-based rank of each run of equal scores
    rank_sum = float(middle[place][actual].sum())
    return (rank_sum - positives * (positives + 1) / 2.0) / (positives * negatives)
