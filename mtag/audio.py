"""A music file, decoded once and in bounded memory, as a stream of analysis windows.

PyAV (FFmpeg) decodes and soxr resamples; their exceptions are translated here and nowhere else. A file reaches FFmpeg
as an open, nameless stream of bytes: no file name can then be taken for a protocol or decide the format, and the tags
around the audio are cut off beforehand.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from io import FileIO
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mtag.constants import MIN_REST_SAMPLES, MIN_TRACK_SECONDS, SAMPLE_RATE, SILENCE_DBFS, WINDOW_SAMPLES
from mtag.errors import FailureKind, FileError

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream, Packet
    from av.container import InputContainer

Waveform = NDArray[np.float32]

# FFmpeg's names of the containers that music comes in. Playlists, subtitles and devices are not among them.
CONTAINERS = "mp3,flac,ogg,mov,wav,w64,aiff,asf,ape,wv,mpc,mpc8,aac,matroska,tta,caf,ac3,dsf"
# How such files begin; a file that begins so and cannot be opened is damaged, any other is no music file.
SIGNATURES = (
    *(b"fLaC", b"OggS", b"RIFF", b"riff", b"FORM", b"MAC ", b"wvpk", b"MP+", b"MPCK", b"TTA1", b"caff", b"DSD "),
    *(b"\x30\x26\xb2\x75", b"\x1a\x45\xdf\xa3", b"\x0b\x77"),  # ASF, Matroska, AC-3
    *(b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9"),  # MPEG layer 3, ADTS
)
READ_BYTES = 1 << 17  # asked of the file at a time
BLOCK_FRAMES = 1 << 15  # samples a channel that are mixed and resampled at a time
SAMPLE_RATES = range(1_000, 6_000_001)  # Hz; any other is a damaged header
SAMPLE_LIMIT = 1e10  # beyond any integer scale, and its power still fits float32
MAX_TAGS = 8  # tags one behind another at either end of a file


def read_blocks(path: Path) -> Iterator[Waveform]:
    """Decode a file to 16 kHz mono, block by block.

    Packets that cannot be decoded are skipped; samples that are not finite read as zero.

    Parameters
    ----------
    path
        A local file in any of the containers above; its name plays no part.

    Yields
    ------
    (n_samples,) float32, nominally in [-1, 1]: the mean of the channels, resampled as librosa does (soxr, HQ).

    Raises
    ------
    FileError
        unsupported, decode or permission.
    """
    with _opened(path) as (container, stream):
        blocks = _resampled(_mixed(_decoded(container, stream)))
        first = next(blocks, None)
        if first is None:
            raise FileError(path, FailureKind.DECODE, "is damaged: none of its audio can be decoded")
        yield first
        yield from blocks


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


class WindowReader:
    """The windows of one file that are worth listening to: iterate over it once.

    Yields (465600,) float32 windows of 16 kHz mono; those quieter than -60 dBFS (RMS) are left out.

    Attributes
    ----------
    path
        The file.
    duration
        Seconds of audio decoded so far; the track's length once the iteration has ended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.duration = 0.0

    def __iter__(self) -> Iterator[Waveform]:
        """Decode the file and yield its windows.

        Raises
        ------
        FileError
            unsupported, decode, permission; too-short (under 1 s); silent (no window is loud enough).
        """
        silent = True
        for window in slice_windows(self._timed_blocks()):
            if self.duration >= MIN_TRACK_SECONDS and level(window) >= SILENCE_DBFS:
                silent = False
                yield window
        if self.duration < MIN_TRACK_SECONDS:
            rounded_down = int(self.duration * 100) / 100
            reason = f"lasts {rounded_down:g} s; {MIN_TRACK_SECONDS:g} s is the shortest that can be judged"
            raise FileError(self.path, FailureKind.TOO_SHORT, reason)
        if silent:
            raise FileError(self.path, FailureKind.SILENT, f"is silent: nothing in it reaches {SILENCE_DBFS:g} dBFS")

    def _timed_blocks(self) -> Iterator[Waveform]:
        n_samples = 0
        for block in read_blocks(self.path):
            n_samples += block.size
            self.duration = n_samples / SAMPLE_RATE
            yield block


