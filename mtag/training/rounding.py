"""Weights to whole numbers of seven bits, so that a layer's responses change as little as may be."""

from __future__ import annotations

import numpy as np

from mtag.training.chain import Float64

WEIGHT_LIMIT = 64  # of the whole numbers, either sign: see `mtag.training.integer`
SHARES = np.linspace(0.7, 1.0, 16)  # of the largest weight that are tried as the limit
DAMPING = 1e-2  # of the inputs' mean variance: keeps errors from being made up for by chance correlations


def best_steps(weight: Float64) -> Float64:
    """The step of each output channel whose multiples are nearest to its weights: (out, ...) to (out,)."""
    rows = weight.reshape(len(weight), -1)
    largest = np.maximum(np.abs(rows).max(axis=1), 1e-12)
    trials = largest[:, None] * SHARES / WEIGHT_LIMIT
    errors = [np.square(whole_steps(rows, steps) * steps[:, None] - rows).sum(axis=1) for steps in trials.T]
    steps: Float64 = trials[np.arange(len(rows)), np.argmin(errors, axis=0)]
    return steps


def whole_steps(weight: Float64, steps: Float64) -> Float64:
    """How many steps each weight is, (out, ...), whole numbers up to `WEIGHT_LIMIT`."""
    rows = weight.reshape(len(weight), -1) / steps[:, None]
    whole: Float64 = np.clip(np.rint(rows), -WEIGHT_LIMIT, WEIGHT_LIMIT).reshape(weight.shape)
    return whole


def round_together(weight: Float64, steps: Float64, covariance: Float64) -> Float64:
    """Round the weights one after another, each making up for the errors of those before (Frantar et al. 2022, GPTQ).

    Parameters
    ----------
    weight
        (out, in, height, width).
    steps
        (out,) of `best_steps`.
    covariance
        (d, d) of what the kernel covers, d = in * height * width: which errors of weights cancel in the responses.

    Returns
    -------
    Multiples of the steps, shaped as the weights.
    """
    rows = weight.reshape(len(weight), -1).copy()
    damped = covariance + (DAMPING * np.trace(covariance) / len(covariance) + 1e-12) * np.eye(len(covariance))
    order = np.argsort(-np.diag(damped), kind="stable")
    rows = rows[:, order]
    # Row i of this factor says how an error in weight i is to be spread over those after it.
    spread = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
    for i in range(len(order)):
        wanted = rows[:, i].copy()
        rows[:, i] = whole_steps(wanted[:, None], steps)[:, 0] * steps
        error = (wanted - rows[:, i]) / spread[i, i]
        rows[:, i + 1 :] -= error[:, None] * spread[i, i + 1 :]
    rounded = np.empty_like(rows)
    rounded[:, order] = rows
    return rounded.reshape(weight.shape)
