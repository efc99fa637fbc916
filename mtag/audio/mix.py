"""Decoded frames of any kind, mixed and resampled to 16 kHz mono."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from mtag.constants import SAMPLE_RATE

if TYPE_CHECKING:
    from av import AudioFrame

Waveform = NDArray[np.float32]  # (n_samples,), one channel

BLOCK_FRAMES = 1 << 15  # samples a channel that are mixed and resampled at a time
SAMPLE_LIMIT = 1e10  # beyond any integer scale, and its power still fits float32


def to_mono(frames: Iterable[AudioFrame]) -> Iterator[Waveform]:
    """Give the mean of the channels at 16 kHz, block by block: (n_samples,) float32.

    Format, layout and sample rate of the frames may change on the way.
    """
    return _resampled(_mixed(frames))


def pin_layout(frame: AudioFrame) -> None:
    """Keep an unusual channel layout from being freed twice.

    PyAV 18 frees the channel map of a custom layout with the layout as well as with its frame, and the process dies.
    One reference too many means that only the frame frees it. Custom layouts are the ones named like "FL+FR+FC".
    """
    if "+" in frame.layout.name:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(frame.layout))


def _mixed(frames: Iterable[AudioFrame]) -> Iterator[tuple[int, Waveform]]:
    """Mix frames down to blocks of mono, each with its sample rate."""
    for _, run in groupby(frames, key=lambda frame: (frame.format.name, frame.layout.name, frame.sample_rate)):
        mixer = None
        for frame in run:
            mixer = mixer or _Mixer(frame)
            for block in mixer.push(frame):
                yield mixer.rate, block
        if mixer:
            for block in mixer.flush():
                yield mixer.rate, block


class _Mixer:
    """FFmpeg's filters from frames of one kind to blocks of mono, so that no Python runs for each small frame.

    The mix is the mean of the channels, as `librosa.to_mono`: FFmpeg's own stereo downmix is 3 dB louder.
    """

    def __init__(self, frame: AudioFrame) -> None:
        from av.filter import Graph

        self.rate = frame.sample_rate
        self._unread = 0  # samples a channel that went in since blocks were last taken out
        n_channels = frame.layout.nb_channels
        mean = "+".join(f"{1 / n_channels:.9f}*c{channel}" for channel in range(n_channels))
        self._graph = graph = Graph()  # its nodes do not keep it alive
        self._source = graph.add(
            "abuffer",
            sample_rate=str(self.rate),
            sample_fmt=frame.format.name,
            channel_layout=frame.layout.name,
            time_base=f"1/{self.rate}",
        )
        self._sink = graph.add("abuffersink")
        steps = [
            graph.add("aformat", sample_fmts="fltp"),  # whole numbers would be rounded by the mix
            graph.add("pan", f"mono|c0={mean}"),
            graph.add("asetnsamples", nb_out_samples=str(BLOCK_FRAMES), pad="0"),
        ]
        graph.link_nodes(self._source, *steps, self._sink).configure()

    def push(self, frame: AudioFrame) -> Iterator[Waveform]:
        """Take a frame in, and give the blocks that are complete now and then: asking costs more than waiting."""
        self._source.push(frame)
        self._unread += frame.samples
        if self._unread >= BLOCK_FRAMES:
            self._unread = 0
            yield from self._pull()

    def flush(self) -> Iterator[Waveform]:
        """Give what is left."""
        self._source.push(None)
        yield from self._pull()

    def _pull(self) -> Iterator[Waveform]:
        import av

        while True:
            try:
                block = cast("AudioFrame", self._sink.pull())
            except (av.BlockingIOError, av.EOFError):
                return
            mono: Waveform = np.frombuffer(memoryview(block.planes[0]), np.float32, block.samples).copy()
            mono[~(np.abs(mono) <= SAMPLE_LIMIT)] = 0  # the comparison is false for NaN
            yield mono


def _resampled(blocks: Iterable[tuple[int, Waveform]]) -> Iterator[Waveform]:
    """Resample a stream of blocks that begin with their sample rate."""
    import soxr

    for rate, run in groupby(blocks, key=itemgetter(0)):
        resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1)
        for _, block in run:
            yield resampler.resample_chunk(block)
        yield resampler.resample_chunk(np.empty(0, np.float32), last=True)
