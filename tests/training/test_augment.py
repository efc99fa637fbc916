import numpy as np
import pytest
import torch

from mtag.constants import SAMPLE_RATE, WINDOW_SAMPLES
from mtag.training import augment as augmentation
from mtag.training.augment import SPEED, augment


def tone(hz):
    t = np.arange(WINDOW_SAMPLES, dtype=np.float32) / SAMPLE_RATE
    return (0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def version_of(window, other, seed):
    return augment(torch.from_numpy(window), torch.from_numpy(other), np.random.default_rng(seed)).numpy()


def strongest(window):
    return np.argmax(np.abs(np.fft.rfft(window))) * SAMPLE_RATE / WINDOW_SAMPLES


def test_a_version_is_a_window_of_the_same_length_within_full_scale_and_depends_on_the_seed_alone():
    versions = [version_of(tone(440), tone(3_000), seed) for seed in (1, 1, 2)]
    for version in versions:
        assert version.shape == (WINDOW_SAMPLES,)
        assert version.dtype == np.float32
        assert np.abs(version).max() <= 1
    np.testing.assert_array_equal(versions[0], versions[1])
    assert not np.array_equal(versions[0], versions[2])


def test_the_pitch_moves_with_the_speed_and_no_further(monkeypatch):
    monkeypatch.setattr(augmentation, "MIX_SHARE", 0)
    heard = [strongest(version_of(tone(440), tone(3_000), seed)) / 440 for seed in range(8)]
    assert min(heard) >= SPEED[0] - 0.01
    assert max(heard) <= SPEED[1] + 0.01
    assert max(heard) - min(heard) > 0.02


def test_a_second_window_is_mixed_in_at_no_higher_level(monkeypatch):
    for share in ("TILT_SHARE", "BAND_SHARE", "NOISE_SHARE"):
        monkeypatch.setattr(augmentation, share, 0)
    monkeypatch.setattr(augmentation, "MIX_SHARE", 1)
    spectrum = np.abs(np.fft.rfft(version_of(tone(440), tone(3_000), 0)))
    border = 1_500 * WINDOW_SAMPLES // SAMPLE_RATE
    level = 10 * np.log10(np.sum(spectrum[border:] ** 2) / np.sum(spectrum[:border] ** 2))
    assert level == pytest.approx(-6, abs=6.1)


def test_silence_stays_silence():
    silence = np.zeros(WINDOW_SAMPLES, np.float32)
    assert np.abs(version_of(silence, silence, 0)).max() < 1e-6
