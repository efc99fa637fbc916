"""Fit the combiners on members' scores for tracks that no member has seen.

A few hundred windows would only be learnt by heart by a network of two hundred thousand weights. So it is built to
begin as a regression that weighs each tag's logits of the members against each other, which Table 4's shape can hold
but for a few straight lines in place of the logit's curve, and learns from there only if cross-validation finds that
useful, and for as many epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mtag.bundle import COMBINATIONS
from mtag.errors import CorpusError
from mtag.metrics import correlation
from mtag.training.networks import Combiner

Float32 = NDArray[np.float32]

N_FOLDS = 5
BATCH_SIZE = 64
# Where the straight lines meet that stand for the logit's curve. The second layer has room for nine bends a tag; Model
# 3, which weighs least, needs but one.
FINE = (0.0, 0.02, 0.07, 0.2, 0.5, 1.0)
KNOTS = {2: (FINE, FINE), 3: (FINE, FINE, (0.0, 0.05, 1.0))}
LEAST_SCORE, GREATEST_SCORE = 0.003, 0.9  # what the lines make of scores of 0 and 1
SHRINKAGE = (1e-3, 1e-2, 0.1, 1.0, 10.0)  # pull of all tags' common regression on each tag's own
SCALE = 4.0  # the first two layers are so much larger and the last smaller, or its steps would be too coarse
EPOCHS = 40  # at most
GAIN = 0.002  # of cross-validated correlation that learning must bring, or the regression stays: less is chance
RATE = 1e-4
WEIGHT_DECAY = 1e-3


@dataclass(frozen=True)
class Combined:
    """A fitted combiner with an honest account of it."""

    network: Combiner  # in eval mode
    weights: tuple[float, ...]  # of the members' logits in the regression that it began as, means over the tags
    shrinkage: float  # what cross-validation chose
    unseen_scores: Float32  # (n, 50): each fold's scores by a combiner fitted on the other folds
    epochs: int  # what cross-validation chose
    agreements: tuple[float, ...]  # cross-validated mean correlation with the labels after 0, 1, 2 ... epochs


def fit_combiner(
    combination: str,
    heldout: Mapping[str, Float32],
    labels: Float32,
    folds: NDArray[np.int64],
    seed: int,
) -> Combined:
    """Fit one combination's network.

    Parameters
    ----------
    combination
        "1+2" and so on.
    heldout
        Member -> (n, 50) scores of windows of tracks that no member was trained on.
    labels
        (n, 50) of the same windows.
    folds
        (n,) fold number of each held-out window; a track's windows share one.
    seed
        Makes the result repeatable.

    Raises
    ------
    CorpusError
        All windows are of one fold, so that none could be judged by a combiner that was fitted on others.
    """
    members = COMBINATIONS[combination]
    torch.manual_seed(seed)
    inputs = torch.from_numpy(np.concatenate([heldout[member] for member in members], axis=1))
    targets = torch.from_numpy(labels)
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise CorpusError("the validation side holds a single track: combiners need at least two")
    outside = [torch.from_numpy(folds != fold) for fold in numbers]
    shrinkage = _choose_shrinkage(inputs, targets, outside)
    outcomes = [_fit(inputs, targets, known, shrinkage, EPOCHS) for known in outside]
    unseen = np.empty((1 + EPOCHS, *labels.shape), np.float32)
    for known, outcome in zip(outside, outcomes, strict=True):
        unseen[:, ~known.numpy()] = outcome.scores
    agreements = [_agreement(labels, scores) for scores in unseen]
    best = int(np.argmax(agreements))
    epochs = best if agreements[best] > agreements[0] + GAIN else 0
    everything = torch.ones(len(labels), dtype=torch.bool)
    final = _fit(inputs, targets, everything, shrinkage, epochs)
    return Combined(final.network, final.weights, shrinkage, unseen[epochs], epochs, tuple(agreements))


def assign_folds(tracks: list[str], seed: int) -> NDArray[np.int64]:
    """Fold number of each window; windows of one track share a fold."""
    names, track_of_row = np.unique(tracks, return_inverse=True)
    return np.random.default_rng(seed).permutation(len(names))[track_of_row] % N_FOLDS


def bent(scores: Tensor) -> Tensor:
    """The logit of scores, (n, members, 50), as the combiner's straight lines have it, in the same shape."""
    return torch.stack([curve(s) for s, curve in zip(scores.unbind(1), _curves(scores.shape[1]), strict=True)], 1)


@dataclass(frozen=True)
class _Curve:
    """Straight lines, one behind another."""

    height: Tensor  # where the first begins, at a score of nought
    knots: Tensor  # scores at which each begins
    bends: Tensor  # by how much the slope changes there

    def __call__(self, scores: Tensor) -> Tensor:
        values: Tensor = self.height + (torch.relu(scores[..., None] - self.knots) * self.bends).sum(-1)
        return values


def _curves(n_members: int) -> list[_Curve]:
    """What stands for the logit of each member's scores."""
    curves = []
    for member in KNOTS[n_members]:
        knots = torch.tensor(member)
        heights = torch.logit(knots.clamp(LEAST_SCORE, GREATEST_SCORE))
        bends = torch.diff(torch.diff(heights) / torch.diff(knots), prepend=torch.zeros(1))
        curves.append(_Curve(heights[0], knots[:-1], bends))
    return curves


def _choose_shrinkage(inputs: Tensor, labels: Tensor, outside: list[Tensor]) -> float:
    """The pull whose regressions do best on the folds that they were not fitted on."""

    def agreement(shrinkage: float) -> float:
        unseen = torch.empty_like(labels)
        for known in outside:
            unseen[~known] = torch.sigmoid(regress(inputs[known], labels[known], shrinkage)(inputs[~known]))
        return _agreement(labels.numpy(), unseen.numpy())

    return max(SHRINKAGE, key=agreement)


