import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtag.metrics import correlation, pr_auc, precision_recall, roc_auc, top_decile


def test_roc_auc_counts_rightly_ordered_pairs_and_ties_as_half():
    truth = np.array([[1], [0], [1], [0]], bool)
    scores = np.array([[0.9], [0.8], [0.8], [0.1]])
    assert roc_auc(truth, scores)[0] == pytest.approx(3.5 / 4)


def test_pr_auc_is_the_mean_precision_at_each_hit():
    truth = np.array([[1], [0], [1], [0]], bool)
    scores = np.array([[0.9], [0.8], [0.7], [0.1]])
    assert pr_auc(truth, scores)[0] == pytest.approx((1 + 2 / 3) / 2)


def test_pr_auc_of_equal_scores_is_the_share_of_positives():
    truth = np.array([[1], [0], [0], [0]], bool)
    assert pr_auc(truth, np.full((4, 1), 0.3))[0] == pytest.approx(0.25)


def test_a_tag_that_nothing_carries_has_no_figure():
    truth = np.zeros((3, 1), bool)
    scores = np.arange(3.0)[:, None]
    assert np.isnan(roc_auc(truth, scores)[0])
    assert np.isnan(pr_auc(truth, scores)[0])


def test_scores_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="same two dimensions"):
        roc_auc(np.zeros((3, 2), bool), np.zeros((2, 3)))


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        pr_auc(np.ones((1, 1), bool), np.full((1, 1), np.nan))


@given(arrays(np.float64, (30, 2), elements=st.floats(0, 1)), arrays(np.bool_, (30, 2)))
def test_reversing_the_scores_mirrors_roc_auc(scores, truth):
    np.testing.assert_allclose(roc_auc(truth, scores), 1 - roc_auc(truth, -scores))


def test_correlation_is_that_of_numpy():
    a, b = np.random.default_rng(0).random((2, 40, 3))
    expected = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(3)]
    np.testing.assert_allclose(correlation(a, b), expected)


def test_the_top_decile_is_the_best_tenth_of_each_tag():
    labels = np.stack([np.arange(40.0), -np.arange(40.0)], axis=1)
    truth = top_decile(labels)
    assert truth.sum(axis=0).tolist() == [4, 4]
    assert truth[-4:, 0].all()
    assert truth[:4, 1].all()
    assert top_decile(labels[:3]).sum(axis=0).tolist() == [1, 1]  # of however few


def test_precision_and_recall_count_what_was_given_rightly():
    truth = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]], bool)
    given = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0]], bool)
    precision, recall = precision_recall(truth, given)
    np.testing.assert_allclose(precision, [1 / 3, 0, np.nan])
    np.testing.assert_allclose(recall, [1 / 2, np.nan, 0])
