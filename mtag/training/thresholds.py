"""From which score a tag is believed: the lowest one that reaches a stated precision on unseen windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mtag.evaluate import PRESENT

PRECISION = 0.7  # share of rightly given tags that each threshold is chosen for
PRIOR_WINDOWS = 10.0  # weight of all tags' common precision against a tag's own windows
GRID = np.round(np.arange(0.10, 0.96, 0.01), 2)


def choose_thresholds(scores: NDArray[np.float32], labels: NDArray[np.float32], soft: bool) -> list[float | None]:
    """Choose one threshold a tag.

    A rare tag has few windows to be judged by, so its precision is shrunk towards what all tags together reach at the
    same score (a beta prior worth `PRIOR_WINDOWS` windows).

    Parameters
    ----------
    scores
        (n, 50) in [0, 1], of windows that nothing behind the scores was fitted on.
    labels
        (n, 50) of the same windows.
    soft
        Labels are a teacher's scores, present from `PRESENT` on, rather than yes or no.

    Returns
    -------
    50 thresholds; None for a tag whose precision no score reaches.
    """
    present = labels >= PRESENT if soft else labels > 0
    given = scores[None] >= GRID[:, None, None]  # (thresholds, windows, tags)
    n_given = given.sum(axis=1)
    n_right = (given & present).sum(axis=1)
    common = n_right.sum(axis=1, keepdims=True) / np.maximum(1, n_given.sum(axis=1, keepdims=True))
    precision = (n_right + PRIOR_WINDOWS * common) / (n_given + PRIOR_WINDOWS)
    reached = precision >= PRECISION
    return [float(GRID[np.argmax(column)]) if column.any() else None for column in reached.T]