def level(samples: Waveform) -> float:
    """RMS level of samples, (n,) float32, in dB relative to full scale; digital silence gives -inf."""
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(np.dot(samples, samples) / samples.size))


def packet_digest(path: Path) -> str:
    """Fingerprint the audio of a file without decoding it.

    Tags and cover art play no part, so the digest stays the same as long as the audio itself is untouched.

    Parameters
    ----------
    path
        A file in any container that `read_blocks` takes.

    Returns
    -------
    SHA-256 of the audio stream's codec, sample rate and demuxed packets, 64 hexadecimal digits.

    Raises
    ------
    FileError
        unsupported, decode or permission.
    """
    with _opened(path) as (container, stream):
        codec = stream.codec_context
        digest = hashlib.sha256(f"{codec.name} {codec.sample_rate}".encode())
        for packet in container.demux(stream):
            digest.update(packet)
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, AudioStream]]:
    """Open a file's audio stream; say in one sentence what goes wrong, then or later."""
    import av

    av.logging.set_level(None)
    try:
        with _open_file(path) as file, _open_container(path, file) as container:
            yield container, _audio_stream(path, container)
    except av.FFmpegError as error:
        raise FileError(path, FailureKind.DECODE, f"cannot be read to its end ({error.strerror})") from error
    except PermissionError as error:
        raise FileError(path, FailureKind.PERMISSION, "may not be read (permission denied)") from error
    except FileNotFoundError as error:
        raise FileError(path, FailureKind.DECODE, "does not exist") from error
    except OSError as error:
        raise FileError(path, FailureKind.DECODE, f"cannot be read ({error.strerror})") from error


def _open_file(path: Path) -> FileIO:
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):  # opening a pipe would wait for its other end
        what = "a folder" if stat.S_ISDIR(mode) else "a device or pipe"
        raise FileError(path, FailureKind.UNSUPPORTED, f"is {what}, not a file")
    return FileIO(path)


def _open_container(path: Path, file: FileIO) -> InputContainer:
    import av

    payload = _Payload(file)
    signature = payload.read(max(map(len, SIGNATURES)) + 8)
    if not signature:
        holds_tags = file.seek(0, os.SEEK_END) > 0
        raise FileError(path, FailureKind.DECODE, "holds tags but no audio" if holds_tags else "is empty")
    payload.seek(0, os.SEEK_SET)
    whitelist = {"format_whitelist": CONTAINERS}
    try:
        return av.open(payload, "r", options=whitelist, metadata_errors="replace", buffer_size=READ_BYTES)
    except av.FFmpegError as error:
        is_foreign = error.errno == errno.EINVAL  # a format that FFmpeg knows, but not one of music
        if not is_foreign and (signature.startswith(SIGNATURES) or signature[4:8] == b"ftyp"):
            raise FileError(path, FailureKind.DECODE, "is damaged: its header cannot be read") from error
        raise FileError(path, FailureKind.UNSUPPORTED, "is not a music file") from error


