"""What a scan costs beside decoding alone: `python -m benchmarks.bench_scan`.

Runs `mtag scan` and the decoders alone on the same files, in turn, and tells ratios, speed and memory; then how cost
grows with the number of jobs and of tracks, what a track of three hours does to memory, and what it costs when another
program has written to every MP3's tag.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from pathlib import Path

from mutagen.id3 import APIC
from mutagen.mp3 import MP3

from benchmarks.runs import Run, machine, run
from benchmarks.songs import make_library, make_long_song

LONG_HOURS = 3
SHORT_SECONDS = 10.0  # length of a track where their number is what matters


def main() -> None:
    """Measure what is asked for."""
    options = _options()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        music = options.music or make_library(folder / "music", options.tracks, options.seconds, options.clips)
        jobs = options.jobs
        if "ratio" in options.parts:
            _ratios(folder, music, jobs, options.rounds)
        if "jobs" in options.parts:
            _jobs(folder, music, jobs, options.rounds)
        if "growth" in options.parts:
            _growth(folder, jobs)
        if "long" in options.parts:
            _long(folder, jobs)
        if "retagged" in options.parts:
            _retagged(folder, music, jobs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--music", type=Path, help="a folder of your own music, in place of songs made on the spot")
    parser.add_argument("--clips", type=Path, help="a folder of recordings to make the songs of")
    parser.add_argument("--tracks", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=240.0, help="length of a track")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement; the best is told")
    parser.add_argument("--parts", nargs="+", default=["ratio", "jobs", "growth", "long", "retagged"])
    return parser.parse_args()


def _ratios(folder: Path, music: Path, jobs: int, rounds: int) -> None:
    """Decoding alone, a fast and a full scan, in turn so that a machine's moods meet all three."""
    kinds = {"decode only": _decode, "scan --fast": _fast, "scan": _full}
    runs: dict[str, list[Run]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, kind in kinds.items():
            runs[name].append(kind(folder, music, jobs))
    music_seconds = sum(float(line.split()[0]) for line in runs["decode only"][0].output.splitlines())
    print(f"\n| {jobs} jobs | wall | ratio | CPU | ratio | tracks/s | x real time | peak |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, some in runs.items():
        wall = min(one.seconds for one in some)
        cpu = min(one.cpu_seconds for one in some)
        pairs = list(zip(some, runs["decode only"], strict=True))
        ratio = statistics.median(one.seconds / alone.seconds for one, alone in pairs)
        cpu_ratio = statistics.median(one.cpu_seconds / alone.cpu_seconds for one, alone in pairs)
        n_tracks = sum(1 for _ in runs["decode only"][0].moments)
        peak = max(one.peak_mb for one in some)
        print(
            f"| {name} | {wall:.2f} s | {ratio:.2f} | {cpu:.2f} s | {cpu_ratio:.2f} "
            f"| {n_tracks / wall:.2f} | {music_seconds / wall:.0f} | {peak:.0f} MB |",
            flush=True,
        )


def _jobs(folder: Path, music: Path, jobs: int, rounds: int) -> None:
    print(f"\n| full scan | 1 job | {jobs} jobs | speed-up |\n| --- | --- | --- | --- |")
    pairs = [(_full(folder, music, 1), _full(folder, music, jobs)) for _ in range(rounds)]
    one, many = (min(run.seconds for run in runs) for runs in zip(*pairs, strict=True))
    speed_up = statistics.median(alone.seconds / together.seconds for alone, together in pairs)
    print(f"| wall | {one:.2f} s | {many:.2f} s | {speed_up:.2f} |")
    one, many = (min(run.cpu_seconds for run in runs) for runs in zip(*pairs, strict=True))
    print(f"| CPU | {one:.2f} s | {many:.2f} s | |", flush=True)


def _growth(folder: Path, jobs: int) -> None:
    print(f"\n| tracks of {SHORT_SECONDS:g} s, --fast | a track | peak |\n| --- | --- | --- |")
    for n_tracks in (50, 1_000):
        music = make_library(folder / f"{n_tracks} tracks", n_tracks, SHORT_SECONDS)
        measured = _fast(folder, music, jobs)
        print(f"| {n_tracks:,} | {1e3 * measured.seconds_a_line:.1f} ms | {measured.peak_mb:.0f} MB |", flush=True)


def _long(folder: Path, jobs: int) -> None:
    seconds = 240.0
    music = make_library(folder / "with a long one", 4, seconds)
    make_long_song(music / "0000 long.mp3", music / "0000.mp3", LONG_HOURS, seconds)
    measured = _full(folder, music, jobs)
    durations = [json.loads(line).get("duration") for line in measured.output.splitlines()]
    print(f"\nWith a track of {LONG_HOURS} hours among {len(durations) - 1}: {measured.seconds:.1f} s", end="")
    print(f", peak {measured.peak_mb:.0f} MB, {jobs} jobs.", flush=True)


def _retagged(folder: Path, music: Path, jobs: int) -> None:
    """A first scan, and one after every tag has got a cover that moves all that lies behind it."""
    library = Path(shutil.copytree(music, folder / "retagged"))
    catalog = folder / "retagged.db"
    first = _scan_with(catalog, library, jobs, "--write-tags")
    for path in library.rglob("*.mp3"):
        song = MP3(path)
        if song.tags is None:
            song.add_tags()
        song.tags.add(APIC(mime="image/png", type=3, data=bytes(100_000)))
        song.save()
    again = _scan_with(catalog, library, jobs, "--write-tags")
    told = f"{first.seconds:.2f} s; once others have written to all tags {again.seconds:.2f} s"
    print(f"\n{told}, {first.seconds / again.seconds:.1f} times as fast.", flush=True)


def _decode(folder: Path, music: Path, jobs: int) -> Run:
    return run("-m", "benchmarks.decode_only", str(jobs), music)


def _fast(folder: Path, music: Path, jobs: int) -> Run:
    return _scan(folder, music, jobs, "--fast")


def _full(folder: Path, music: Path, jobs: int) -> Run:
    return _scan(folder, music, jobs)


def _scan(folder: Path, music: Path, jobs: int, *more: str) -> Run:
    """Scan with an empty catalog, so that everything is heard."""
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        return _scan_with(Path(fresh) / "catalog.db", music, jobs, *more)


def _scan_with(catalog: Path, music: Path, jobs: int, *more: str) -> Run:
    return run("-m", "mtag", "scan", music, "--json", "--jobs", str(jobs), "--catalog", catalog, *more)


if __name__ == "__main__":
    main()
