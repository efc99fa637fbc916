"""Training batches: windows put together from the pool's pieces, the same for the same seed and step.

Every batch is a pure function of (seed, step), so that a resumed run continues as if it had never stopped. Half of
the windows are those of one track, begun at some piece; the others are spliced from two or three. Their labels are
the means of their pieces' scores: just what the teacher says of what the student hears.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtag.constants import N_MELS, WINDOW_SAMPLES
from mtag.corpus import Indices
from mtag.training.cache import FULL_SCALE, Windows
from mtag.training.pool import FIRST_FRAMES, N_PIECES, PIECE_SAMPLES, Pool

N_RUNS_SHARES = (0.5, 0.3, 0.2)  # of windows made of one, two and three tracks
MAX_RUNS = len(N_RUNS_SHARES)
MASK_BANDS = 8  # mel bands at most that a frequency mask hides; every second window has one
BLOCK_SAMPLES = math.gcd(PIECE_SAMPLES, WINDOW_SAMPLES)  # a piece and a window are whole numbers of blocks: 0.3 s
ROOM = 20 << 30  # bytes of a GPU that a pool leaves free: 16 GB were in use for Model 3's batches of whole windows
CPU = torch.device("cpu")


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
    n_runs = 1 + rng.choice(len(N_RUNS_SHARES), batch_size, p=N_RUNS_SHARES)
    borders = 1 + rng.permuted(np.tile(np.arange(N_PIECES - 1), (batch_size, 1)), axis=1)[:, : MAX_RUNS - 1]
    borders[np.arange(1, MAX_RUNS) >= n_runs[:, None]] = N_PIECES
    borders.sort(axis=1)
    firsts = _epoch_order(pool.n_windows, batch_size, seed, step)[:, None]
    tracks = np.concatenate([firsts, rng.integers(pool.n_windows, size=(batch_size, MAX_RUNS - 1))], axis=1)
    tracks += pool.n_windows * rng.integers(n_versions, size=tracks.shape)
    begins = np.pad(borders, ((0, 0), (1, 0)))
    shifts = rng.integers(N_PIECES, size=tracks.shape) - begins
    places = np.arange(N_PIECES)
    run = (places[:, None] >= borders[:, None, :]).sum(axis=2)  # which track each piece is from
    pieces = (np.take_along_axis(shifts, run, axis=1) + places) % N_PIECES
    n_masked = rng.integers(0, MASK_BANDS + 1, batch_size) * rng.integers(0, 2, batch_size)
    masks = np.stack([rng.integers(0, N_MELS, batch_size), n_masked], axis=1)
    return Draw(np.take_along_axis(tracks, run, axis=1), pieces, masks)


def _epoch_order(n: int, batch_size: int, seed: int, step: int) -> Indices:
    position = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = position // n
    order = {epoch: np.random.default_rng([seed, 1 << 20, epoch]).permutation(n) for epoch in np.unique(epochs)}
    return np.array([order[epoch][p % n] for epoch, p in zip(epochs, position, strict=True)])


class Batches(ABC):
    """Batches of one kind of input, put together from a pool on the device that the networks learn on.

    A piece is a number of units that are moved whole: frames of a spectrogram, or blocks of samples.
    """

    firsts: ClassVar[Indices]  # (N_PIECES,): first unit of each piece; behind the last whole one there is a rest
    units: Tensor  # (n, units of a window, values of a unit), the pool's rows

    def __init__(self, pool: Pool, units: Tensor, normalisation: Normalisation, device: torch.device) -> None:
        self.normalisation = normalisation
        self.units = _near(units, device)
        self.scores = _near(torch.from_numpy(pool.scores), device)
        self.device = device

    @abstractmethod
    def training(self, chosen: Draw, n_pieces: int) -> Tensor:
        """The inputs of one batch: the first pieces, and where all are heard the window's rest."""

    def labels(self, chosen: Draw, n_pieces: int = N_PIECES) -> Tensor:
        """Labels of a batch's first pieces: (b, 50) float32."""
        heard = chosen.rows[:, :n_pieces] * N_PIECES + chosen.pieces[:, :n_pieces]
        return self._take(self.scores, heard).float().mean(dim=1)

    def _spliced(self, chosen: Draw, n_pieces: int) -> Tensor:
        """Units one behind another, (b, units, values); past a window's end they go on at its beginning."""
        length = self.units.shape[1]
        unit = np.arange(self.firsts[n_pieces] if n_pieces < N_PIECES else length)
        place = np.searchsorted(self.firsts, unit, side="right") - 1
        source = (self.firsts[chosen.pieces[:, place]] + unit - self.firsts[place]) % length
        return self._take(self.units, chosen.rows[:, place] * length + source)

    def _take(self, source: Tensor, index: Indices) -> Tensor:
        """Rows of the first two axes counted as one, on the networks' device."""
        return _send(source.flatten(0, 1)[_send(torch.from_numpy(index), source.device)], self.device)


