"""A music file, decoded once and in bounded memory.

PyAV (FFmpeg) decodes; its exceptions are translated here and nowhere else. A file reaches FFmpeg as an open, nameless
stream of bytes: no file name can then be taken for a protocol or decide the format, and the tags around the audio are
cut off beforehand.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from mtag.audio.mix import Waveform, pin_layout, to_mono
from mtag.audio.payload import Payload
from mtag.errors import FailureKind, FileError

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream, Packet
    from av.container import InputContainer

# FFmpeg's names of the containers that music comes in. Playlists, subtitles and devices are not among them.
CONTAINERS = "mp3,flac,ogg,mov,wav,w64,aiff,asf,ape,wv,mpc,mpc8,aac,matroska,tta,caf,ac3,dsf"
# How such files begin; a file that begins so and cannot be opened is damaged, any other is no music file.
SIGNATURES = (
    *(b"fLaC", b"OggS", b"RIFF", b"riff", b"FORM", b"MAC ", b"wvpk", b"MP+", b"MPCK", b"TTA1", b"caff", b"DSD "),
    *(b"\x30\x26\xb2\x75", b"\x1a\x45\xdf\xa3", b"\x0b\x77"),  # ASF, Matroska, AC-3
    *(b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9"),  # MPEG layer 3, ADTS
)
READ_BYTES = 1 << 17  # asked of the file at a time
MAX_ALLOCATION = 1 << 28  # bytes that FFmpeg may set aside at once: damaged headers claim sizes of gigabytes
SAMPLE_RATES = range(1_000, 6_000_001)  # Hz; any other is a damaged header

Progressed = Callable[[], None]


def nobody_asks() -> None:
    """What is called where nobody wants to know that a file is being read."""


def read_blocks(path: Path, progressed: Progressed = nobody_asks) -> Iterator[Waveform]:
    """Decode a file to 16 kHz mono, block by block.

    Packets that cannot be decoded are skipped; samples that are not finite read as zero.

    Parameters
    ----------
    path
        A local file in any of the containers above; its name plays no part.
    progressed
        Called whenever more of the file has been read.

    Yields
    ------
    (n_samples,) float32, nominally in [-1, 1]: the mean of the channels, resampled as librosa does (soxr, HQ).

    Raises
    ------
    FileError
        unsupported, decode or permission.
    """
    with opened(path, progressed) as (container, stream):
        blocks = to_mono(decoded(container, stream))
        first = next(blocks, None)
        if first is None:
            raise FileError(path, FailureKind.DECODE, "is damaged: none of its audio can be decoded")
        yield first
        yield from blocks


def packet_digest(path: Path, progressed: Progressed = nobody_asks) -> str:
    """Fingerprint the audio of a file without decoding it.

    Tags and cover art play no part, so the digest stays the same as long as the audio itself is untouched.

    Parameters
    ----------
    path
        A file in any container that `read_blocks` takes.
    progressed
        Called whenever more of the file has been read.

    Returns
    -------
    SHA-256 of the audio stream's codec, sample rate and demuxed packets, 64 hexadecimal digits.

    Raises
    ------
    FileError
        unsupported, decode or permission.
    """
    with opened(path, progressed) as (container, stream):
        codec = stream.codec_context
        digest = hashlib.sha256(f"{codec.name} {codec.sample_rate}".encode())
        for packet in container.demux(stream):
            digest.update(packet)
    return digest.hexdigest()


def versions() -> str:
    """What decodes, in words: PyAV and the FFmpeg that it brings."""
    import av

    return f"av {av.__version__}, FFmpeg {av.ffmpeg_version_info}"


@contextmanager
def opened(path: Path, progressed: Progressed) -> Iterator[tuple[InputContainer, AudioStream]]:
    """Open a file's audio stream; say in one sentence what goes wrong, then or later."""
    import av

    av.logging.set_level(None)
    _limit_allocations()
    try:
        with _open_file(path) as file, _open_container(path, Payload(file, progressed)) as container:
            yield container, _audio_stream(path, container)
    except av.FFmpegError as error:
        raise FileError(path, FailureKind.DECODE, f"cannot be read to its end ({error.strerror})") from error
    except PermissionError as error:
        raise FileError(path, FailureKind.PERMISSION, "cannot be read (permission denied)") from error
    except FileNotFoundError as error:
        raise FileError(path, FailureKind.UNSUPPORTED, "does not exist") from error
    except OSError as error:
        raise FileError(path, FailureKind.DECODE, f"cannot be read ({error.strerror})") from error


@cache
def _limit_allocations() -> None:
    """Tell FFmpeg, for which PyAV has no function; where its symbols cannot be found, memory itself is the limit."""
    import av._core

    with suppress(OSError, AttributeError):
        ctypes.CDLL(av._core.__file__).av_max_alloc(ctypes.c_size_t(MAX_ALLOCATION))


def _open_file(path: Path) -> FileIO:
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):  # opening a pipe would wait for its other end
        what = "a folder" if stat.S_ISDIR(mode) else "a device or pipe"
        raise FileError(path, FailureKind.UNSUPPORTED, f"is {what}, not a file")
    return FileIO(path)


def _open_container(path: Path, payload: Payload) -> InputContainer:
    import av

    signature = payload.read(max(map(len, SIGNATURES)) + 8)
    if not signature:
        raise FileError(path, FailureKind.DECODE, "holds tags but no audio" if payload.holds_tags else "is empty")
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
    stream.codec_context.thread_count = 1  # tracks run side by side, so one thread is a track's share
    return stream


def decoded(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """Decode what can be decoded."""
    import av

    for packet in _packets(container, stream):
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            continue
        for frame in frames:
            pin_layout(frame)
            if frame.samples and frame.sample_rate in SAMPLE_RATES:
                yield frame


def _packets(container: InputContainer, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
    """Give packets as far as the container can be followed, say to a chained Ogg stream's change of sample rate."""
    import av

    with suppress(av.FFmpegError):
        yield from container.demux(stream)
