"""Fit the combiners on members' scores for tracks that no member has seen.

A few hundred windows would only be learnt by heart by a network of two hundred thousand weights. So it is built to
begin as the weighted mean of its members, which Table 4's shape can hold exactly but for ten straight lines in place
of the logit's curve, and learns from the labels only for as many epochs as cross-validation finds useful.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mtag.constants import N_TAGS
from mtag.ensemble import COMBINATIONS
from mtag.training.networks import Combiner

Float32 = NDArray[np.float32]

N_FOLDS = 5
BATCH_SIZE = 64
KNOTS = (0.0, 0.01, 0.03, 0.07, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0)  # where those straight lines meet
LEAST_SCORE = 0.003  # what the lines make of a mean of 0; 1 - LEAST_SCORE of 1
SCALE = 4.0  # the first two layers are so much larger and the last smaller, or its steps would be too coarse
EPOCHS = 150  # at most
RATE = 1e-4
WEIGHT_DECAY = 1e-3


@dataclass(frozen=True)
class Combined:
    """A fitted combiner with an honest account of it."""

    network: Combiner  # in eval mode
    weights: tuple[float, ...]  # of the members in the mean that it began as
    unseen_scores: Float32  # (n, 50): each fold's scores by a combiner fitted on the other folds
    epochs: int  # what cross-validation chose
    losses: tuple[float, ...]  # cross-validated binary cross-entropy after 0, 1, 2 ... epochs


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
    """
    members = COMBINATIONS[combination]
    torch.manual_seed(seed)
    inputs = torch.from_numpy(np.concatenate([heldout[member] for member in members], axis=1))
    targets = torch.from_numpy(labels)
    weights = _weigh(inputs.reshape(len(inputs), len(members), -1), targets)
    start = weighted_mean(weights)
    outcomes = [_fine_tune(start, inputs, targets, torch.from_numpy(folds == fold), EPOCHS) for fold in range(N_FOLDS)]
    sizes = np.bincount(folds, minlength=N_FOLDS)
    losses = np.average([outcome.losses for outcome in outcomes], axis=0, weights=sizes)
    epochs = int(np.argmin(losses))
    unseen = np.empty_like(labels)
    for fold, outcome in enumerate(outcomes):
        unseen[folds == fold] = outcome.scores[epochs]
    everything = torch.zeros(len(labels), dtype=torch.bool)
    network = _fine_tune(start, inputs, targets, everything, epochs).network
    return Combined(network, tuple(weights.tolist()), unseen, epochs, tuple(float(x) for x in losses))


def assign_folds(tracks: list[str], seed: int) -> NDArray[np.int64]:
    """Fold number of each window; windows of one track share a fold."""
    names, track_of_row = np.unique(tracks, return_inverse=True)
    return np.random.default_rng(seed).permutation(len(names))[track_of_row] % N_FOLDS


def _weigh(scores: Tensor, labels: Tensor) -> Tensor:
    """The members' weights, summing to one, whose mean has the least cross-entropy: (n, m, 50), (n, 50) to (m,)."""
    logits = torch.zeros(scores.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=50)

    def loss() -> Tensor:
        optimizer.zero_grad()
        mean = torch.einsum("m,nmt->nt", logits.softmax(0), scores)
        value = nn.functional.binary_cross_entropy(mean, labels)
        torch.autograd.backward(value)
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return logits.detach().softmax(0)


def weighted_mean(weights: Tensor) -> Combiner:
    """A combiner that answers with the weighted mean of its members' scores.

    The first layer takes each tag's mean; the second bends it at the knots; the third adds the bends up to the
    logit. Units that are not needed keep random inputs and no outputs, free to learn.
    """
    network = Combiner(len(weights))
    first, second, third = (layer for layer in network.layers if isinstance(layer, nn.Linear))
    knots = torch.tensor(KNOTS)
    heights = torch.logit(knots, LEAST_SCORE)
    bends = torch.diff(torch.diff(heights) / torch.diff(knots), prepend=torch.zeros(1))
    with torch.no_grad():
        third.weight.zero_()
        third.bias.fill_(heights[0])
        for tag in range(N_TAGS):
            first.weight[tag] = 0
            first.weight[tag, tag::N_TAGS] = SCALE * weights
            first.bias[tag] = 0
            units = slice(tag * len(bends), (tag + 1) * len(bends))
            second.weight[units] = 0
            second.weight[units, tag] = SCALE
            second.bias[units] = -(SCALE**2) * knots[:-1]
            third.weight[tag, units] = bends / SCALE**2
    return network


@dataclass
class _Outcome:
    network: Combiner
    losses: list[float]  # on the fold that was left out, after each epoch
    scores: list[Float32]


def _fine_tune(start: Combiner, inputs: Tensor, labels: Tensor, left_out: Tensor, epochs: int) -> _Outcome:
    network = Combiner(inputs.shape[1] // labels.shape[1])
    network.load_state_dict(start.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    outcome = _Outcome(network, [], [])
    _judge(outcome, inputs[left_out], labels[left_out])
    steps = max(1, int((~left_out).sum()) // BATCH_SIZE)
    for _ in range(epochs):
        network.train()
        for _ in range(steps):
            x, y = _mix(inputs[~left_out], labels[~left_out], BATCH_SIZE)
            loss = nn.functional.binary_cross_entropy_with_logits(network(x), y)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        _judge(outcome, inputs[left_out], labels[left_out])
    network.eval()
    return outcome


def _judge(outcome: _Outcome, inputs: Tensor, labels: Tensor) -> None:
    if not len(inputs):
        return
    outcome.network.eval()
    with torch.inference_mode():
        logits = outcome.network(inputs)
    outcome.losses.append(nn.functional.binary_cross_entropy_with_logits(logits, labels).item())
    outcome.scores.append(torch.sigmoid(logits).numpy())


def _mix(inputs: Tensor, labels: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """`n` mixtures of two rows with even shares from 0 to 1; labels are mixed alike."""
    first, second = torch.randint(len(inputs), (2, n))
    share = torch.rand(n, 1)
    mixed = [share * rows[first] + (1 - share) * rows[second] for rows in (inputs, labels)]
    return mixed[0], mixed[1]
