"""A pool of pieces that a teacher has heard, from which training windows are put together.

Musicnn's score of a window is the mean over its nine consecutive pieces of three seconds. So a window spliced from
pieces of several tracks has an exact label, the mean of theirs, and costs the teacher nothing: the pool is heard once.
Each training window lies in it as it is and in several augmented versions. Without a teacher every piece has its
window's own label.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtag.constants import HOP_LENGTH, N_FRAMES, N_MELS, N_TAGS, WINDOW_SAMPLES
from mtag.corpus import Corpus, Indices
from mtag.training.augment import augment
from mtag.training.cache import FULL_SCALE, Windows
from mtag.training.spectrogram import LogMel
from mtag.training.teachers import Musicnn

PIECE_SAMPLES = Musicnn.piece_samples
N_PIECES = WINDOW_SAMPLES // PIECE_SAMPLES  # whole pieces in a window; the teacher hears no others
# First frame of each piece, and of the rest behind the last whole one.
FIRST_FRAMES = np.rint(np.arange(N_PIECES + 1) * PIECE_SAMPLES / HOP_LENGTH).astype(int)
CHUNK = 8  # windows labelled at a time
ORIGIN = "origin.txt"  # in a pool's folder: what it was made of

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True)
class Pool:
    """Training windows in all their versions, and a score for every piece."""

    waveforms: NDArray[np.int16]  # (n, 465600), `FULL_SCALE` is 1.0
    log_mels: NDArray[np.float16]  # (n, 592, 128), dB
    scores: NDArray[np.float16]  # (n, N_PIECES, 50)
    n_windows: int  # windows of the corpus; rows i, i + n_windows, ... are versions of the same one
    origin: str = ""  # changes with everything that decides what is in it


def load_pool(
    corpus: Corpus,
    windows: Windows,
    train: Indices,
    folder: Path,
    *,
    teacher: Musicnn | None,
    n_versions: int,
    seed: int,
    device: torch.device,
    report: Callable[[int, int], None],
) -> Pool:
    """Make the pool of some of a corpus's windows in `folder`, or go on with what lies there from the same call.

    Parameters
    ----------
    corpus, windows, train
        The corpus, its decoded windows, and the rows to take.
    folder
        Where the arrays go; 1.1 MB a window and version.
    teacher
        Hears every version, on `device`; None leaves only the windows as they are, with their own labels.
    n_versions
        Versions of each window, the unchanged one among them.
    seed
        Decides the augmentation of each version.
    device
        Where the versions are made.
    report
        Called with the number of rows done and of all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n_rows = len(train) * (n_versions if teacher else 1)
    progress, origin = folder / "rows.txt", _origin(corpus, train, teacher, n_versions, seed)
    if not _is_from(folder, origin):
        progress.unlink(missing_ok=True)
        (folder / ORIGIN).write_text(origin)
    pool = Pool(
        _mapped(folder / "waveforms.npy", (n_rows, WINDOW_SAMPLES), np.int16),
        _mapped(folder / "log_mels.npy", (n_rows, N_FRAMES, N_MELS), np.float16),
        _mapped(folder / "scores.npy", (n_rows, N_PIECES, N_TAGS), np.float16),
        len(train),
        origin,
    )
    log_mel = LogMel().to(device)
    done = int(progress.read_text()) if progress.is_file() else 0
    while done < n_rows:
        rows = np.arange(done, min(done + CHUNK, n_rows))
        samples = torch.stack([_version(row, windows, train, seed, device) for row in rows.tolist()])
        pool.waveforms[rows] = (samples.clamp(-1, 1) * FULL_SCALE).round().short().cpu().numpy()
        pool.log_mels[rows] = log_mel(samples).transpose(1, 2).half().cpu().numpy()
        pool.scores[rows] = _labels(samples, teacher) if teacher else corpus.labels[train[rows], None]
        done = int(rows[-1]) + 1
        _count(done, progress)  # last: rows that are not counted are made again
        report(done, n_rows)
    return pool


def _origin(corpus: Corpus, rows: Indices, teacher: Musicnn | None, n_versions: int, seed: int) -> str:
    digest = hashlib.sha256(repr([corpus.files, rows.tolist(), n_versions, seed]).encode())
    for array in teacher.state_dict().values() if teacher else [torch.from_numpy(corpus.labels)]:
        digest.update(array.cpu().numpy().tobytes())
    return digest.hexdigest()


def _count(done: int, progress: Path) -> None:
    """Keep how many rows are done; a full disk or a kill leaves the count before."""
    part = progress.with_suffix(".part")
    part.write_text(str(done))
    os.replace(part, progress)


def _is_from(folder: Path, origin: str) -> bool:
    return (folder / ORIGIN).is_file() and (folder / ORIGIN).read_text() == origin


def _mapped(path: Path, shape: tuple[int, ...], kind: type[Number]) -> NDArray[Number]:
    if path.is_file():
        found: NDArray[Number] = np.load(path, mmap_mode="r+")
        if found.shape == shape:
            return found
    return np.lib.format.open_memmap(path, "w+", kind, shape)


def _version(row: int, windows: Windows, train: Indices, seed: int, device: torch.device) -> Tensor:
    """One row's waveform, (465600,) float32 on the device: a window as it is, or made different."""
    version, i = divmod(row, len(train))
    rng = np.random.default_rng([seed, version, i])

    def load(k: int) -> Tensor:
        return torch.from_numpy(windows.waveforms[train[k]].astype(np.int16)).to(device).float() / FULL_SCALE

    return augment(load(i), load(int(rng.integers(len(train)))), rng) if version else load(i)


def _labels(samples: Tensor, teacher: Musicnn) -> NDArray[np.float32]:
    """The teacher's score of each piece: (n, 465600) to (n, N_PIECES, 50)."""
    pieces = samples[:, : N_PIECES * PIECE_SAMPLES].reshape(-1, PIECE_SAMPLES)
    with torch.inference_mode():
        scores = teacher(pieces)
    labels: NDArray[np.float32] = scores.cpu().numpy().reshape(len(samples), N_PIECES, N_TAGS)
    return labels