def _agreement(labels: Float32, scores: Float32) -> float:
    """Mean over the tags of the correlation: what the bundle is judged by, and cross-entropy does not tell."""
    return float(np.nanmean(correlation(labels, scores)))


@dataclass(frozen=True)
class Regression:
    """For each tag a weighted sum of the members' logits."""

    weights: Tensor  # (n_members, 50)
    bias: Tensor  # (50,)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Logits (n, 50) from the members' scores side by side, (n, 50 * n_members)."""
        n_members = len(self.weights)
        logits = bent(inputs.reshape(len(inputs), n_members, -1))
        return self.bias + torch.einsum("mt,nmt->nt", self.weights, logits)

    def network(self) -> Combiner:
        """A combiner that answers with this regression.

        The first layer hands the scores on. In the second, one unit a tag adds up the members' first lines, and others
        begin where the lines bend; the third adds up what a tag's units say. Units that are not needed keep random
        inputs and no outputs, free to learn.
        """
        n_members, n_tags = self.weights.shape
        network = Combiner(n_members)
        first, second, third = (layer for layer in network.layers if isinstance(layer, nn.Linear))
        curves = _curves(n_members)
        slopes = torch.stack([curve.bends[0] for curve in curves])[:, None] * self.weights
        least = slopes.clamp(max=0).sum(0)  # a sum of first lines is never below that, and a unit never below nought
        with torch.no_grad():
            third.weight.zero_()
            third.bias.copy_(self.bias + sum(c.height * w for c, w in zip(curves, self.weights, strict=True)) + least)
            first.weight[: n_members * n_tags] = SCALE * torch.eye(n_members * n_tags)
            first.bias[: n_members * n_tags] = 0
            second.weight[: n_tags + n_tags * sum(len(curve.bends) - 1 for curve in curves)] = 0
            for tag in range(n_tags):
                second.weight[tag, tag : n_members * n_tags : n_tags] = SCALE * slopes[:, tag]
                second.bias[tag] = -(SCALE**2) * least[tag]
                third.weight[tag, tag] = 1 / SCALE**2
            unit = n_tags
            for i in range(n_members * n_tags):
                member, tag = divmod(i, n_tags)
                for knot, bend in zip(curves[member].knots[1:], curves[member].bends[1:], strict=True):
                    second.weight[unit, i] = SCALE
                    second.bias[unit] = -(SCALE**2) * knot
                    third.weight[tag, unit] = self.weights[member, tag] * bend / SCALE**2
                    unit += 1
        return network


def regress(inputs: Tensor, labels: Tensor, shrinkage: float) -> Regression:
    """Fit the regression of least cross-entropy, each tag's weights pulled towards those of all tags together.

    Parameters
    ----------
    inputs
        (n, 50 * n_members) scores, members side by side.
    labels
        (n, 50).
    shrinkage
        Weight of the squared distance to the common regression.
    """
    n_tags = labels.shape[1]
    n_members = inputs.shape[1] // n_tags
    common = torch.cat([torch.full((n_members, 1), 1 / n_members), torch.zeros(1, 1)])
    common = _minimise(common, lambda values: _cross_entropy(values.expand(-1, n_tags), inputs, labels))

    def loss(values: Tensor) -> Tensor:
        return _cross_entropy(values, inputs, labels) + shrinkage * (values - common).square().sum(0).mean()

    values = _minimise(common.expand(-1, n_tags), loss)
    return Regression(values[:-1], values[-1])


def _cross_entropy(values: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
    logits = Regression(values[:-1], values[-1])(inputs)
    return nn.functional.binary_cross_entropy_with_logits(logits, labels)


def _minimise(begin: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    values = begin.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([values], max_iter=200, line_search_fn="strong_wolfe")

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        value = loss(values)
        torch.autograd.backward(value)
        return value

    optimizer.step(evaluate)  # type: ignore[no-untyped-call]
    return values.detach()


@dataclass
class _Outcome:
    network: Combiner
    weights: tuple[float, ...]  # as in `Combined`
    scores: list[Float32]  # of the windows that were left out, after each epoch


def _fit(inputs: Tensor, labels: Tensor, known: Tensor, shrinkage: float, epochs: int) -> _Outcome:
    """Build the regression on the known windows and let it learn from them; judge it on the others."""
    regression = regress(inputs[known], labels[known], shrinkage)
    network = regression.network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    outcome = _Outcome(network, tuple(regression.weights.mean(1).tolist()), [])
    _judge(outcome, inputs[~known])
    steps = max(1, int(known.sum()) // BATCH_SIZE)
    for _ in range(epochs):
        network.train()
        for _ in range(steps):
            x, y = _mix(inputs[known], labels[known], BATCH_SIZE)
            loss = nn.functional.binary_cross_entropy_with_logits(network(x), y)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        _judge(outcome, inputs[~known])
    network.eval()
    return outcome


def _judge(outcome: _Outcome, inputs: Tensor) -> None:
    if not len(inputs):
        return
    outcome.network.eval()
    with torch.inference_mode():
        logits = outcome.network(inputs)
    outcome.scores.append(torch.sigmoid(logits).numpy())


def _mix(inputs: Tensor, labels: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """`n` mixtures of two rows with even shares from 0 to 1; labels are mixed alike."""
    first, second = torch.randint(len(inputs), (2, n))
    share = torch.rand(n, 1)
    mixed = [share * rows[first] + (1 - share) * rows[second] for rows in (inputs, labels)]
    return mixed[0], mixed[1]
