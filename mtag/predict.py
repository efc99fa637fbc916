"""From windows to scores: log-mel spectrograms, the ensemble, and the mean over a track's windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtag.audio.decode import read_blocks
from mtag.audio.windows import Read, WindowReader, Windows
from mtag.ensemble import Ensemble
from mtag.features import log_mel

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class Prediction:
    """What the ensemble heard in one track."""

    path: Path
    duration: float  # seconds
    taggram: Float32  # (n_windows, 50), in [0, 1]
    tags: tuple[str, ...]  # the taggram's columns

    @property
    def n_windows(self) -> int:
        """Number of windows that were heard; silent ones are left out."""
        return len(self.taggram)

    @property
    def scores(self) -> Float32:
        """Mean over the windows: (50,) float32 in [0, 1]."""
        mean: Float32 = self.taggram.mean(axis=0)
        return mean

    def top(self, n: int) -> list[tuple[str, float]]:
        """The n best tags with their scores, best first."""
        scores = self.scores
        return [(self.tags[i], float(scores[i])) for i in np.argsort(-scores, kind="stable")[:n]]


def predict(windows: Float32, ensemble: Ensemble) -> Float32:
    """Taggram of windows: (n, 465600) float32 in [-1, 1], 16 kHz mono, to (n, 50) float32 in [0, 1].

    Raises
    ------
    ValueError
        As `log_mel`.
    """
    return ensemble.scores(log_mel(windows), windows.astype(np.float32, copy=False))  # the networks take no float64


def predict_file(path: Path | str, ensemble: Ensemble, read: Read = read_blocks) -> Prediction:
    """Hear one file, a few windows at a time.

    Parameters
    ----------
    path
        The file.
    ensemble
        What to hear with.
    read
        Gives the file's samples. By default it is decoded in this process, which a hostile file may kill;
        `Decoders.read_blocks` of `mtag.audio.decoders` decodes in another.

    Raises
    ------
    FileError
        The file cannot be decoded, or is too short or silent.
    """
    return predict_windows(WindowReader(Path(path), read), ensemble)


def predict_windows(windows: Windows, ensemble: Ensemble) -> Prediction:
    """Hear the windows of one file, a few at a time.

    Raises
    ------
    FileError
        What the windows raise.
    """
    taggram = np.concatenate([predict(batch, ensemble) for batch in _batches(windows, ensemble.batch_size)])
    return Prediction(windows.path, windows.duration, taggram, ensemble.tags)


def _batches(windows: Iterable[Float32], size: int) -> Iterator[Float32]:
    stream = iter(windows)
    while batch := list(islice(stream, size)):
        yield np.stack(batch)
