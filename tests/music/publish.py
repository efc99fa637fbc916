"""From samples to a file as a person has it in a library: encoded, with a cover, title, artist, album and track."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

import av
import mutagen
import numpy as np
import soundfile
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, ID3
from mutagen.mp4 import MP4, MP4Cover
from numpy.typing import NDArray
from scipy import signal

SR = 44_100  # Hz
FLAC_SR = 22_050  # Hz; half the rate and one channel keep the lossless piece small

ALBUM = "Six Short Pieces"


def encode(path: Path, samples: NDArray[np.float32]) -> None:
    """Write (2, n) samples in the format that the suffix names: AAC by FFmpeg, all others by libsndfile."""
    if path.suffix == ".m4a":
        _encode_aac(path, samples)
    elif path.suffix == ".flac":
        soundfile.write(path, signal.decimate(samples.mean(axis=0), SR // FLAC_SR), FLAC_SR, subtype="PCM_16")
    elif path.suffix == ".opus":
        wide = signal.resample_poly(samples, 160, 147, axis=1)
        _write_blocks(path, wide, 48_000, "OGG", "OPUS", 0.9)
    elif path.suffix == ".ogg":
        _write_blocks(path, samples, SR, "OGG", "VORBIS", 0.85)
    else:
        _write_blocks(path, samples, SR, "MP3", "MPEG_LAYER_III", 0.85)


def _write_blocks(path: Path, samples: NDArray[np.float32], sr: int, container: str, codec: str, level: float) -> None:
    """Encode in blocks of a second: libsndfile's Vorbis overflows its stack on long ones. `level` 1 is the smallest."""
    with soundfile.SoundFile(path, "w", sr, len(samples), codec, format=container, compression_level=level) as file:
        for start in range(0, samples.shape[1], sr):
            file.write(samples[:, start : start + sr].T)


def _encode_aac(path: Path, samples: NDArray[np.float32]) -> None:
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=SR, layout="stereo", bit_rate=80_000)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T).reshape(1, -1), "flt", "stereo")
        frame.sample_rate = SR
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def label(path: Path, title: str, track: int) -> None:
    """Write title, artist, album, track number and a cover, but neither genre nor comment."""
    file = mutagen.File(path, easy=True)
    file.update({"title": title, "artist": "mtag", "album": ALBUM, "tracknumber": str(track)})
    file.save()
    _attach(path, cover(track))
    if path.name == "garage.mp3":  # one ID3 version of each kind
        tags = ID3(path)
        tags.update_to_v23()
        tags.save(v2_version=3)


def _attach(path: Path, png: bytes) -> None:
    """Put the front cover where each container keeps it."""
    picture = Picture()
    picture.type, picture.mime, picture.data = 3, "image/png", png
    picture.width = picture.height = COVER_PIXELS
    picture.depth = 24
    if path.suffix == ".mp3":
        tags = ID3(path)
        tags.add(APIC(mime="image/png", type=3, desc="cover", data=png))
        tags.save()
        return
    file = mutagen.File(path)
    if isinstance(file, FLAC):
        file.add_picture(picture)
    elif isinstance(file, MP4):
        file["covr"] = [MP4Cover(png, MP4Cover.FORMAT_PNG)]
    else:
        file["metadata_block_picture"] = [base64.b64encode(picture.write()).decode()]
    file.save()


COVER_PIXELS = 96


def cover(track: int) -> bytes:
    """A square of coloured rings, another hue for each track: a PNG image."""
    y, x = np.mgrid[:COVER_PIXELS, :COVER_PIXELS] / COVER_PIXELS - 0.5
    rings = np.floor(np.hypot(x, y) * (6 + 2 * track)) % 2
    hue = track / 6 + np.array([0, 1 / 3, 2 / 3])
    colour = 140 + 100 * np.cos(2 * np.pi * hue)
    pixels = (rings[..., None] * colour + (1 - rings[..., None]) * 24).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", COVER_PIXELS, COVER_PIXELS, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
