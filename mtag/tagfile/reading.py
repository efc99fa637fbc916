"""Bytes out of an open file, as far as a broken or hostile one lets them be had."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO, TypeVar

from mtag.errors import FailureKind

TRUSTED_BYTES = 1 << 20  # a length that is read without asking how long the file is
MAX_ITEMS = 20_000  # of a tag: nobody has so many, and other programs' time grows with their square
MAX_PARTS = 200_000  # of a container, such as the fragments of a long book
V1_BYTES = 128  # length of an ID3v1 tag
APE_MAGIC, APE_BYTES = b"APETAGEX", 32  # beginning and length of an APEv2 tag's header and footer

Part = TypeVar("Part")


class Malformed(Exception):  # noqa: N818 - what a parser found, not what a person is told
    """A file does not follow its format; the text goes on from "song.mp3: cannot be tagged: "."""

    kind = FailureKind.TAG_PARSE


class Foreign(Malformed):
    """A container holds something other than music."""

    kind = FailureKind.UNSUPPORTED


def at_most(most: int, parts: Iterable[Part]) -> Iterator[Part]:
    """The parts of something, as long as they are not absurdly many.

    Raises
    ------
    Malformed
        There are more.
    """
    for number, part in enumerate(parts):
        if number == most:
            raise Malformed(f"it consists of more than {most:,} parts")
        yield part


def size_of(file: BinaryIO) -> int:
    """Length of an open file in bytes."""
    return file.seek(0, 2)


def read_at(file: BinaryIO, start: int, n_bytes: int) -> bytes:
    """Read so many bytes from an offset, exactly.

    Raises
    ------
    Malformed
        The file is shorter than that.
    """
    # Room for the whole answer is taken before anything is read, so a length that a broken file claims is checked.
    if start < 0 or (n_bytes > TRUSTED_BYTES and start + n_bytes > size_of(file)):
        raise Malformed("its structure runs past the end of the file")
    file.seek(start)
    data = file.read(n_bytes)
    if len(data) != n_bytes:
        raise Malformed("its structure runs past the end of the file")
    return data


def id3v1_of(file: BinaryIO) -> bytes:
    """The ID3v1 tag at the end of a file, 128 bytes, or none.

    An APEv2 tag can have the letters that begin one in the same place; but that has a footer.
    """
    size = size_of(file)
    if size < V1_BYTES:
        return b""
    tail = read_at(file, size - V1_BYTES, V1_BYTES)
    return tail if tail.startswith(b"TAG") and not tail[-APE_BYTES:].startswith(APE_MAGIC) else b""
