"""Training batches: windows put together from the pool's pieces, the same for the same seed and step.

Every batch is a pure function of (seed, step), so that a resumed run continues as if it had never stopped. Half of
the windows are those of one track, begun at some piece; the others are spliced from two or three. Their labels are
the means of their pieces' scores: just what the teacher says of what the student hears.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtag.constants import N_FRAMES, N_MELS, WINDOW_SAMPLES
from mtag.corpus import Indices
from mtag.training.cache import FULL_SCALE, Windows
from mtag.training.pool import FIRST_FRAMES, N_PIECES, PIECE_SAMPLES, Pool

N_RUNS_SHARES = (0.5, 0.3, 0.2)  # of windows made of one, two and three tracks
MASK_BANDS = 8  # mel bands at most that a frequency mask hides; every second window has one


@dataclass(frozen=True)
class Normalisation:
    """Constants of the training set, kept inside each exported graph: (x - mean) / std."""

    mean: float
    std: float

    def apply(self, inputs: Tensor) -> Tensor:
        """Normalise, in the inputs' shape."""
        return (inputs - self.mean) / self.std


@dataclass(frozen=True)
class Draw:
    """The random decisions of one batch of size b."""

    rows: Indices  # (b, N_PIECES): where in the pool each piece comes from ...
    pieces: Indices  # (b, N_PIECES): ... and which one it is there
    masks: NDArray[np.int64]  # (b, 2): first masked mel band and their number


def draw(pool: Pool, batch_size: int, seed: int, step: int) -> Draw:
    """Decide one batch; every window comes once an epoch, in some version, as the first track of a splice."""
    rng = np.random.default_rng([seed, step])
    n_versions = len(pool.scores) // pool.n_windows
    firsts = _epoch_order(pool.n_windows, batch_size, seed, step)
    rows = np.empty((batch_size, N_PIECES), np.int64)
    pieces = np.empty_like(rows)
    for i, first in enumerate(firsts):
        n_runs = 1 + rng.choice(len(N_RUNS_SHARES), p=N_RUNS_SHARES)
        borders = [0, *np.sort(rng.choice(np.arange(1, N_PIECES), n_runs - 1, replace=False)), N_PIECES]
        windows = [first, *rng.integers(pool.n_windows, size=n_runs - 1)]
        for window, start, stop in zip(windows, borders, borders[1:], strict=False):
            rows[i, start:stop] = window + pool.n_windows * rng.integers(n_versions)
            pieces[i, start:stop] = (rng.integers(N_PIECES) + np.arange(stop - start)) % N_PIECES
    n_masked = rng.integers(0, MASK_BANDS + 1, batch_size) * rng.integers(0, 2, batch_size)
    return Draw(rows, pieces, np.stack([rng.integers(0, N_MELS, batch_size), n_masked], axis=1))


def _epoch_order(n: int, batch_size: int, seed: int, step: int) -> Indices:
    position = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = position // n
    order = {epoch: np.random.default_rng([seed, 1 << 20, epoch]).permutation(n) for epoch in np.unique(epochs)}
    return np.array([order[epoch][p % n] for epoch, p in zip(epochs, position, strict=True)])


def labels_of(pool: Pool, chosen: Draw, n_pieces: int = N_PIECES) -> Tensor:
    """Labels of a batch's first pieces: (b, 50) float32."""
    heard = pool.scores[chosen.rows[:, :n_pieces], chosen.pieces[:, :n_pieces]]
    return torch.from_numpy(heard.mean(axis=1, dtype=np.float32))


class LogMelBatches:
    """Batches for Models 1 and 2: (b, 128, 592) float32, normalised; pieces are spliced frame by frame."""

    def __init__(self, pool: Pool, normalisation: Normalisation) -> None:
        self.pool = pool
        self.normalisation = normalisation

    @classmethod
    def of(cls, pool: Pool) -> LogMelBatches:
        """Batches normalised by the unchanged windows' mean and standard deviation."""
        sample = torch.from_numpy(pool.log_mels[: pool.n_windows]).float()
        return cls(pool, Normalisation(float(sample.mean()), float(sample.std())))

    def training(self, chosen: Draw, _n_pieces: int) -> Tensor:
        """The inputs of one batch."""
        log_mel = torch.empty(len(chosen.rows), N_MELS, N_FRAMES)
        for out, rows, pieces in zip(log_mel, chosen.rows, chosen.pieces, strict=True):
            for i, (row, piece) in enumerate(zip(rows, pieces, strict=True)):
                at = slice(FIRST_FRAMES[i], FIRST_FRAMES[i + 1] if i + 1 < N_PIECES else N_FRAMES)
                out[:, at] = _frames(self.pool.log_mels[row], FIRST_FRAMES[piece], at.stop - at.start)
        log_mel = self.normalisation.apply(log_mel)
        for spectrogram, (band, n_bands) in zip(log_mel, chosen.masks, strict=True):
            spectrogram[band : band + n_bands] = 0
        return log_mel


def _frames(log_mel: NDArray[np.float16], start: int, n: int) -> Tensor:
    """`n` frames from `start` on; past the end it goes on at the beginning."""
    frames = log_mel[:, start : start + n]
    missing = n - frames.shape[1]
    return torch.from_numpy(np.concatenate([frames, log_mel[:, :missing]], axis=1) if missing else frames.copy())


class WaveformBatches:
    """Batches for Model 3: (b, samples) float32, normalised; full windows, or the first few pieces of them."""

    def __init__(self, pool: Pool, normalisation: Normalisation) -> None:
        self.pool = pool
        self.normalisation = normalisation

    @classmethod
    def of(cls, pool: Pool) -> WaveformBatches:
        """Batches divided by the unchanged windows' standard deviation."""
        powers = [np.mean(np.square(row, dtype=np.float32)) for row in pool.waveforms[: pool.n_windows]]
        return cls(pool, Normalisation(0.0, float(np.sqrt(np.mean(powers))) / FULL_SCALE))

    def training(self, chosen: Draw, n_pieces: int) -> Tensor:
        """The inputs of one batch: whole pieces, and where all are heard the window's rest."""
        n_samples = n_pieces * PIECE_SAMPLES if n_pieces < N_PIECES else WINDOW_SAMPLES
        waveform = np.empty((len(chosen.rows), n_samples), np.float32)
        for out, rows, pieces in zip(waveform, chosen.rows, chosen.pieces, strict=True):
            for i, (row, piece) in enumerate(zip(rows[:n_pieces], pieces, strict=False)):
                start, stop = i * PIECE_SAMPLES, (i + 1) * PIECE_SAMPLES if i + 1 < n_pieces else n_samples
                out[start:stop] = _wrapped(self.pool.waveforms[row], piece * PIECE_SAMPLES, stop - start)
        return self.normalisation.apply(torch.from_numpy(waveform) / FULL_SCALE)


def _wrapped(samples: NDArray[np.int16], start: int, n: int) -> NDArray[np.int16]:
    """`n` samples from `start` on; past the end it goes on at the beginning."""
    return np.concatenate([samples[start : start + n], samples[: max(0, start + n - len(samples))]])


def plain_inputs(member: str, windows: Windows, rows: Indices, normalisation: Normalisation) -> Tensor:
    """What a member hears of whole windows of the corpus as they are: (b, 128, 592) or (b, 465600) float32."""
    if member == "model3":
        return normalisation.apply(torch.from_numpy(windows.waveforms[rows].astype(np.float32)) / FULL_SCALE)
    return normalisation.apply(torch.from_numpy(windows.log_mels[rows]).float())
