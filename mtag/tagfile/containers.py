"""What kind of file lies under a name: told by its content, whatever its suffix says."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mtag.atomic import explained
from mtag.errors import FailureKind, FileError
from mtag.tagfile import asf, id3
from mtag.tagfile.ape import Ape
from mtag.tagfile.chunks import IFF, RIFF, Chunks, Dsf
from mtag.tagfile.flac import Flac
from mtag.tagfile.items import Container
from mtag.tagfile.mp4 import MP4
from mtag.tagfile.mpeg import FrontID3, is_stream
from mtag.tagfile.ogg import Ogg
from mtag.tagfile.origin import repeats_genres
from mtag.tagfile.reading import Malformed, size_of

HEAD_BYTES = 16  # enough to know a container
# How other containers begin, which may hold an MPEG stream: a tag in front of them would hide them from every player.
OTHERS = (
    *(b"RIF", b"RF64", b"riff", b"FORM", b"FRM8", b"OggS", b"caff", b".snd", b"\x1aE\xdf\xa3", b"TTA1", b"tBaK"),
    *(asf.HEADER[:4], b"\0\0\1\xba", b"FLV", b"DSD "),
)
OTHER_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"moof", b"pnot", b"uuid")
APE_KINDS = {
    b"MAC ": "a Monkey's Audio file",
    b"wvpk": "a WavPack file",
    b"MPCK": "a Musepack file",
    b"MP+": "a Musepack file",
}


def open_container(file: BinaryIO) -> Container | None:
    """Read the tag of an open file; what other programs have copied from it into an older one is not looked at.

    Returns
    -------
    The container, None when the content is no audio in a known one.

    Raises
    ------
    Malformed
        The container or its tag is damaged.
    """
    container = _recognised(file)
    if container and repeats_genres(container):
        container.disregard_genres()
    return container


def _recognised(file: BinaryIO) -> Container | None:
    start = _behind_id3(file)
    file.seek(start)
    head = file.read(HEAD_BYTES)
    if head.startswith(b"fLaC"):
        return Flac(file, start)
    for magic, name in APE_KINDS.items():
        if head.startswith(magic):
            return Ape(file, name)
    if start == 0:
        for matches, container in (
            (head.startswith(b"OggS"), Ogg),
            (head[4:8] in (b"ftyp", b"moov"), MP4),
            (head == asf.HEADER, asf.ASF),
            (head.startswith(b"DSD "), Dsf),
            (head.startswith(b"RIFF") and head[8:12] == b"WAVE", lambda file: Chunks(file, RIFF)),
            (head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"), lambda file: Chunks(file, IFF)),
        ):
            if matches:
                return container(file)
    if head.startswith(OTHERS) or head[4:8] in OTHER_ATOMS:
        return None
    return FrontID3(file) if is_stream(file, start) else None


def _behind_id3(file: BinaryIO) -> int:
    """Where the content begins, ID3 tags before it left aside."""
    start = 0
    while size := id3.tag_size(file, start):
        start += size
    if start > size_of(file):
        raise Malformed("its ID3 tag runs past the end of the file")
    return start


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Container]:
    """Open a file and read its tag.

    Raises
    ------
    FileError
        unsupported, tag-parse, permission.
    """
    with explained(path), path.open("rb") as file:
        yield read(path, file)


def read(path: Path, file: BinaryIO) -> Container:
    """Read the tag of an open file, as `open_container`, with errors that tell the path."""
    if size_of(file) == 0:
        raise FileError(path, FailureKind.UNSUPPORTED, "is empty")
    with parsed(path):
        container = open_container(file)
    if container is None:
        raise FileError(path, FailureKind.UNSUPPORTED, "is no audio file of a kind that can be tagged")
    return container


@contextlib.contextmanager
def parsed(path: Path) -> Iterator[None]:
    """Turn what parsers raise inside the block into `FileError`."""
    try:
        yield
    except (Malformed, struct.error, IndexError, OverflowError, RecursionError) as error:
        if isinstance(error, Malformed):
            raise FileError(path, error.kind, f"cannot be tagged: {error}") from error
        raise FileError(path, FailureKind.TAG_PARSE, "cannot be tagged: its structure makes no sense") from error
