import numpy as np
import pytest
import torch

from mtag.constants import WINDOW_SAMPLES
from mtag.training.batches import LogMelBatches, Normalisation, WaveformBatches, draw, mixed_labels

ROWS = np.arange(10)


def test_a_batch_is_the_same_for_the_same_seed_and_step(windows):
    batches = LogMelBatches.of(windows, ROWS)
    first, again, later = (batches.training(draw(ROWS, 4, seed=1, step=s), 0) for s in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def test_every_window_comes_once_an_epoch():
    seen = np.concatenate([draw(ROWS, 4, seed=0, step=step).rows[0] for step in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))


def test_labels_are_mixed_in_the_share_of_the_sound(corpus):
    chosen = draw(ROWS, 4, seed=0, step=0)
    labels = mixed_labels(corpus.labels, chosen)
    share = chosen.share.numpy()
    expected = share * corpus.labels[chosen.rows[0]] + (1 - share) * corpus.labels[chosen.rows[1]]
    np.testing.assert_allclose(labels.numpy(), expected, rtol=1e-6)


def test_normalised_windows_have_zero_mean_and_unit_deviation(windows):
    plain = LogMelBatches.of(windows, ROWS).plain(ROWS)
    assert plain.mean().item() == pytest.approx(0, abs=1e-3)
    assert plain.std().item() == pytest.approx(1, abs=1e-3)
    assert WaveformBatches.of(windows, ROWS).plain(ROWS).std().item() == pytest.approx(1, abs=1e-2)


def test_a_mix_of_waveforms_keeps_its_power_within_the_gains_range(windows):
    batches = WaveformBatches(windows, Normalisation(0.0, 1.0))
    crops = batches.training(draw(ROWS, 8, seed=0, step=0), 50_000)
    assert crops.shape == (8, 50_000)
    level = 10 * torch.log10(crops.square().mean(dim=1))
    assert (level - 10 * np.log10(0.3**2 / 2 + 0.03**2)).abs().max().item() < 6.5


def test_a_crop_that_begins_near_the_end_goes_on_at_the_beginning(windows):
    batches = WaveformBatches(windows, Normalisation(0.0, 1.0))
    chosen = draw(ROWS, 1, seed=0, step=0)
    chosen.shift[:] = 1 - 100 / WINDOW_SAMPLES
    chosen.share[:], chosen.gain[:] = 1, 1
    crop = batches.training(chosen, 300)[0].numpy()
    window = batches.plain(chosen.rows[0])[0].numpy()
    np.testing.assert_allclose(crop, np.concatenate([window[-100:], window[:200]]), atol=1e-6)
