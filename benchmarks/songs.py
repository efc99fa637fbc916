"""Music to measure with: synthesised, or put together from a folder of clips, and encoded on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtag.audio.decode import read_blocks
from mtag.constants import SAMPLE_RATE
from tests.encoding import encode

SR = 44_100  # Hz, what most libraries hold
N_DISTINCT = 6  # songs that are made; of the others, which decode in the same time, each differs in a byte of one frame

Stereo = NDArray[np.float32]  # (2, n) in [-1, 1]


def make_library(folder: Path, n_tracks: int, seconds: float, clips: Path | None = None, suffix: str = ".mp3") -> Path:
    """Fill a folder with so many songs of one length; no two are the same, since copies are not listened to."""
    folder.mkdir(parents=True)
    for number in range(n_tracks):
        path = folder / f"{number:04}{suffix}"
        if number < N_DISTINCT:
            encode(path, song(number, seconds, clips), SR)
        else:
            content = bytearray((folder / f"{number % N_DISTINCT:04}{suffix}").read_bytes())
            content[len(content) // 2] ^= number // N_DISTINCT
            path.write_bytes(content)
    return folder


def make_long_song(path: Path, source: Path, hours: float, seconds: float) -> Path:
    """Repeat an MP3 of some seconds until it lasts for hours: its frames may simply follow each other."""
    content = source.read_bytes()
    with path.open("wb") as file:
        for _ in range(round(hours * 3600 / seconds)):
            file.write(content)
    return path


def song(number: int, seconds: float, clips: Path | None = None) -> Stereo:
    """Give a song in stereo; the same number gives the same song."""
    rng = np.random.default_rng(number)
    mono = _medley(rng, seconds, clips) if clips else _improvisation(rng, seconds)
    side = 0.3 * np.roll(mono, SR // 100)
    hiss = 0.002 * rng.standard_normal((2, mono.size))
    return np.clip(0.7 * np.stack([mono + side, mono - side]) + hiss, -1, 1).astype(np.float32)


def _medley(rng: np.random.Generator, seconds: float, clips: Path) -> NDArray[np.float32]:
    """Clips one after another."""
    import soxr

    files = sorted(path for path in clips.rglob("*") if path.is_file())
    parts: list[NDArray[np.float32]] = []
    while sum(part.size for part in parts) < seconds * SAMPLE_RATE:
        parts.append(np.concatenate(list(read_blocks(files[rng.integers(len(files))]))))
    samples: NDArray[np.float32] = soxr.resample(np.concatenate(parts), SAMPLE_RATE, SR)
    return samples[: round(seconds * SR)]


def _improvisation(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Chords of decaying notes over a beat of noise: a second is as hard to decode as one of real music."""
    t = np.arange(SR // 2) / SR
    bars = []
    for _ in range(round(2 * seconds)):
        notes = 110 * 2 ** (rng.choice([0, 3, 5, 7, 10, 12, 15, 19], 4) / 12)
        partials = [np.sin(2 * np.pi * k * hz * t) / k**1.5 for hz in notes for k in range(1, 9)]
        beat = rng.standard_normal(t.size) * np.exp(-30 * t)
        bars.append(0.12 * np.sum(partials, axis=0) * np.exp(-2 * t) + 0.2 * beat)
    return np.concatenate(bars).astype(np.float32)[: round(seconds * SR)]