class LogMelBatches(Batches):
    """Batches for Models 1 and 2: (b, 128, 592) float32, normalised; always whole windows."""

    firsts = FIRST_FRAMES[:N_PIECES]

    def __init__(self, pool: Pool, normalisation: Normalisation, device: torch.device = CPU) -> None:
        super().__init__(pool, torch.from_numpy(pool.log_mels), normalisation, device)

    @classmethod
    def of(cls, pool: Pool, device: torch.device = CPU) -> LogMelBatches:
        """Batches normalised by the unchanged windows' mean and standard deviation."""
        sample = torch.from_numpy(pool.log_mels[: pool.n_windows]).float()
        return cls(pool, Normalisation(float(sample.mean()), float(sample.std())), device)

    def training(self, chosen: Draw, _n_pieces: int) -> Tensor:
        """The inputs of one batch, some mel bands of some windows hidden."""
        log_mel = self.normalisation.apply(self._spliced(chosen, N_PIECES).float().transpose(1, 2))
        first, n_masked = (column[:, None] for column in chosen.masks.T)
        band = np.arange(N_MELS)
        hidden = (band >= first) & (band < first + n_masked)
        return log_mel.masked_fill(_send(torch.from_numpy(hidden), self.device)[:, :, None], 0).contiguous()


class WaveformBatches(Batches):
    """Batches for Model 3: (b, samples) float32, normalised; whole windows, or the first few pieces of them."""

    firsts = np.arange(N_PIECES) * (PIECE_SAMPLES // BLOCK_SAMPLES)

    def __init__(self, pool: Pool, normalisation: Normalisation, device: torch.device = CPU) -> None:
        blocks = torch.from_numpy(pool.waveforms).view(len(pool.waveforms), -1, BLOCK_SAMPLES)
        super().__init__(pool, blocks, normalisation, device)

    @classmethod
    def of(cls, pool: Pool, device: torch.device = CPU) -> WaveformBatches:
        """Batches divided by the unchanged windows' standard deviation."""
        powers = [np.mean(np.square(row, dtype=np.float32)) for row in pool.waveforms[: pool.n_windows]]
        return cls(pool, Normalisation(0.0, float(np.sqrt(np.mean(powers))) / FULL_SCALE), device)

    def training(self, chosen: Draw, n_pieces: int) -> Tensor:
        """The inputs of one batch."""
        return self.normalisation.apply(self._spliced(chosen, n_pieces).flatten(1).float() / FULL_SCALE)


def _near(values: Tensor, device: torch.device) -> Tensor:
    """Values on the device where they leave room for the networks there; else where they are, mapped from disk."""
    if device.type == "cuda" and values.nbytes + ROOM > torch.cuda.mem_get_info(device)[0]:
        return values
    return values.to(device)


def _send(values: Tensor, device: torch.device) -> Tensor:
    """Values on the device; a GPU goes on with its work meanwhile."""
    if device.type == "cuda" and values.device.type == "cpu":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def plain_inputs(member: str, windows: Windows, rows: Indices, normalisation: Normalisation) -> Tensor:
    """What a member hears of whole windows of the corpus as they are: (b, 128, 592) or (b, 465600) float32."""
    if member == "model3":
        return normalisation.apply(torch.from_numpy(windows.waveforms[rows].astype(np.float32)) / FULL_SCALE)
    return normalisation.apply(torch.from_numpy(windows.log_mels[rows]).float().transpose(1, 2).contiguous())
