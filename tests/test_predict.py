import numpy as np
import pytest

import mtag
from mtag.ensemble import load_ensemble
from mtag.errors import FailureKind, FileError
from mtag.features import log_mel
from mtag.predict import Prediction, predict, predict_file
from tests.encoding import encode, tone


@pytest.fixture(scope="module")
def ensemble():
    return load_ensemble(fast=True, device="cpu")


def test_a_track_is_scored_by_the_mean_of_its_windows(ensemble, tmp_path):
    low, high = tone(30, hz=220.0), tone(30, hz=1760.0)
    path = encode(tmp_path / "two.wav", np.concatenate([low, high]))
    prediction = predict_file(path, ensemble)
    assert prediction.n_windows == 2
    assert prediction.duration == pytest.approx(60, abs=0.1)
    np.testing.assert_allclose(prediction.scores, prediction.taggram.mean(axis=0))
    assert np.abs(np.diff(prediction.taggram, axis=0)).max() > 1e-3


def test_predicting_is_features_and_ensemble_and_nothing_else(ensemble):
    windows = np.stack([tone(29.1, sr=16_000, hz=hz) for hz in (440.0, 880.0)]).astype(np.float32)
    np.testing.assert_array_equal(predict(windows, ensemble), ensemble.scores(log_mel(windows), windows))


@pytest.mark.parametrize("kind", ["f8", ">f4"])
def test_floats_of_any_kind_give_the_same_scores(ensemble, kind):
    windows = np.stack([tone(29.1, sr=16_000)]).astype(np.float32)
    np.testing.assert_array_equal(predict(windows.astype(kind), ensemble), predict(windows, ensemble))


def test_predictions_can_be_put_into_sets_and_looked_for_in_lists(tmp_path):
    one, other = (Prediction(tmp_path, 60.0, np.zeros((2, 3), np.float32), ("a", "b", "c")) for _ in range(2))
    assert len({one, other}) == 2
    assert other in [one, other]
    assert one != other


def test_the_best_tags_come_first(tmp_path):
    taggram = np.array([[0.1, 0.9, 0.5], [0.3, 0.7, 0.5]], np.float32)
    prediction = Prediction(tmp_path, 60.0, taggram, ("quiet", "guitar", "harp"))
    assert [tag for tag, _ in prediction.top(2)] == ["guitar", "harp"]
    assert prediction.top(1)[0][1] == pytest.approx(0.8)


def test_notebooks_and_help_find_what_the_package_offers():
    assert set(mtag.__all__) <= set(dir(mtag))


def test_a_file_that_cannot_be_heard_says_why(ensemble, tmp_path):
    with pytest.raises(FileError) as failure:
        predict_file(encode(tmp_path / "short.wav", tone(0.5)), ensemble)
    assert failure.value.kind is FailureKind.TOO_SHORT
