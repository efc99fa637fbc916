"""Training batches: windows drawn, augmented and mixed, the same for the same seed and step.

Every batch is a pure function of (seed, step), so that a resumed run continues as if it had never stopped.
Augmentation: circular time shift, gain, mixing of two windows with interpolated labels, frequency masks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtag.constants import N_FRAMES, N_MELS, POWER_FLOOR, WINDOW_SAMPLES
from mtag.corpus import Indices
from mtag.training.cache import FULL_SCALE, Windows

GAIN_DB = 6.0  # gains are drawn from -6 to +6 dB
MIX_ALPHA = 0.4  # shares of two mixed windows are Beta(0.4, 0.4): mostly one of them
DB_PER_NEPER = 10 / math.log(10)  # decibels of a power ratio of e
MASK_BANDS = 8  # mel bands at most that one frequency mask hides


@dataclass(frozen=True)
class Normalisation:
    """Constants of the training set, kept inside each exported graph: (x - mean) / std."""

    mean: float
    std: float


@dataclass(frozen=True)
class Draw:
    """The random decisions of one batch of size b."""

    rows: Indices  # (2, b): windows to mix
    share: Tensor  # (b, 1) float32: share of the first in power and in labels
    gain: Tensor  # (b, 1) float32: factor on the power
    shift: NDArray[np.float64]  # (2, b): circular shifts as parts of a window
    masks: NDArray[np.int64]  # (b, 2): first masked mel band and their number


def draw(rows: Indices, batch_size: int, seed: int, step: int) -> Draw:
    """Decide one batch; every window comes once an epoch as the first of a mix."""
    rng = np.random.default_rng([seed, step])
    return Draw(
        rows=np.stack([_epoch_rows(rows, batch_size, seed, step), rng.choice(rows, batch_size)]),
        share=_column(rng.beta(MIX_ALPHA, MIX_ALPHA, batch_size)),
        gain=_column(10 ** (rng.uniform(-GAIN_DB, GAIN_DB, batch_size) / 10)),
        shift=rng.random((2, batch_size)),
        masks=np.stack([rng.integers(0, N_MELS, batch_size), rng.integers(0, MASK_BANDS + 1, batch_size)], axis=1),
    )


def _epoch_rows(rows: Indices, batch_size: int, seed: int, step: int) -> Indices:
    position = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = position // len(rows)
    order = {epoch: np.random.default_rng([seed, 1 << 20, epoch]).permutation(rows) for epoch in np.unique(epochs)}
    return np.array([order[epoch][p % len(rows)] for epoch, p in zip(epochs, position, strict=True)])


def _column(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)[:, None])


def mixed_labels(labels: NDArray[np.float32], chosen: Draw) -> Tensor:
    """Labels of a batch's mixes, interpolated: (b, 50) float32."""
    first, second = torch.from_numpy(labels[chosen.rows])
    mixed: Tensor = chosen.share * first + (1 - chosen.share) * second
    return mixed


class LogMelBatches:
    """Batches for Models 1 and 2: (b, 128, 592) float32, normalised."""

    def __init__(self, windows: Windows, normalisation: Normalisation) -> None:
        self.log_mels = windows.log_mels
        self.normalisation = normalisation

    @classmethod
    def of(cls, windows: Windows, train: Indices) -> LogMelBatches:
        """Batches normalised by the training windows' mean and standard deviation."""
        sample = torch.from_numpy(windows.log_mels[train]).float()
        return cls(windows, Normalisation(float(sample.mean()), float(sample.std())))

    def training(self, chosen: Draw, _crop_samples: int) -> Tensor:
        """The augmented inputs of one batch; spectrograms are mixed in power."""
        share = chosen.share[:, :, None]
        first, second = (self._shifted_power(chosen.rows[i], chosen.shift[i]) for i in range(2))
        power = chosen.gain[:, :, None] * (share * first + (1 - share) * second)
        log_mel = self._normalise(power.clamp_(min=POWER_FLOOR).log_().mul_(DB_PER_NEPER))
        for spectrogram, (band, n_bands) in zip(log_mel, chosen.masks, strict=True):
            spectrogram[band : band + n_bands] = 0
        return log_mel

    def plain(self, rows: Indices) -> Tensor:
        """Windows as they are, normalised: what validation hears."""
        return self._normalise(torch.from_numpy(self.log_mels[rows]).float())

    def _shifted_power(self, rows: Indices, shift: NDArray[np.float64]) -> Tensor:
        frames = (shift * N_FRAMES).astype(int)
        shifted = [np.roll(self.log_mels[row], n, axis=1) for row, n in zip(rows, frames, strict=True)]
        # exp and log have vector instructions where pow and log10 have none: half the time.
        return torch.from_numpy(np.stack(shifted)).float().div_(DB_PER_NEPER).exp_()

    def _normalise(self, log_mel: Tensor) -> Tensor:
        return (log_mel - self.normalisation.mean) / self.normalisation.std


class WaveformBatches:
    """Batches for Model 3: (b, samples) float32, normalised; full windows or crops of them."""

    def __init__(self, windows: Windows, normalisation: Normalisation) -> None:
        self.waveforms = windows.waveforms
        self.normalisation = normalisation

    @classmethod
    def of(cls, windows: Windows, train: Indices) -> WaveformBatches:
        """Batches divided by the training windows' standard deviation."""
        powers = [np.mean(np.square(windows.waveforms[row], dtype=np.float32)) for row in train]
        return cls(windows, Normalisation(0.0, float(np.sqrt(np.mean(powers))) / FULL_SCALE))

    def training(self, chosen: Draw, crop_samples: int) -> Tensor:
        """The augmented inputs of one batch; a crop's place is its window's circular shift."""
        first, second = (self._cropped(chosen.rows[i], chosen.shift[i], crop_samples) for i in range(2))
        mix = chosen.share.sqrt() * first + (1 - chosen.share).sqrt() * second
        return self._normalise(chosen.gain.sqrt() * mix)

    def plain(self, rows: Indices) -> Tensor:
        """Whole windows as they are, normalised."""
        return self._normalise(torch.from_numpy(self.waveforms[rows].astype(np.float32)) / FULL_SCALE)

    def _cropped(self, rows: Indices, shift: NDArray[np.float64], n: int) -> Tensor:
        starts = (shift * WINDOW_SAMPLES).astype(int)
        crops = [_wrapped(self.waveforms[row], start, n) for row, start in zip(rows, starts, strict=True)]
        return torch.from_numpy(np.stack(crops).astype(np.float32)) / FULL_SCALE

    def _normalise(self, waveform: Tensor) -> Tensor:
        return waveform / self.normalisation.std


def _wrapped(samples: NDArray[np.int16], start: int, n: int) -> NDArray[np.int16]:
    """`n` samples from `start` on; past the end it goes on at the beginning."""
    return np.concatenate([samples[start : start + n], samples[: max(0, start + n - len(samples))]])