def _audio_stream(path: Path, container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        raise FileError(path, FailureKind.UNSUPPORTED, "has no audio stream")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise FileError(path, FailureKind.UNSUPPORTED, "holds audio in a codec that cannot be decoded")
    with suppress(UnicodeDecodeError):  # PyAV expects ASCII in a tag of any four bytes
        if stream.codec_context.codec_tag == "drms":
            raise FileError(path, FailureKind.UNSUPPORTED, "is copy-protected")
    return stream


def _decoded(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """Decode what can be decoded."""
    import av

    stream.codec_context.thread_count = 1  # tracks run side by side, so one thread is a track's share
    for packet in _packets(container, stream):
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            continue
        for frame in frames:
            _pin_layout(frame)
            if frame.samples and frame.sample_rate in SAMPLE_RATES:
                yield frame


def _packets(container: InputContainer, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
    """Give packets as far as the container can be followed, say to a chained Ogg stream's change of sample rate."""
    import av

    with suppress(av.FFmpegError):
        yield from container.demux(stream)


def _mixed(frames: Iterable[AudioFrame]) -> Iterator[tuple[int, Waveform]]:
    """Mix frames down to blocks of mono, each with its sample rate; format, layout and rate may change on the way."""
    import av

    for _, run in groupby(frames, key=lambda frame: (frame.format.name, frame.layout.name, frame.sample_rate)):
        packer = av.AudioResampler(format="flt", frame_size=BLOCK_FRAMES)
        for frame in chain(run, [None]):
            for packed in packer.resample(frame):
                _pin_layout(packed)
                yield packed.sample_rate, _mean_of_channels(packed)


def _mean_of_channels(frame: AudioFrame) -> Waveform:
    """Mix one packed float frame down, as `librosa.to_mono`: FFmpeg's own stereo downmix is 3 dB louder."""
    n_channels = frame.layout.nb_channels
    samples: Waveform = np.frombuffer(memoryview(frame.planes[0]), np.float32, frame.samples * n_channels)
    with np.errstate(invalid="ignore", over="ignore"):
        mono = reduce(np.add, samples.reshape(-1, n_channels).T) / np.float32(n_channels)
    mono[~(np.abs(mono) <= SAMPLE_LIMIT)] = 0  # the comparison is false for NaN
    return mono


def _resampled(blocks: Iterable[tuple[int, Waveform]]) -> Iterator[Waveform]:
    """Resample a stream of blocks that begin with their sample rate."""
    import soxr

    for rate, run in groupby(blocks, key=itemgetter(0)):
        resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1)
        for _, block in run:
            yield resampler.resample_chunk(block)
        yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


def _pin_layout(frame: AudioFrame) -> None:
    """Keep an unusual channel layout from being freed twice.

    PyAV 18 frees the channel map of a custom layout with the layout as well as with its frame, and the process dies.
    One reference too many means that only the frame frees it. Custom layouts are the ones named like "FL+FR+FC".
    """
    if "+" in frame.layout.name:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(frame.layout))


class _Payload:
    """The bytes of a file between the tags at its ends, as PyAV wants to read them.

    FFmpeg looks for the format in the first megabyte, which an ID3v2 tag with a cover can fill, and some of its
    demuxers take the tags behind the audio for audio.
    """

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._start = _end_of_head_tags(file)
        self._size = max(0, _start_of_tail_tags(file) - self._start)
        self._position = 0

    def read(self, n_bytes: int) -> bytes:
        self._file.seek(self._start + self._position)
        data = self._file.read(min(n_bytes, self._size - self._position)) or b""
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int) -> int:
        """Move as asked, or stay and give a negative number: damaged headers ask for any offset."""
        target = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if target < 0:
            return -errno.EINVAL
        self._position = min(target, self._size)
        return self._position

    def tell(self) -> int:
        return self._position


def _end_of_head_tags(file: FileIO) -> int:
    """Byte offset behind the ID3v2 tags at a file's head."""
    offset = 0
    for _ in range(MAX_TAGS):
        file.seek(offset)
        header = file.read(10)
        if len(header) < 10 or not header.startswith(b"ID3"):
            break
        has_footer = header[5] & 0x10
        size = reduce(lambda total, byte: total << 7 | byte & 0x7F, header[6:10], 0)
        offset += 10 + size + (10 if has_footer else 0)
    return offset


def _start_of_tail_tags(file: FileIO) -> int:
    """Byte offset of the ID3v1 and APEv2 tags at a file's tail."""
    offset = file.seek(0, os.SEEK_END)
    for _ in range(MAX_TAGS):
        size = _tail_tag_size(file, offset)
        if not 0 < size <= offset:
            break
        offset -= size
    return offset


def _tail_tag_size(file: FileIO, end: int) -> int:
    """Size of the tag that ends at a byte offset, 0 where there is none."""
    file.seek(max(0, end - 128))
    tail = file.read(min(end, 128))
    if len(tail) == 128 and tail.startswith(b"TAG"):
        return 128
    footer = tail[-32:]
    if len(footer) == 32 and footer.startswith(b"APETAGEX"):
        has_header = footer[23] & 0x80
        return int.from_bytes(footer[12:16], "little") + (32 if has_header else 0)
    return 0
