"""How long the networks and the stages before them take on this machine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtag.audio.decoders import Decoders
from mtag.bundle import COMBINATIONS, FAST, MEMBERS, combiner_of
from mtag.constants import N_TAGS, SAMPLE_RATE, WINDOW_SAMPLES, WINDOW_SECONDS
from mtag.ensemble import Ensemble
from mtag.features import log_mel

Float32 = NDArray[np.float32]

# Table 5: seconds for 1,000 clips of 29.1 s on one Tesla V100.
PAPER_SECONDS = {"1": 0.48, "2": 1.76, "3": 9.03, "1+2": 2.07, "1+2+3": 10.61}
PAPER_CLIPS = 1_000
TRACK_RATE = 44_100  # Hz, of the track whose decoding is timed


@dataclass(frozen=True)
class Timing:
    """Seconds for `clips` windows of 29.1 s, with all jobs at work."""

    device: str
    precision: str
    clips: int
    jobs: int
    models: dict[str, float]  # member -> seconds; scoring alone
    ensembles: dict[str, float]  # combination -> seconds: its members one after another, and its combiner
    stages: dict[str, float]  # decode, features, inference (of the largest combination)

    @property
    def bound(self) -> str:
        """The stage that a faster scan would have to begin with.

        On a CPU all stages share the cores, and the longest weighs most. Another device works while the CPU decodes
        and computes spectrograms, so the longer of these two sides decides.
        """
        cpu_seconds = self.stages["decode"] + self.stages["features"]
        if self.device != "cpu" and self.stages["inference"] >= cpu_seconds:
            return "inference"
        stages = self.stages if self.device == "cpu" else {k: self.stages[k] for k in ("decode", "features")}
        return max(stages, key=stages.__getitem__)

    def to_json(self) -> dict[str, Any]:
        """The object that `mtag bench --json` prints."""
        rounded = {name: {k: round(v, 4) for k, v in getattr(self, name).items()} for name in _TABLES}
        return {"device": self.device, "precision": self.precision, "clips": self.clips, "jobs": self.jobs} | (
            rounded | {"bound": self.bound}
        )


_TABLES = ("models", "ensembles", "stages")


def bench(
    ensemble: Ensemble, combinations: tuple[str, ...], clips: int, jobs: int, report: Callable[[str], None]
) -> Timing:
    """Time a number of windows, spread over the jobs as a scan spreads its tracks.

    Parameters
    ----------
    ensemble
        Loaded with the combinations.
    combinations
        Which of them to time; their members are timed too.
    clips
        Windows of 29.1 s; each stage and each network handles all of them.
    jobs
        Threads; a GPU is fed by one.
    report
        Called with what is about to be timed.
    """
    watch = _Stopwatch(clips, ensemble.batch_size, jobs if ensemble.device == "cpu" else 1, report)
    cpu_watch = _Stopwatch(clips, 1, jobs, report)
    window = _chords(WINDOW_SAMPLES, SAMPLE_RATE)[None]
    log_mels = log_mel(window)

    def score(member: str, n: int) -> Float32:
        return ensemble.member_scores(member, _repeat(log_mels, n), _repeat(window, n))

    def combine(combination: str, n: int) -> Float32:
        scores = np.full((n, N_TAGS), 0.1, np.float32)
        return ensemble.combine(combination, dict.fromkeys(MEMBERS, scores))

    with tempfile.TemporaryDirectory() as folder, Decoders() as decoders:
        decode = cpu_watch.time("decode", partial(_decode, decoders, _write_track(Path(folder) / "track.mp3")))
    features = cpu_watch.time("features", lambda n: log_mel(_repeat(window, n)))
    members = [m for m in MEMBERS if any(m in COMBINATIONS[c] for c in combinations)]
    models = {m: watch.time(m, partial(score, m)) for m in members}
    ensembles = {
        c: sum(models[m] for m in COMBINATIONS[c]) + watch.time(combiner_of(c), partial(combine, c))
        for c in combinations
    }
    stages = {"decode": decode, "features": features, "inference": max(ensembles.values())}
    return Timing(ensemble.device, ensemble.precision, clips, watch.jobs, models, ensembles, stages)


def combinations_for(fast: bool) -> tuple[str, ...]:
    """What `mtag bench` times: all combinations, or the fast one."""
    return (FAST,) if fast else tuple(COMBINATIONS)


@dataclass(frozen=True)
class _Stopwatch:
    """Times pieces of work over all clips, in batches spread over the jobs."""

    clips: int
    batch_size: int
    jobs: int
    report: Callable[[str], None]

    def time(self, name: str, work: Callable[[int], object]) -> float:
        """Seconds that `work` takes for all clips; it is given the size of each batch."""
        self.report(name)
        sizes = [min(self.batch_size, self.clips - done) for done in range(0, self.clips, self.batch_size)]
        work(sizes[0])  # the first call allocates, and compiles on a GPU
        began = time.perf_counter()
        with ThreadPoolExecutor(self.jobs) as pool:
            for _ in pool.map(work, sizes):
                pass
        return time.perf_counter() - began


def _decode(decoders: Decoders, track: Path, n: int) -> None:
    for _ in range(n):
        for _ in decoders.read_blocks(track):
            pass


def _repeat(array: Float32, n: int) -> Float32:
    return np.repeat(array, n, axis=0)


def _chords(n: int, sr: int) -> Float32:
    """Chords with a little noise, so that no stage meets silence: (n,) float32."""
    rng = np.random.default_rng(0)
    t = np.arange(n) / sr
    tones = sum(np.sin(2 * np.pi * hz * t) / (i + 2) for i, hz in enumerate((110, 220, 277.2, 329.6, 440, 1760)))
    return (0.2 * tones + 0.02 * rng.standard_normal(n)).astype(np.float32)


def _write_track(path: Path) -> Path:
    """One window's length of stereo MP3, as most libraries hold."""
    import soundfile

    left = _chords(round(WINDOW_SECONDS * TRACK_RATE), TRACK_RATE)
    soundfile.write(path, np.stack([left, np.roll(left, 400)], axis=1), TRACK_RATE, format="MP3")
    return path
