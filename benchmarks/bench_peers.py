r"""The same tracks through mtag, Essentia's MusiCNN and musicnn: `python -m benchmarks.bench_peers TRACK...`.

The peers live in environments of their own, as they want other versions of everything:

    python3.7 -m venv /tmp/musicnn && /tmp/musicnn/bin/pip install musicnn
    python3.11 -m venv /tmp/essentia && /tmp/essentia/bin/pip install essentia-tensorflow

musicnn carries its network. Essentia wants the same one as a frozen graph, which musicnn's environment can make:

    /tmp/musicnn/bin/python benchmarks/freeze_musicnn.py /tmp/musicnn.pb

and then

    python -m benchmarks.bench_peers --musicnn /tmp/musicnn/bin/python \
        --essentia /tmp/essentia/bin/python --graph /tmp/musicnn.pb TRACK...

Every peer gets all cores and hears whole tracks, one after another, as its own examples do. A track's time is what is
added by more of them, so that no peer pays for importing TensorFlow once a track.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.runs import machine, run

ESSENTIA = """
import sys, time
from essentia.standard import MonoLoader, TensorflowPredictMusiCNN
graph, *tracks = sys.argv[1:]
for track in tracks:
    samples = MonoLoader(filename=track, sampleRate=16000, resampleQuality=4)()
    scores = TensorflowPredictMusiCNN(graphFilename=graph)(samples).mean(axis=0)
    print(track, len(scores), flush=True)
"""
MUSICNN = """
import sys
from musicnn.extractor import extractor
for track in sys.argv[1:]:
    taggram, tags = extractor(track, model="MTT_musicnn", extract_features=False)
    print(track, len(taggram.mean(axis=0)), flush=True)
"""


def main() -> None:
    """Time whoever is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracks", nargs="+", type=Path, help="two at least")
    parser.add_argument("--musicnn", type=Path, metavar="PYTHON", help="of an environment that has it")
    parser.add_argument("--essentia", type=Path, metavar="PYTHON", help="of an environment that has it")
    parser.add_argument("--graph", type=Path, help="musicnn's network for Essentia")
    options = parser.parse_args()
    tracks = [track.absolute() for track in options.tracks]
    seconds = {"mtag": _mtag(tracks), "mtag --fast": _mtag(tracks, "--fast")}
    if options.essentia and options.graph:
        seconds["Essentia"] = _peer(options.essentia, ESSENTIA, [options.graph.absolute(), *tracks])
    if options.musicnn:
        seconds["musicnn"] = _peer(options.musicnn, MUSICNN, tracks)
    print(f"{machine()}\n\n| {len(tracks)} tracks | a track | mtag is faster |\n| --- | --- | --- |")
    for name, value in seconds.items():
        print(f"| {name} | {value:.2f} s | {value / seconds['mtag']:.1f} times |")


def _mtag(tracks: list[Path], *more: str) -> float:
    """Seconds a track of a scan with one job a core."""
    with tempfile.TemporaryDirectory() as fresh:
        catalog = Path(fresh) / "catalog.db"
        measured = run("-m", "mtag", "scan", *tracks, "--json", "--catalog", catalog, *more)
    return measured.moments[-2] / len(tracks)  # the last line is the summary


def _peer(python: Path, code: str, arguments: list[Path]) -> float:
    """Seconds a track of a peer that prints a line for each."""
    moments = []
    command = [python, "-c", code, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if line.split()[-1].isdecimal():
                moments.append(time.perf_counter())
    if process.returncode or len(moments) < 2:
        raise SystemExit(f"{python} ended with exit code {process.returncode} after {len(moments)} tracks")
    return (moments[-1] - moments[0]) / (len(moments) - 1)


if __name__ == "__main__":
    main()
