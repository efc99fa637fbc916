"""A music file, decoded once and in bounded memory, as a stream of analysis windows.

PyAV (FFmpeg) decodes; its exceptions are translated here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtag.constants import MIN_REST_SAMPLES, SAMPLE_RATE, WINDOW_SAMPLES
from mtag.errors import FailureKind, FileError

Waveform = NDArray[np.float32]


def read_blocks(path: Path) -> Iterator[Waveform]:
    """Decode a file to 16 kHz mono, (n_samples,) float32 in [-1, 1], block by block."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
            for frame in container.decode(stream):
                for out in resampler.resample(frame):
                    yield out.to_ndarray()[0]
            for out in resampler.resample(None):
                yield out.to_ndarray()[0]
    except (av.FFmpegError, IndexError) as error:
        raise FileError(path, FailureKind.DECODE, f"cannot be decoded ({error})") from error


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
