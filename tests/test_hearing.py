"""Hearing side by side: the same scores however the work is cut."""

from __future__ import annotations

import numpy as np
import pytest

from mtag.ensemble import load_ensemble
from mtag.hearing import Ears, hear
from tests.encoding import encode, noise, tone

SR = 16_000  # Hz
SAME = 1e-4  # between scores of the same track


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("songs")
    sounds = [tone(70, SR), noise(31, SR), tone(2, SR, 1_000), 0.5 * tone(90, SR, 220) + noise(90, SR)]
    return [encode(folder / f"{number}.mp3", sound, SR) for number, sound in enumerate(sounds)]


@pytest.fixture(scope="module")
def ensemble():
    return load_ensemble(fast=True, device="cpu")


def scores_of(files, ensemble, jobs):
    with Ears(lambda: ensemble, jobs) as ears:
        return {path: heard.scores for path, heard in hear(files, ears)}


def test_scores_do_not_depend_on_jobs_order_or_batches(songs, ensemble, monkeypatch):
    expected = scores_of(songs, ensemble, jobs=1)
    assert np.ptp(list(expected.values()), axis=0).max() > 10 * SAME  # the songs do differ
    runs = [scores_of(songs, ensemble, jobs=3), scores_of(songs[::-1], ensemble, jobs=2)]
    monkeypatch.setattr(ensemble, "batch_size", 3)
    runs.append(scores_of(songs, ensemble, jobs=2))
    for scores in runs:
        for song in songs:
            np.testing.assert_allclose(scores[song], expected[song], atol=SAME)


def test_a_few_windows_of_a_track_can_be_heard_in_place_of_all(songs, ensemble):
    with Ears(lambda: ensemble, jobs=2, n_windows=2) as ears:
        heard = {path: outcome for path, outcome in hear(songs, ears)}
    assert [heard[song].n_windows for song in songs] == [3, 1, 1, 2]  # only the last is long enough to leave any out
    assert heard[songs[3]].duration == pytest.approx(90, abs=0.2)
