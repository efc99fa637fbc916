"""What a music file holds, told by FFmpeg, plain mutagen and its bytes: never by mtag's own readers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
from av import AudioFrame, AudioStream
from av.container import InputContainer

from tests.plain import plain
from tests.raw import Raw, items

# What mtag may write without being asked for more; everything else is foreign to it.
TOUCHED = frozenset(
    {"TCON", "TCO", "COMM", "COM", "GENRE", "COMMENT", "WM/Genre", "Description", "mtag comment"}
    | {"ilst/©gen", "ilst/gnre", "ilst/©cmt"}
)
TAGS = frozenset({"id3", "ape", "vendor", "moov/udta/meta"})  # a file with none of these gets a fresh tag


@dataclass(frozen=True)
class Portrait:
    """A file, apart from padding and offsets."""

    sound: str  # digest of all decoded samples
    items: tuple[Raw, ...]  # byte for byte
    genres: tuple[str, ...]  # the rest as mutagen reads it
    comments: tuple[str, ...]
    rest: tuple[tuple[str, str], ...]

    @property
    def foreign(self) -> Counter[object]:
        """All that mtag has no business with, with its bytes and as mutagen reads it."""
        return Counter([*(item for item in self.items if not _is_touched(item)), *filter(_is_foreign, self.rest)])


_known: dict[bytes, Portrait] = {}  # by digest of the file


def portray(path: Path) -> Portrait:
    """Look at a file; the same content is looked at once."""
    content = hashlib.sha256(path.read_bytes()).digest()
    if content not in _known:
        genres, comments, rest = plain(path)
        _known[content] = Portrait(sound(path), tuple(items(path)), tuple(genres), tuple(comments), tuple(rest))
    return _known[content]


def sound(path: Path) -> str:
    """Digest of a file's samples and their form."""
    digest = hashlib.sha256()
    with path.open("rb") as file, av.open(file, metadata_errors="replace") as container:
        stream = container.streams.audio[0]
        for frame in _frames(container, stream):
            if isinstance(frame, int):
                digest.update(f"error {frame}".encode())
            else:
                digest.update(f"{frame.format.name} {frame.layout.name} {frame.sample_rate} {frame.samples}".encode())
                for plane in frame.planes:
                    digest.update(plane)
    return digest.hexdigest()


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame | int]:
    """Each frame, or the number of the error that is in its place."""
    try:
        for packet in container.demux(stream):
            try:
                yield from stream.decode(packet)
            except av.FFmpegError as error:
                yield error.errno
    except av.FFmpegError as error:  # a tag behind the last packet
        yield error.errno


@cache
def _is_touched(item: Raw) -> bool:
    if item.key in ("TXXX", "TXX"):
        return b"MTAG" in item.data.replace(b"\0", b"").upper()
    return item.key in TOUCHED or "MTAG" in item.key.upper()


def _is_foreign(entry: tuple[str, str]) -> bool:
    return "MTAG" not in entry[0].upper() and entry[0].partition(":")[0] not in TOUCHED


def harm(before: Portrait, after: Portrait) -> str | None:
    """What writing has taken from a file that is not mtag's to take, in words."""
    if after.sound != before.sound:
        return "sounds different"
    lost, new = before.foreign - after.foreign, after.foreign - before.foreign
    if lost or (new and TAGS.intersection(item.key for item in before.items)):
        return f"lost {list(lost)!r:.300} and got {list(new)!r:.300}"
    missing = Counter(filter(str.strip, before.comments)) - Counter(after.comments)
    if missing:
        return f"lost the comments {list(missing)!r}"
    return None
