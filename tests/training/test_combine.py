import numpy as np
import pytest
import torch

from mtag.metrics import correlation
from mtag.training import combine
from mtag.training.combine import assign_folds, fit_combiner, weighted_mean


def members(n, rng):
    """Soft labels, and two members that hear them with independent errors."""
    labels = rng.beta(0.3, 3, (n, 50)).astype(np.float32)
    logits = np.log(labels.clip(1e-3, 0.999) / (1 - labels.clip(1e-3, 0.999)))
    noisy = logits + rng.standard_normal((2, n, 50))
    scores = (1 / (1 + np.exp(-noisy))).astype(np.float32)
    return labels, {"model1": scores[0], "model2": scores[1]}


def test_a_combiner_is_better_than_its_members_on_windows_it_never_saw(monkeypatch):
    monkeypatch.setattr(combine, "EPOCHS", 3)
    labels, scores = members(100, np.random.default_rng(0))
    folds = assign_folds([f"track {i // 2}" for i in range(100)], seed=0)
    result = fit_combiner("1+2", scores, labels, folds, seed=0)
    ours = correlation(labels, result.unseen_scores).mean()
    assert ours > max(correlation(labels, alone).mean() for alone in scores.values())
    assert sum(result.weights) == pytest.approx(1, abs=1e-5)
    assert len(result.losses) == 4
    assert result.losses[result.epochs] == min(result.losses)


@pytest.mark.parametrize("weights", [[0.5, 0.5], [0.2, 0.3, 0.5]])
def test_a_combiner_begins_as_the_weighted_mean_of_its_members(weights):
    network = weighted_mean(torch.tensor(weights))
    scores = torch.rand(200, len(weights), 50) ** 3
    with torch.inference_mode():
        answers = torch.sigmoid(network(scores.flatten(1)))
    mean = torch.einsum("m,nmt->nt", torch.tensor(weights), scores)
    assert (answers - mean).abs().max().item() < 0.02


def test_a_tracks_windows_share_a_fold_and_all_folds_are_used():
    folds = assign_folds([f"track {i // 3}" for i in range(60)], seed=0)
    assert (folds.reshape(20, 3) == folds.reshape(20, 3)[:, :1]).all()
    assert np.bincount(folds).tolist() == [12] * 5
