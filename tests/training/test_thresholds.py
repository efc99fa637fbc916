import numpy as np

from mtag.training.thresholds import PRECISION, PRESENT, choose_thresholds


def test_a_well_heard_tag_gets_the_threshold_of_the_stated_precision():
    scores = np.tile(np.linspace(0, 1, 2_000, dtype=np.float32)[:, None], 50)
    labels = (scores > 0.5).astype(np.float32)
    threshold = choose_thresholds(scores, labels, soft=False)[0]
    given = scores[:, 0] >= threshold
    assert abs(labels[given, 0].mean() - PRECISION) < 0.02


def test_a_tag_that_is_never_right_gets_none():
    scores = np.random.default_rng(0).random((500, 50)).astype(np.float32)
    assert choose_thresholds(scores, np.zeros((500, 50), np.float32), soft=True) == [None] * 50


def test_a_tag_without_windows_of_its_own_takes_the_common_threshold():
    scores = np.tile(np.linspace(0, 1, 2_000, dtype=np.float32)[:, None], 50)
    labels = np.where(scores > 0.5, PRESENT, 0).astype(np.float32)
    scores[:, 7] = 0
    thresholds = choose_thresholds(scores, labels, soft=True)
    assert abs(thresholds[7] - thresholds[8]) < 0.02
