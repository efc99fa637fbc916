"""A corpus decoded once: waveforms and log-mel spectrograms in memory-mapped arrays."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtag.audio.decoders import Decoders
from mtag.audio.windows import slice_windows
from mtag.constants import N_FRAMES, N_MELS, WINDOW_SAMPLES
from mtag.cores import all_cores
from mtag.corpus import Corpus
from mtag.features import log_mel

FULL_SCALE = 32_767  # int16 keeps the waveforms at 96 dB, half the size of float32


@dataclass(frozen=True)
class Windows:
    """The decoded windows of a corpus, in its row order."""

    waveforms: NDArray[np.int16]  # (n, 465600), FULL_SCALE is 1.0
    log_mels: NDArray[np.float16]  # (n, 592, 128), dB; frame by frame, so that frames can be put together anew


def load_windows(corpus: Corpus, folder: Path, report: Callable[[int, int], None]) -> Windows:
    """Decode a corpus into `folder`, or map what lies there already.

    Parameters
    ----------
    corpus
        Its files each hold one window; a longer file gives its first one.
    folder
        Where `waveforms.npy` and `frames.npy` go; about 1.1 MB a window.
    report
        Called with the number of windows done and of all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n = len(corpus.files)
    names = [str(file) for file in corpus.files]
    index, frames = folder / "files.txt", folder / "frames.npy"
    if not (frames.is_file() and index.is_file() and index.read_text(encoding="utf-8").split("\n") == names):
        # Deleted first and written last: a cache without its index is decoded again.
        index.unlink(missing_ok=True)
        _decode(corpus, folder, report)
        index.write_text("\n".join(names), encoding="utf-8")
    report(n, n)
    return Windows(np.load(folder / "waveforms.npy", mmap_mode="r"), np.load(frames, mmap_mode="r"))


def _decode(corpus: Corpus, folder: Path, report: Callable[[int, int], None]) -> None:
    n = len(corpus.files)
    waveforms = np.lib.format.open_memmap(folder / "waveforms.npy", "w+", np.int16, (n, WINDOW_SAMPLES))
    log_mels = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.float16, (n, N_FRAMES, N_MELS))

    def decode(row: int) -> int:
        window, *_ = slice_windows(decoders.read_blocks(corpus.files[row]))
        waveforms[row] = np.rint(np.clip(window, -1, 1) * FULL_SCALE)
        log_mels[row] = log_mel(window[None])[0].T
        return row

    with Decoders() as decoders, ThreadPoolExecutor(all_cores()) as pool:
        for done, _ in enumerate(pool.map(decode, range(n)), start=1):
            report(done, n)
    waveforms.flush()
    log_mels.flush()
