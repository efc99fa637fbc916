import numpy as np
import pytest
import torch

from mtag.metrics import correlation
from mtag.training import combine
from mtag.training.combine import Regression, assign_folds, bent, fit_combiner, regress


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
    assert all(0.1 < weight < 0.9 for weight in result.weights)
    assert len(result.agreements) == 4
    assert result.agreements[result.epochs] == max(result.agreements) == pytest.approx(ours, abs=1e-6)


@pytest.mark.parametrize("n_members", [2, 3])
def test_a_combiner_begins_as_the_regression_it_is_built_from(n_members):
    torch.manual_seed(0)
    regression = Regression(torch.rand(n_members, 50) - 0.2, torch.randn(50))
    scores = torch.rand(200, 50 * n_members) ** 3
    with torch.inference_mode():
        logits = regression.network()(scores)
    torch.testing.assert_close(logits, regression(scores), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("n_members", [2, 3])
def test_the_lines_follow_the_logit_where_labels_lie(n_members):
    scores = torch.linspace(0.01, 0.8, 100)[:, None, None].expand(-1, n_members, 50)
    errors = (bent(scores) - torch.logit(scores)).abs().amax(dim=(0, 2))
    assert errors.max().item() < 1.1
    assert errors[:2].max().item() < 0.3  # Models 1 and 2 have five lines


def test_a_tag_that_one_member_hears_better_trusts_it_more():
    rng = np.random.default_rng(0)
    logits = rng.normal(-2, 1.5, (400, 50)).astype(np.float32)
    labels = torch.sigmoid(torch.from_numpy(logits))
    noise = np.ones((2, 1, 50), np.float32)
    noise[0, :, :25] = noise[1, :, 25:] = 3
    heard = 1 / (1 + np.exp(-(logits + noise * rng.standard_normal((2, 400, 50)))))
    inputs = torch.from_numpy(np.concatenate(heard, axis=1).astype(np.float32))
    weights = regress(inputs, labels, 1e-3).weights
    assert (weights[1, :25] > weights[0, :25]).all()
    assert (weights[0, 25:] > weights[1, 25:]).all()
    pulled = regress(inputs, labels, 1e3).weights
    assert pulled.std(dim=1).max().item() < 0.01


def test_a_tracks_windows_share_a_fold_and_all_folds_are_used():
    folds = assign_folds([f"track {i // 3}" for i in range(60)], seed=0)
    assert (folds.reshape(20, 3) == folds.reshape(20, 3)[:, :1]).all()
    assert np.bincount(folds).tolist() == [12] * 5
