"""The log-mel front end against librosa and against a golden."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from mtag.constants import N_FRAMES, N_MELS, SAMPLE_RATE, WINDOW_SAMPLES, WINDOW_SECONDS
from mtag.doctor import librosa_log_mel
from mtag.features import log_mel, mel_filters
from tests.encoding import noise, tone
from tests.make_goldens import FRAME_STEP, GOLDEN, golden_window

TOLERANCE = 1e-3  # dB


def test_log_mel_agrees_with_the_golden():
    np.testing.assert_allclose(log_mel(golden_window()[None])[0, :, ::FRAME_STEP], np.load(GOLDEN), atol=TOLERANCE)


def test_the_golden_is_what_librosa_gives():
    np.testing.assert_allclose(librosa_log_mel(golden_window())[:, ::FRAME_STEP], np.load(GOLDEN), atol=TOLERANCE)


@pytest.mark.parametrize("rms", [1.0, 0.1, 1e-3, 1e-5])
def test_log_mel_of_noise_equals_librosas(rms):
    samples = noise(WINDOW_SECONDS, SAMPLE_RATE, rms)
    np.testing.assert_allclose(log_mel(samples[None])[0], librosa_log_mel(samples), atol=TOLERANCE)


@pytest.mark.parametrize("hz", [60, 440, 7_900])
def test_log_mel_of_a_tone_equals_librosas(hz):
    samples = tone(WINDOW_SECONDS, SAMPLE_RATE, hz)
    np.testing.assert_allclose(log_mel(samples[None])[0], librosa_log_mel(samples), atol=TOLERANCE)


def test_log_mel_of_silence_is_the_floor_everywhere():
    np.testing.assert_allclose(log_mel(np.zeros((1, WINDOW_SAMPLES), np.float32)), -100, atol=TOLERANCE)


def test_log_mel_has_the_shape_and_type_that_the_networks_take():
    spectrograms = log_mel(np.stack([noise(WINDOW_SECONDS, SAMPLE_RATE, seed=seed) for seed in range(3)]))
    assert spectrograms.shape == (3, N_MELS, N_FRAMES) == (3, 128, 592)
    assert spectrograms.dtype == np.float32


def test_a_window_gives_the_same_spectrogram_alone_and_in_company():
    windows = np.stack([noise(WINDOW_SECONDS, SAMPLE_RATE, seed=seed) for seed in range(3)])
    np.testing.assert_array_equal(log_mel(windows)[1], log_mel(windows[1:2])[0])


def test_no_windows_give_no_spectrograms():
    assert log_mel(np.empty((0, WINDOW_SAMPLES), np.float32)).shape == (0, N_MELS, N_FRAMES)


@pytest.mark.parametrize(
    "windows",
    [
        np.zeros(WINDOW_SAMPLES, np.float32),
        np.zeros((1, WINDOW_SAMPLES, 2), np.float32),
        np.zeros((1, SAMPLE_RATE), np.float32),
        np.zeros((1, WINDOW_SAMPLES), np.int16),
    ],
    ids=["alone", "stereo", "short", "16 bits"],
)
def test_what_is_no_window_is_refused(windows):
    with pytest.raises(ValueError, match=r"windows must be \(n, 465600\) float32"):
        log_mel(windows)


def test_a_louder_tone_moves_only_its_own_band_up_by_its_gain():
    quiet, loud = log_mel(np.stack([tone(WINDOW_SECONDS, SAMPLE_RATE, amplitude=a) for a in (0.05, 0.5)]))
    band = int(quiet[:, 300].argmax())
    assert abs(loud[band, 300] - quiet[band, 300] - 20) < TOLERANCE


def test_mel_filters_are_librosas():
    import librosa

    np.testing.assert_allclose(mel_filters(), librosa.filters.mel(sr=SAMPLE_RATE, n_fft=2048), atol=1e-8)


def test_the_front_end_never_imports_librosa():
    code = "import sys, numpy; from mtag.features import log_mel; log_mel(numpy.zeros((1, 465600), 'f4'))"
    code += "; sys.exit('librosa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
