import errno
from pathlib import Path

import numpy as np
import pytest
import torch

from mtag.constants import N_TAGS
from mtag.training import pool as pooling
from mtag.training.cache import FULL_SCALE
from mtag.training.pool import N_PIECES, PIECE_SAMPLES, load_pool
from mtag.training.teachers import Musicnn

TRAIN = np.array([3, 5, 8])


class Loudness(Musicnn):
    """Scores a piece by its peak, whatever the tag."""

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.spec = torch.nn.Module()
        self.spec.window = torch.zeros(1)

    def forward(self, pieces):
        assert pieces.shape[1] == PIECE_SAMPLES
        return pieces.abs().amax(dim=1, keepdim=True).expand(-1, N_TAGS)


def load(corpus, windows, folder, teacher, report=lambda done, n: None, n_versions=2, train=TRAIN, seed=0):
    return load_pool(
        corpus,
        windows,
        train,
        folder,
        teacher=teacher,
        n_versions=n_versions,
        seed=seed,
        device=torch.device("cpu"),
        report=report,
    )


def test_every_piece_of_every_version_has_the_teachers_score(corpus, windows, tmp_path):
    pool = load(corpus, windows, tmp_path, Loudness())
    assert pool.scores.shape == (6, N_PIECES, N_TAGS)
    np.testing.assert_array_equal(pool.waveforms[:3], windows.waveforms[TRAIN])
    assert not np.array_equal(pool.waveforms[3:], windows.waveforms[TRAIN])
    heard = pool.waveforms[:, : N_PIECES * PIECE_SAMPLES].reshape(6, N_PIECES, PIECE_SAMPLES)
    np.testing.assert_allclose(pool.scores[..., 0], np.abs(heard / FULL_SCALE).max(axis=2), atol=1e-3)


def test_without_a_teacher_each_piece_has_its_windows_label(corpus, windows, tmp_path):
    pool = load(corpus, windows, tmp_path, None)
    assert len(pool.scores) == len(TRAIN)
    np.testing.assert_allclose(pool.scores, np.repeat(corpus.labels[TRAIN, None], N_PIECES, 1), atol=1e-3)


def test_an_interrupted_pool_goes_on_where_it_was(corpus, windows, tmp_path, monkeypatch):
    monkeypatch.setattr(pooling, "CHUNK", 2)

    def interrupt(done, n):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(corpus, windows, tmp_path / "broken", Loudness(), interrupt)
    steps = []
    resumed = load(corpus, windows, tmp_path / "broken", Loudness(), lambda done, n: steps.append(done))
    assert steps == [6]
    whole = load(corpus, windows, tmp_path / "whole", Loudness())
    for name in ("waveforms", "log_mels", "scores"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))


def test_a_disk_that_is_full_where_rows_are_counted_costs_no_count(corpus, windows, tmp_path, monkeypatch):
    monkeypatch.setattr(pooling, "CHUNK", 2)
    real = Path.write_text

    def write_text(path, text, *rest, **named):
        if text == "4":
            real(path, "")
            raise OSError(errno.ENOSPC, "no space")
        return real(path, text, *rest, **named)

    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(OSError, match="no space"):
        load(corpus, windows, tmp_path, Loudness())
    monkeypatch.setattr(Path, "write_text", real)
    steps = []
    load(corpus, windows, tmp_path, Loudness(), lambda done, n: steps.append(done))
    assert steps == [4, 6]


def test_a_pool_that_is_there_is_taken_as_it_is(corpus, windows, tmp_path):
    scores = load(corpus, windows, tmp_path, Loudness()).scores.copy()
    steps = []
    again = load(corpus, windows, tmp_path, Loudness(), lambda done, n: steps.append(done))
    assert steps == []
    np.testing.assert_array_equal(again.scores, scores)


class Quiet(Loudness):
    def __init__(self):
        super().__init__()
        self.register_buffer("bias", torch.zeros(1))


@pytest.mark.parametrize("others", [{"train": TRAIN + 1}, {"seed": 1}, {"teacher": Quiet()}])
def test_a_pool_of_other_windows_another_seed_or_teacher_is_made_anew(corpus, windows, tmp_path, others):
    first = load(corpus, windows, tmp_path, Loudness()).origin
    call = {"teacher": Loudness(), "train": TRAIN, "seed": 0} | others
    pool = load(corpus, windows, tmp_path, **call)
    expected = load(corpus, windows, tmp_path / "alone", **call)
    assert pool.origin == expected.origin != first
    np.testing.assert_array_equal(pool.waveforms, expected.waveforms)


def test_a_pool_of_another_size_is_made_anew(corpus, windows, tmp_path):
    load(corpus, windows, tmp_path, Loudness())
    steps = []
    pool = load(corpus, windows, tmp_path, Loudness(), lambda done, n: steps.append(done), n_versions=3)
    assert len(pool.scores) == 9
    assert steps[-1] == 9
