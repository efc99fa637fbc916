"""How well scores rank windows: ROC-AUC, PR-AUC and correlation, per tag and averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Truth = NDArray[np.bool_]


def validate(truth: Truth, scores: Scores) -> None:
    """Raise ValueError unless both are (n_windows, n_tags) and the scores are finite."""
    if truth.ndim != 2 or truth.shape != scores.shape:
        raise ValueError(f"truth {truth.shape} and scores {scores.shape} must have the same two dimensions")
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinity")


def roc_auc(truth: Truth, scores: Scores) -> NDArray[np.float64]:
    """Area under the receiver operating characteristic of each tag.

    Parameters
    ----------
    truth
        (n, n_tags) bool.
    scores
        (n, n_tags) float; ties count half.

    Returns
    -------
    (n_tags,) float64 in [0, 1]; NaN for a tag that all or no windows carry.
    """
    from scipy.stats import rankdata

    validate(truth, scores)
    n_positive = truth.sum(axis=0)
    n_negative = len(truth) - n_positive
    rank_sum = np.where(truth, rankdata(scores, axis=0), 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        area: NDArray[np.float64] = (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)
    return area


def pr_auc(truth: Truth, scores: Scores) -> NDArray[np.float64]:
    """Average precision of each tag, the step-wise area under precision over recall; shapes as in `roc_auc`."""
    validate(truth, scores)
    return np.array([_average_precision(truth[:, tag], scores[:, tag]) for tag in range(truth.shape[1])])


def _average_precision(truth: Truth, scores: Scores) -> float:
    if not truth.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    # Windows of equal score enter together: only the last of them is an operating point.
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits = np.cumsum(truth[order])[last]
    precision = hits / (last + 1)
    return float(np.sum(precision * np.diff(hits, prepend=0)) / truth.sum())


def precision_recall(truth: Truth, given: Truth) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision and recall of tags that were given or not.

    Parameters
    ----------
    truth, given
        (n, n_tags) bool.

    Returns
    -------
    (n_tags,) float64 each, in [0, 1]; precision is NaN for a tag that was never given, recall for one that no window
    carries.
    """
    validate(truth, given.astype(np.float64))
    n_right = (truth & given).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return n_right / given.sum(axis=0), n_right / truth.sum(axis=0)


def correlation(labels: Scores, scores: Scores) -> NDArray[np.float64]:
    """Pearson correlation of soft labels and scores, tag by tag: (n, n_tags) twice to (n_tags,) float64."""
    a = labels - labels.mean(axis=0)
    b = scores - scores.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r: NDArray[np.float64] = (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return r


def mean_of_known(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Mean of the figures that are there, NaN where none is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def top_decile(labels: Scores) -> Truth:
    """The tenth of the windows that soft labels rank highest, tag by tag: (n, n_tags) float to bool."""
    n_positive = max(1, round(len(labels) / 10))
    best = np.argsort(-labels, axis=0, kind="stable")[:n_positive]
    truth = np.zeros(labels.shape, bool)
    np.put_along_axis(truth, best, True, axis=0)
    return truth
