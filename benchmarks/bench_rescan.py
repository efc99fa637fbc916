"""How long it takes to go through a big library in which nothing has happened, and how much memory.

    python -m benchmarks.bench_rescan --files 100000

Makes a library of tiny FLAC files, a thousand in a folder, puts scores for them into a catalog of its own, and scans it
twice: first each file must be opened, because nobody has looked at it under these options; then nothing has changed.
Every scan prints a line of JSON a file. On a machine that is busy otherwise, the processor time is the figure to go by.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.runs import Run, machine, run
from mtag.bundle import FULL, Bundle, load_bundle
from mtag.catalog import Catalog
from mtag.catalog.scores import Heard
from mtag.ensemble import choose_precision

PER_FOLDER = 1000
SR = 16_000  # Hz
SECONDS = 1.2  # of each file


def make_library(folder: Path, n_files: int) -> list[Path]:
    """Tiny files that mtag takes for music."""
    tone = 0.5 * np.sin(np.arange(round(SECONDS * SR)) / 8)
    soundfile.write(folder / "song.flac", tone, SR)
    content = (folder / "song.flac").read_bytes()
    (folder / "song.flac").unlink()
    paths = []
    for number in range(n_files):
        album = folder / f"album {number // PER_FOLDER:03}"
        if number % PER_FOLDER == 0:
            album.mkdir()
        paths.append(album / f"{number % PER_FOLDER:03} A song with a name of ordinary length.flac")
        paths[-1].write_bytes(content)
    return paths


def remember(place: Path, paths: list[Path], bundle: Bundle) -> None:
    """Put made-up scores for all files into a catalog."""
    rng = np.random.default_rng(0)
    fingerprint = bundle.fingerprint(FULL, choose_precision(bundle))
    with Catalog.open(place) as catalog:
        for path in paths:
            scores = rng.random(len(bundle.tags), np.float32)
            catalog.remember(path, path.stat(), fingerprint, Heard(scores, SECONDS, 1))


def scan(folder: Path, place: Path) -> Run:
    """Scan as a person would, and measure the processes."""
    measured = run("-m", "mtag", "scan", folder, "--catalog", place, "--json")
    summary = json.loads(measured.output.splitlines()[-1])["summary"]
    if summary["heard"] or summary["failed"]:
        raise SystemExit(f"this was no scan of known files: {summary}")
    return measured


def main() -> None:
    """Make, scan, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000, metavar="N")
    parser.add_argument("--folder", type=Path, help="where to make the library (default: the system's scratch folder)")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="mtag-rescan-", dir=arguments.folder))
    try:
        library = root / "library"
        library.mkdir()
        place = root / "catalog.db"
        remember(place, make_library(library, arguments.files), load_bundle())
        rows = {"other options: each file opened": scan(library, place), "nothing has changed": scan(library, place)}
        print(f"{arguments.files:,} files, {place.stat().st_size / 1e6:,.0f} MB of catalog; {machine()}")
        for what, row in rows.items():
            told = f"{row.seconds:7.1f} s  {row.cpu_seconds:7.1f} s of processor time  {row.peak_mb:6.0f} MB"
            print(f"{what:<34} {told}")
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
