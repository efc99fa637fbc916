import numpy as np
import pytest
import torch

from mtag.constants import N_FRAMES, WINDOW_SAMPLES
from mtag.training import batches as batching
from mtag.training.batches import (
    Draw,
    LogMelBatches,
    Normalisation,
    WaveformBatches,
    draw,
    plain_inputs,
)
from mtag.training.cache import FULL_SCALE
from mtag.training.pool import N_PIECES, PIECE_SAMPLES

AS_IT_IS = Normalisation(0.0, 1.0)
NO_MASK = np.zeros((1, 2), np.int64)


def spliced(rows, pieces):
    return Draw(np.array([rows]), np.array([pieces]), NO_MASK)


def test_a_batch_is_the_same_for_the_same_seed_and_step(pool):
    batches = LogMelBatches.of(pool)
    first, again, later = (batches.training(draw(pool, 4, seed=1, step=s), N_PIECES) for s in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def test_every_window_comes_once_an_epoch(pool):
    n = pool.n_windows
    seen = np.concatenate([draw(pool, n // 2, seed=0, step=step).rows[:, 0] for step in range(4)])
    assert sorted(seen[:n]) == sorted(seen[n:]) == list(range(n))


def test_splices_are_runs_of_consecutive_pieces_from_one_to_three_rows(pool):
    chosen = draw(pool, 200, seed=0, step=0)
    breaks = (np.diff(chosen.rows) != 0) | (np.diff(chosen.pieces) % N_PIECES != 1)
    assert np.bincount(breaks.sum(axis=1), minlength=3).tolist() == sorted(
        np.bincount(breaks.sum(axis=1), minlength=3), reverse=True
    )
    assert breaks.sum(axis=1).max() == 2


def test_a_label_is_the_mean_over_the_pieces_that_are_heard(pool):
    rows, pieces = [0, 1, 2, 3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1, 0]
    whole, three = (LogMelBatches(pool, AS_IT_IS).labels(spliced(rows, pieces), n) for n in (N_PIECES, 3))
    np.testing.assert_allclose(
        whole[0], np.mean([pool.scores[r, p] for r, p in zip(rows, pieces, strict=True)], 0), atol=1e-3
    )
    np.testing.assert_allclose(
        three[0], np.mean([pool.scores[r, p] for r, p in ((0, 8), (1, 7), (2, 6))], 0), atol=1e-3
    )


def test_the_pieces_of_one_row_in_their_order_are_that_window(pool, windows):
    whole = spliced([4] * N_PIECES, range(N_PIECES))
    heard = LogMelBatches(pool, AS_IT_IS).training(whole, N_PIECES)
    assert torch.equal(heard, plain_inputs("model1", windows, np.array([4]), AS_IT_IS))
    heard = WaveformBatches(pool, AS_IT_IS).training(whole, N_PIECES)
    assert torch.equal(heard, plain_inputs("model3", windows, np.array([4]), AS_IT_IS))


def test_pieces_lie_one_behind_another_and_go_on_at_the_beginning_past_a_windows_end(pool):
    chosen = spliced([3, 7] + [0] * 7, [8, 2] + [0] * 7)
    crop = WaveformBatches(pool, AS_IT_IS).training(chosen, 2)[0].numpy() * FULL_SCALE
    expected = [pool.waveforms[3, 8 * PIECE_SAMPLES : 9 * PIECE_SAMPLES], pool.waveforms[7, 2 * PIECE_SAMPLES :]]
    np.testing.assert_allclose(crop, np.concatenate(expected)[: 2 * PIECE_SAMPLES], atol=0.01)
    last = spliced([0] * 8 + [5], [0] * 8 + [8])
    full = WaveformBatches(pool, AS_IT_IS).training(last, N_PIECES)[0].numpy() * FULL_SCALE
    assert full.shape == (WINDOW_SAMPLES,)
    np.testing.assert_allclose(full[8 * PIECE_SAMPLES :], pool.waveforms[5, 8 * PIECE_SAMPLES :], atol=0.01)
    wrapped = spliced([5] * N_PIECES, [*range(1, N_PIECES), 0])
    frames = LogMelBatches(pool, AS_IT_IS).training(wrapped, N_PIECES)
    assert frames.shape == (1, 128, N_FRAMES)
    assert torch.isfinite(frames).all()


def test_normalised_windows_have_zero_mean_and_unit_deviation(pool, windows):
    rows = np.arange(pool.n_windows)
    log_mels = plain_inputs("model2", windows, rows, LogMelBatches.of(pool).normalisation)
    assert log_mels.mean().item() == pytest.approx(0, abs=1e-3)
    assert log_mels.std().item() == pytest.approx(1, abs=1e-3)
    waveforms = plain_inputs("model3", windows, rows, WaveformBatches.of(pool).normalisation)
    assert waveforms.std().item() == pytest.approx(1, abs=1e-2)


def test_a_pool_that_leaves_a_gpu_no_room_stays_where_it_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (batching.ROOM, 2 * batching.ROOM))
    values = torch.zeros(3)
    assert batching._near(values, torch.device("cuda")) is values
