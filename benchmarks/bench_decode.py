"""Which decoder for which format: `python -m benchmarks.bench_decode`.

Decodes the same song in each format to 16 kHz mono in every way that was considered, one thread each, and tells the
seconds of CPU time. mtag takes the second column: one way for every format, and nowhere much slower than the best.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

from benchmarks.runs import machine
from benchmarks.songs import SR, song
from mtag.audio.decode import read_blocks
from mtag.constants import SAMPLE_RATE
from tests.encoding import encode

SUFFIXES = (".mp3", ".flac", ".m4a", ".ogg", ".opus", ".wav", ".alac.m4a", ".wma", ".wv")
BLOCK = 1 << 15  # samples a channel


def frames_alone(path: Path) -> None:
    """PyAV's decoding and nothing else: the limit of every way that uses it."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass


def mtags_own(path: Path) -> None:
    """PyAV, channels mixed by FFmpeg's filters a block at a time, and soxr."""
    for _ in read_blocks(path):
        pass


def swresample(path: Path) -> None:
    """PyAV with FFmpeg's own resampler and downmix, which is 3 dB louder and less precise."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE, frame_size=BLOCK)
        for frame in container.decode(stream):
            resampler.resample(frame)


def sndfile(path: Path) -> None:
    """libsndfile, NumPy's mean and soxr; the formats it does not know are left out."""
    with soundfile.SoundFile(path) as sound:
        resampler = soxr.ResampleStream(sound.samplerate, SAMPLE_RATE, 1)
        buffer = np.empty((BLOCK, sound.channels), np.float32)
        while len(block := sound.read(out=buffer)):
            resampler.resample_chunk(block.mean(axis=1))


WAYS: dict[str, Callable[[Path], None]] = {
    "PyAV, frames alone": frames_alone,
    "mtag": mtags_own,
    "PyAV, swresample": swresample,
    "soundfile, soxr": sndfile,
}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240.0, help="length of the song")
    parser.add_argument("--clips", type=Path, help="a folder of recordings to make the song of")
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement; the best is told")
    options = parser.parse_args()
    samples = song(0, options.seconds, options.clips)
    print(f"{machine()}, libsndfile {soundfile.__libsndfile_version__}\n")
    print("| format | " + " | ".join(WAYS) + " |\n| --- |" + " --- |" * len(WAYS))
    with tempfile.TemporaryDirectory() as folder:
        for suffix in SUFFIXES:
            path = encode(Path(folder) / f"song{suffix}", samples, SR)
            cells = [_seconds(way, path, options.rounds) for way in WAYS.values()]
            print(f"| {suffix[1:]} | " + " | ".join(cells) + " |", flush=True)


def _seconds(way: Callable[[Path], None], path: Path, rounds: int) -> str:
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        try:
            way(path)
        except soundfile.LibsndfileError:
            return "unknown"
        spent.append(time.process_time() - began)
    return f"{min(spent):.2f} s"


if __name__ == "__main__":
    main()
