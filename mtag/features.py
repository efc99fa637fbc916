"""Log-mel spectrograms of whole windows, equal to librosa's to 1e-3 dB and without importing it."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from mtag.constants import F_MAX, F_MIN, HOP_LENGTH, N_FFT, N_FRAMES, N_MELS, POWER_FLOOR, SAMPLE_RATE

Float32 = NDArray[np.float32]


def log_mel(windows: Float32) -> Float32:
    """Log-mel spectrograms of windows.

    Parameters
    ----------
    windows
        (n, 465600) float32 in [-1, 1], 16 kHz mono.

    Returns
    -------
    (n, 128, 592) float32, dB relative to a power of 1; silence reads -100 dB. Equal to
    `10 * log10(maximum(librosa.feature.melspectrogram(y, ...), 1e-10))` with librosa's defaults
    (Hann, centred and zero-padded, power 2, Slaney mel scale and norm).
    """
    out = np.empty((len(windows), N_MELS, N_FRAMES), np.float32)
    for samples, spectrogram in zip(windows, out, strict=True):
        power = mel_filters() @ power_spectrogram(samples)
        np.maximum(power, POWER_FLOOR, out=power)
        np.log10(power, out=spectrogram)
    out *= 10
    return out


def power_spectrogram(samples: Float32) -> Float32:
    """Power of each FFT bin and frame: (465600,) float32 to (1025, 592) float32."""
    from scipy import fft

    padded = np.pad(samples, N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_LENGTH]
    spectrum = fft.rfft(frames * _hann(), axis=1)
    power: Float32 = (spectrum.real**2 + spectrum.imag**2).T.astype(np.float32)
    return power


@cache
def _hann() -> NDArray[np.float64]:
    """Periodic Hann window, (2048,) float64: it makes the transform one in double precision, as librosa's."""
    n = np.arange(N_FFT)
    window: NDArray[np.float64] = 0.5 - 0.5 * np.cos(2 * np.pi * n / N_FFT)
    return window


@cache
def mel_filters() -> Float32:
    """Triangular filters of equal area on Slaney's mel scale: (128, 1025) float32, as `librosa.filters.mel`."""
    bins = np.linspace(0, SAMPLE_RATE / 2, 1 + N_FFT // 2)
    edges = _mel_to_hz(np.linspace(_hz_to_mel(F_MIN), _hz_to_mel(F_MAX), N_MELS + 2))
    widths = np.diff(edges)
    distances = edges[:, None] - bins
    rising = -distances[:-2] / widths[:-1, None]
    falling = distances[2:] / widths[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    areas = 2 / (edges[2:] - edges[:-2])
    return (triangles * areas[:, None]).astype(np.float32)


# Slaney's Auditory Toolbox: linear below 1 kHz, logarithmic above.
_HZ_PER_MEL = 200 / 3
_BREAK_HZ = 1_000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27


def _hz_to_mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _HZ_PER_MEL
    return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)


def _mel_to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = mels * _HZ_PER_MEL
    logarithmic = _BREAK_HZ * np.exp(_LOG_STEP * (mels - _BREAK_MEL))
    return np.where(mels < _BREAK_MEL, linear, logarithmic)
