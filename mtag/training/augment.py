"""Windows made different before the teacher hears them, so that its labels belong to what the student hears."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mtag.constants import SAMPLE_RATE, WINDOW_SAMPLES

SPEED = (0.92, 1.09)  # factor on the tempo; the pitch goes with it
GRAIN_SAMPLES = 1_200  # lengths are multiples of this, so that their Fourier transforms are fast ones
MIX_SHARE = 0.5  # part of the windows that get a second one mixed in ...
MIX_DB = (-12.0, 0.0)  # ... at this level relative to the first
TILT_SHARE = 0.5
TILT_DB = 2.0  # an octave at most, up or down around 1 kHz; never more than 9 dB in all
BAND_SHARE = 0.2
BAND_HZ = (3_500.0, 7_500.0)  # from where on a band-limited window falls by 48 dB an octave
NOISE_SHARE = 0.2
NOISE_DB = (-50.0, -30.0)  # white noise relative to the window
GAIN_DB = (-9.0, 3.0)


def augment(window: Tensor, other: Tensor, rng: np.random.Generator) -> Tensor:
    """Change speed, place in time, tone, level and company of a window.

    Parameters
    ----------
    window, other
        (465600,) float32 in [-1, 1], 16 kHz mono, on any device; `other` may be mixed in.
    rng
        Decides everything.

    Returns
    -------
    (465600,) float32 in [-1, 1], on the same device.
    """
    mixed = _moved(window, rng)
    if rng.random() < MIX_SHARE:
        mixed = mixed + _moved(other, rng) * _relative(mixed, other, rng.uniform(*MIX_DB))
    mixed = _coloured(mixed, rng)
    if rng.random() < NOISE_SHARE:
        noise = _noise(window.device, rng)
        mixed = mixed + noise * _relative(mixed, noise, rng.uniform(*NOISE_DB))
    mixed = mixed * _factor(rng.uniform(*GAIN_DB))
    return mixed / mixed.abs().max().clamp(min=1)


def _moved(window: Tensor, rng: np.random.Generator) -> Tensor:
    """Another speed and a circular shift; a window that gets shorter begins anew at its end.

    A spectrum of fewer or more bins, transformed back, is the same sound in fewer or more samples.
    """
    n = round(WINDOW_SAMPLES / rng.uniform(*SPEED) / GRAIN_SAMPLES) * GRAIN_SAMPLES
    played = torch.fft.irfft(torch.fft.rfft(window), n) * (n / WINDOW_SAMPLES)
    moved = played.roll(int(rng.integers(n)))
    return torch.cat([moved, moved])[:WINDOW_SAMPLES]


def _coloured(window: Tensor, rng: np.random.Generator) -> Tensor:
    """A tilted spectrum, and sometimes no treble."""
    hz = torch.fft.rfftfreq(WINDOW_SAMPLES, 1 / SAMPLE_RATE, device=window.device)
    octaves = (hz.clamp(min=20) / 1_000).log2()
    gain_db = torch.zeros_like(octaves)
    if rng.random() < TILT_SHARE:
        gain_db += (rng.uniform(-TILT_DB, TILT_DB) * octaves).clamp(-9, 9)
    if rng.random() < BAND_SHARE:
        gain_db -= 48 * (octaves - np.log2(rng.uniform(*BAND_HZ) / 1_000)).clamp(min=0)
    gain = torch.pow(10, gain_db / 20)
    coloured: Tensor = torch.fft.irfft(torch.fft.rfft(window) * gain, WINDOW_SAMPLES)
    return coloured


def _noise(device: torch.device, rng: np.random.Generator) -> Tensor:
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    return torch.randn(WINDOW_SAMPLES, generator=generator, device=device)


def _relative(window: Tensor, other: Tensor, level_db: float) -> Tensor:
    """The factor that brings another window to a level relative to a first one's."""
    power, other_power = window.square().mean(), other.square().mean()
    return torch.sqrt(power / other_power.clamp(min=1e-10)) * _factor(level_db)


def _factor(level_db: float) -> float:
    return float(10 ** (level_db / 20))
