"""Windows made different before the teacher hears them, so that its labels belong to what the student hears."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mtag.constants import SAMPLE_RATE, WINDOW_SAMPLES

Float32 = NDArray[np.float32]

SPEED = (0.92, 1.09)  # factor on the tempo; the pitch goes with it
MIX_SHARE = 0.5  # part of the windows that get a second one mixed in ...
MIX_DB = (-12.0, 0.0)  # ... at this level relative to the first
TILT_SHARE = 0.5
TILT_DB = 2.0  # an octave at most, up or down around 1 kHz; never more than 9 dB in all
BAND_SHARE = 0.2
BAND_HZ = (3_500.0, 7_500.0)  # from where on a band-limited window falls by 48 dB an octave
NOISE_SHARE = 0.2
NOISE_DB = (-50.0, -30.0)  # white noise relative to the window
GAIN_DB = (-9.0, 3.0)


def augment(window: Float32, other: Float32, rng: np.random.Generator) -> Float32:
    """Change speed, place in time, tone, level and company of a window.

    Parameters
    ----------
    window, other
        (465600,) float32 in [-1, 1], 16 kHz mono; `other` may be mixed in.
    rng
        Decides everything.

    Returns
    -------
    (465600,) float32 in [-1, 1].
    """
    mixed = _moved(window, rng)
    if rng.random() < MIX_SHARE:
        mixed = mixed + _moved(other, rng) * _relative(mixed, other, rng.uniform(*MIX_DB))
    mixed = _coloured(mixed, rng)
    if rng.random() < NOISE_SHARE:
        noise = rng.standard_normal(WINDOW_SAMPLES).astype(np.float32)
        mixed = mixed + noise * _relative(mixed, noise, rng.uniform(*NOISE_DB))
    mixed = mixed * np.float32(10 ** (rng.uniform(*GAIN_DB) / 20))
    scaled: Float32 = (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)
    return scaled


def _moved(window: Float32, rng: np.random.Generator) -> Float32:
    """Another speed and a circular shift; a window that gets shorter begins anew at its end."""
    import soxr

    played = soxr.resample(window, SAMPLE_RATE * rng.uniform(*SPEED), SAMPLE_RATE, quality="MQ")
    return np.resize(np.roll(played, int(rng.integers(len(played)))), WINDOW_SAMPLES)


def _coloured(window: Float32, rng: np.random.Generator) -> Float32:
    """A tilted spectrum, and sometimes no treble."""
    from scipy import fft

    octaves = np.log2(np.maximum(fft.rfftfreq(WINDOW_SAMPLES, 1 / SAMPLE_RATE), 20.0) / 1_000)
    gain_db = np.zeros_like(octaves)
    if rng.random() < TILT_SHARE:
        gain_db += np.clip(rng.uniform(-TILT_DB, TILT_DB) * octaves, -9, 9)
    if rng.random() < BAND_SHARE:
        gain_db -= 48 * np.maximum(0, octaves - np.log2(rng.uniform(*BAND_HZ) / 1_000))
    if not gain_db.any():
        return window
    gain = (10 ** (gain_db / 20)).astype(np.float32)
    return fft.irfft(fft.rfft(window) * gain, WINDOW_SAMPLES).astype(np.float32)


def _relative(window: Float32, other: Float32, level_db: float) -> np.float32:
    """The factor that brings another window to a level relative to a first one's."""
    power, other_power = (float(np.mean(np.square(w))) for w in (window, other))
    return np.float32(np.sqrt(power / max(other_power, 1e-10)) * 10 ** (level_db / 20))
