"""A track's samples, cut into the windows that the networks listen to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from mtag.audio.decode import read_blocks
from mtag.audio.mix import Waveform
from mtag.audio.spread import Stretch, read_spread
from mtag.constants import MIN_REST_SAMPLES, MIN_TRACK_SECONDS, SAMPLE_RATE, SILENCE_DBFS, WINDOW_SAMPLES
from mtag.errors import FailureKind, FileError

Read = Callable[[Path], Iterable[Waveform]]
Spread = Callable[[Path, int], Iterable[Stretch]]


def slice_windows(blocks: Iterable[Waveform]) -> Iterator[Waveform]:
    """Cut a stream of samples into consecutive windows, (465600,) float32 each.

    A rest of at least a quarter window gives one more window, anchored at the stream's end; a stream shorter than
    a window is repeated to fill one.
    """
    window = np.empty(WINDOW_SAMPLES, np.float32)
    previous = None
    filled = 0
    for block in blocks:
        while block.size:
            n = min(block.size, WINDOW_SAMPLES - filled)
            window[filled : filled + n] = block[:n]
            block = block[n:]
            filled += n
            if filled == WINDOW_SAMPLES:
                yield window
                previous, window, filled = window, np.empty(WINDOW_SAMPLES, np.float32), 0
    if previous is None and filled:
        yield np.resize(window[:filled], WINDOW_SAMPLES)
    elif previous is not None and filled >= MIN_REST_SAMPLES:
        yield np.concatenate([previous[filled:], window[:filled]])


class Windows(Protocol):
    """The windows of one file that are worth listening to: iterate over it once."""

    path: Path
    duration: float  # seconds; the track's whole length once the iteration has ended

    def __iter__(self) -> Iterator[Waveform]:
        """Yield (465600,) float32 windows of 16 kHz mono."""
        ...


class WindowReader:
    """All windows of one file that are worth listening to: iterate over it once.

    Yields (465600,) float32 windows of 16 kHz mono; those quieter than -60 dBFS (RMS) are left out.

    Parameters
    ----------
    path
        The file.
    read
        Gives its samples; by default they are decoded in this process.

    Attributes
    ----------
    path
        The file.
    duration
        Seconds of audio decoded so far; the track's length once the iteration has ended.
    """

    def __init__(self, path: Path, read: Read = read_blocks) -> None:
        self.path = path
        self._read = read
        self.duration = 0.0

    def __iter__(self) -> Iterator[Waveform]:
        """Decode the file and yield its windows.

        Raises
        ------
        FileError
            unsupported, decode, permission; too-short (under 1 s); silent (no window is loud enough).
        """
        silent = True
        for window in slice_windows(self._timed_blocks()):
            if self.duration >= MIN_TRACK_SECONDS and level(window) >= SILENCE_DBFS:
                silent = False
                yield window
        if self.duration < MIN_TRACK_SECONDS:
            rounded_down = int(self.duration * 100) / 100
            reason = f"lasts {rounded_down:g} s; {MIN_TRACK_SECONDS:g} s is the shortest that can be judged"
            raise FileError(self.path, FailureKind.TOO_SHORT, reason)
        if silent:
            raise FileError(self.path, FailureKind.SILENT, f"is silent: nothing in it reaches {SILENCE_DBFS:g} dBFS")

    def _timed_blocks(self) -> Iterator[Waveform]:
        n_samples = 0
        for block in self._read(self.path):
            n_samples += block.size
            self.duration = n_samples / SAMPLE_RATE
            yield block


class SpreadReader:
    """A few windows of one file, spread over it: iterate over it once.

    Yields and raises as `WindowReader`, and takes its place where a file cannot be sought in, is hardly longer than the
    windows together, or is silent in all of them.

    Parameters
    ----------
    path
        The file.
    n_windows
        How many, those that are silent included.
    spread
        Gives the windows; by default they are decoded in this process.
    read
        Gives all samples of the file.

    Attributes
    ----------
    path
        The file.
    duration
        The track's length in seconds as the container tells it, or as decoded where all of it was.
    """

    def __init__(self, path: Path, n_windows: int, spread: Spread = read_spread, read: Read = read_blocks) -> None:
        self.path = path
        self.duration = 0.0
        self._n_windows = n_windows
        self._spread = spread
        self._read = read

    def __iter__(self) -> Iterator[Waveform]:
        """Decode the windows and yield them."""
        silent = True
        for window, seconds in self._spread(self.path, self._n_windows):
            self.duration = seconds
            if level(window) >= SILENCE_DBFS:
                silent = False
                yield window
        if silent:
            whole = WindowReader(self.path, self._read)
            yield from whole
            self.duration = whole.duration


def level(samples: Waveform) -> float:
    """RMS level of samples, (n,) float32, in dB relative to full scale; digital silence gives -inf."""
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(np.dot(samples, samples) / samples.size))
