"""Log-mel spectrograms of whole windows, equal to librosa's to 1e-3 dB and without importing it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mtag.constants import F_MAX, F_MIN, HOP_LENGTH, N_FFT, N_FRAMES, N_MELS, POWER_FLOOR, SAMPLE_RATE, WINDOW_SAMPLES

Float32 = NDArray[np.float32]

N_BINS = 1 + N_FFT // 2
# Both sizes are measured: a chunk stays in a core's cache, and no product is so large that BLAS would start threads.
CHUNK_FRAMES = 37  # frames transformed at a time
BAND_MELS = 8  # neighbouring filters multiplied at a time, so that most of their zeros are left out

if N_FRAMES % CHUNK_FRAMES or N_MELS % BAND_MELS:
    raise ValueError("windows and filters must fall into whole chunks")


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

    Raises
    ------
    ValueError
        Windows of another shape, or of whole numbers: a lone window, a stereo one, 16-bit samples.
    """
    if windows.ndim != 2 or windows.shape[1] != WINDOW_SAMPLES or windows.dtype.kind != "f":
        given = f"{windows.shape} {windows.dtype}"
        raise ValueError(f"windows must be (n, {WINDOW_SAMPLES}) float32 in [-1, 1], 16 kHz mono, not {given}")
    out = np.empty((len(windows), N_MELS, N_FRAMES), np.float32)
    for samples, spectrogram in zip(windows, out, strict=True):
        for first, power in _power_spectrograms(samples):
            mels = spectrogram[:, first : first + CHUNK_FRAMES]
            for band, bins, filters in _banded_filters():
                mels[band] = filters @ power[:, bins].T
        np.maximum(spectrogram, POWER_FLOOR, out=spectrogram)
        np.log10(spectrogram, out=spectrogram)
    out *= 10
    return out


def _power_spectrograms(samples: Float32) -> Iterator[tuple[int, Float32]]:
    """Power of each frame and FFT bin, a chunk at a time: first frame, (37, 1025) float32 that the next one overwrites.

    The transform is one in double precision, as librosa's: in single precision its rounding errors drown the faint
    bands beside a pure tone.
    """
    chunk = np.empty((CHUNK_FRAMES - 1) * HOP_LENGTH + N_FFT)
    frames = np.lib.stride_tricks.sliding_window_view(chunk, N_FFT)[::HOP_LENGTH]
    windowed = np.empty(frames.shape)
    power = np.empty((CHUNK_FRAMES, N_BINS), np.float32)
    for first in range(0, N_FRAMES, CHUNK_FRAMES):
        _copy(samples, first * HOP_LENGTH - N_FFT // 2, chunk)
        np.multiply(frames, _hann(), out=windowed)
        parts = np.fft.rfft(windowed, axis=1).view(np.float64)  # real and imaginary in turn
        np.multiply(parts, parts, out=parts)
        np.add(parts[:, ::2], parts[:, 1::2], out=power, casting="same_kind")
        yield first, power


def _copy(samples: Float32, start: int, chunk: NDArray[np.float64]) -> None:
    """Fill a chunk with the samples from `start` on; before the first and behind the last there are zeros."""
    there = slice(max(0, start), start + chunk.size)
    first, n = there.start - start, len(samples[there])
    chunk[:first] = 0
    chunk[first : first + n] = samples[there]
    chunk[first + n :] = 0


@cache
def _hann() -> NDArray[np.float64]:
    """Periodic Hann window, (2048,) float64."""
    n = np.arange(N_FFT)
    window: NDArray[np.float64] = 0.5 - 0.5 * np.cos(2 * np.pi * n / N_FFT)
    return window


@cache
def _banded_filters() -> tuple[tuple[slice, slice, Float32], ...]:
    """The filters, a few neighbours at a time: which they are, the bins that they cover, and their weights there."""
    blocks = []
    for first in range(0, N_MELS, BAND_MELS):
        band = slice(first, first + BAND_MELS)
        covered = np.flatnonzero(mel_filters()[band].any(axis=0))
        bins = slice(int(covered[0]), int(covered[-1]) + 1)
        blocks.append((band, bins, np.ascontiguousarray(mel_filters()[band, bins])))
    return tuple(blocks)


@cache
def mel_filters() -> Float32:
    """Triangular filters of equal area on Slaney's mel scale: (128, 1025) float32, as `librosa.filters.mel`."""
    bins = np.linspace(0, SAMPLE_RATE / 2, N_BINS)
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
