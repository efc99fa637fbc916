"""Fit the combiners on members' scores for tracks that no member has seen.

So few windows would teach a network of two hundred thousand weights by heart. So it first learns to be the mean of its
members, which takes no labels and can be practised on any windows, and only then a little more from the labels:
as many epochs as cross-validation finds useful, often few.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mtag.ensemble import COMBINATIONS
from mtag.training.networks import Combiner

Float32 = NDArray[np.float32]

N_FOLDS = 5
BATCH_SIZE = 64
PRACTICE_STEPS = 3_000
PRACTICE_RATE = 1e-3
EPOCHS = 60  # at most
RATE = 1e-4
WEIGHT_DECAY = 1e-3


@dataclass(frozen=True)
class Combined:
    """A fitted combiner with an honest account of it."""

    network: Combiner  # in eval mode
    unseen_scores: Float32  # (n, 50): each fold's scores by a combiner fitted on the other folds
    epochs: int  # what cross-validation chose
    losses: tuple[float, ...]  # cross-validated binary cross-entropy after 0, 1, 2 ... epochs


def fit_combiner(
    combination: str,
    practice: Mapping[str, Float32],
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
    practice
        Member -> (m, 50) scores of any windows; their labels are not used.
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
    start = _practise(_side_by_side(practice, members), len(members))
    inputs, targets = _side_by_side(heldout, members), torch.from_numpy(labels)
    outcomes = [_fine_tune(start, inputs, targets, torch.from_numpy(folds == fold)) for fold in range(N_FOLDS)]
    sizes = np.bincount(folds, minlength=N_FOLDS)
    losses = np.average([outcome.losses for outcome in outcomes], axis=0, weights=sizes)
    epochs = int(np.argmin(losses))
    unseen = np.empty_like(labels)
    for fold, outcome in enumerate(outcomes):
        unseen[folds == fold] = outcome.scores[epochs]
    everything = torch.zeros(len(labels), dtype=torch.bool)
    network = _fine_tune(start, inputs, targets, everything, epochs).network
    return Combined(network, unseen, epochs, tuple(float(x) for x in losses))


def assign_folds(tracks: list[str], seed: int) -> NDArray[np.int64]:
    """Fold number of each window; windows of one track share a fold."""
    names, track_of_row = np.unique(tracks, return_inverse=True)
    return np.random.default_rng(seed).permutation(len(names))[track_of_row] % N_FOLDS


def _side_by_side(scores: Mapping[str, Float32], members: tuple[str, ...]) -> Tensor:
    return torch.from_numpy(np.concatenate([scores[member] for member in members], axis=1))


def _practise(inputs: Tensor, n_members: int) -> Combiner:
    """A combiner that answers with the mean of its members' logits, learnt on mixtures of their scores."""
    network = Combiner(n_members)
    optimizer = torch.optim.Adam(network.parameters(), lr=PRACTICE_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PRACTICE_RATE, total_steps=PRACTICE_STEPS)
    for _ in range(PRACTICE_STEPS):
        mixed = _mix(inputs, inputs[:, :0], BATCH_SIZE)[0]
        mean = torch.logit(mixed, 1e-4).reshape(len(mixed), n_members, -1).mean(dim=1)
        loss = nn.functional.binary_cross_entropy_with_logits(network(mixed), torch.sigmoid(mean))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return network


@dataclass
class _Outcome:
    network: Combiner
    losses: list[float]  # on the fold that was left out, after each epoch
    scores: list[Float32]


def _fine_tune(start: Combiner, inputs: Tensor, labels: Tensor, left_out: Tensor, epochs: int = EPOCHS) -> _Outcome:
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
