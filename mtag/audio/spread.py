"""A few windows spread over a track, found by seeking: what lies between them is never decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mtag.audio.decode import Progressed, decoded, nobody_asks, opened
from mtag.audio.mix import Waveform, to_mono
from mtag.constants import MIN_REST_SAMPLES, WINDOW_SAMPLES, WINDOW_SECONDS

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream
    from av.container import InputContainer

RUN_UP_SECONDS = 0.5  # decoded before a window and thrown away: the first frames after a seek lean on those before
MISS_SECONDS = 30.0  # a seek that ends up so long before its target is none


class Stretch(NamedTuple):
    """A window, and what is known of the track that it is from."""

    window: Waveform  # (465600,) float32, 16 kHz mono
    track_seconds: float  # as the container tells it


def read_spread(path: Path, n_windows: int, progressed: Progressed = nobody_asks) -> Iterator[Stretch]:
    """Decode so many windows, each in the middle of one of as many equal parts of a track.

    Parameters
    ----------
    path
        A local file.
    n_windows
        How many.
    progressed
        Called whenever more of the file has been read.

    Yields
    ------
    The windows, in order; fewer where the track ends sooner than it says. None at all where the track cannot be sought
    in, does not tell its length, or is hardly longer than the windows together: it is to be decoded as a whole.

    Raises
    ------
    FileError
        unsupported, decode or permission.
    """
    with opened(path, progressed) as (container, stream):
        seconds = _length(container, stream)
        if seconds < (n_windows + 1) * WINDOW_SECONDS:
            return
        for number in range(n_windows):
            start = (number + 0.5) * seconds / n_windows - WINDOW_SECONDS / 2
            samples = _samples_from(container, stream, start)
            if samples.size < MIN_REST_SAMPLES:
                return
            yield Stretch(np.resize(samples, WINDOW_SAMPLES), seconds)


def _length(container: InputContainer, stream: AudioStream) -> float:
    """A track's length in seconds as its container tells or estimates it, 0 where it does not."""
    import av

    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _samples_from(container: InputContainer, stream: AudioStream, start: float) -> Waveform:
    """Up to a window of samples from some second on; none where that second cannot be found."""
    import av

    if not stream.time_base:
        return np.empty(0, np.float32)
    offset = stream.start_time or 0
    target = offset + int(max(0.0, start - RUN_UP_SECONDS) / stream.time_base)
    with suppress(av.FFmpegError):
        container.seek(target, stream=stream)
        frames = _frames_from(container, stream, start + float(offset * stream.time_base))
        return _collect(to_mono(frames))
    return np.empty(0, np.float32)


def _frames_from(container: InputContainer, stream: AudioStream, start: float) -> Iterator[AudioFrame]:
    """Frames from some second on; none where the seek has missed it by far."""
    for number, frame in enumerate(decoded(container, stream)):
        if frame.time is None or (number == 0 and frame.time < start - MISS_SECONDS):
            return
        if frame.time >= start:
            yield frame


def _collect(blocks: Iterator[Waveform]) -> Waveform:
    """The first window's worth of a stream."""
    parts: list[Waveform] = []
    n_samples = 0
    for block in blocks:
        parts.append(block)
        n_samples += block.size
        if n_samples >= WINDOW_SAMPLES:
            break
    return np.concatenate([np.empty(0, np.float32), *parts])[:WINDOW_SAMPLES]
