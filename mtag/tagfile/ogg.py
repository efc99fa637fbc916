"""Ogg files (Vorbis, Opus, Speex, FLAC): pages whose second packet holds Vorbis comments."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

from mtag.copying import Patch
from mtag.tagfile import vorbis
from mtag.tagfile.items import PADDING_BYTES, Container, Items, Room
from mtag.tagfile.reading import Foreign, Malformed, read_at, size_of

HEAD = struct.Struct("<4sBBqIIIB")  # magic, version, flags, granule position, serial, number, checksum, n segments
CONTINUED, FIRST, LAST = 1, 2, 4  # flags of a page
NO_PACKET_ENDS = -1  # granule position of a page
MAX_SEGMENTS = 255
SEARCH_BYTES = 1 << 16  # read at a time while looking for a page
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Codec(NamedTuple):
    """How a codec wraps its comments."""

    name: str
    first: bytes  # how its first packet begins
    prefix: tuple[bytes, ...]  # how its second packet may begin
    prefix_bytes: int  # how much of that is not comments
    end: bytes  # what has to follow the comments
    padded: bool  # whether zeros may follow that


CODECS = (
    Codec("an Ogg Vorbis file", b"\x01vorbis", (b"\x03vorbis",), 7, b"\x01", True),
    Codec("an Ogg Opus file", b"OpusHead", (b"OpusTags",), 8, b"", True),
    Codec("an Ogg Speex file", b"Speex   ", (b"",), 0, b"", True),
    Codec("an Ogg FLAC file", b"\x7fFLAC", (b"\x04", b"\x84"), 4, b"", False),
)


@dataclass(frozen=True)
class Page:
    """One page of a logical stream."""

    start: int  # offset in the file
    flags: int
    position: int  # granule position
    serial: int
    number: int
    checksum: int
    lacing: bytes  # lengths of the segments
    data: bytes

    @property
    def stop(self) -> int:
        """Offset of the first byte behind the page."""
        return self.start + HEAD.size + len(self.lacing) + len(self.data)

    def is_whole(self) -> bool:
        """Whether the checksum holds."""
        return self.render()[22:26] == struct.pack("<I", self.checksum)

    def render(self) -> bytes:
        """The page with a checksum that holds."""
        head = HEAD.pack(b"OggS", 0, self.flags, self.position, self.serial, self.number, 0, len(self.lacing))
        page = head + self.lacing + self.data
        return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


class Ogg(Container):
    """The first audio stream of an Ogg file."""

    def __init__(self, file: BinaryIO) -> None:
        """Find the stream and read its second packet."""
        self.dialect = vorbis.Vorbis()
        self.file = file
        first, self.codec = _first_page(file)
        self.name = self.codec.name
        self.pages = _comment_pages(file, first)
        self.lacing = b"".join(page.lacing for page in self.pages)
        self.n_segments = next(n for n, size in enumerate(self.lacing, 1) if size < 255)
        data = b"".join(page.data for page in self.pages)
        size = sum(self.lacing[: self.n_segments])
        self.packet, self.behind = data[:size], data[size:]
        self.room = (size,)
        if not self.packet.startswith(self.codec.prefix):
            raise Malformed(f"it is {self.name} whose second packet holds no comments")
        comments = vorbis.parse(self.packet[self.codec.prefix_bytes :])
        if not comments.rest.startswith(self.codec.end):
            raise Malformed("its block of Vorbis comments has no end")
        self.vendor, self.items, self.rest = comments.vendor, comments.items, comments.rest

    def rewrite(self, items: Items | None, room: Room = ()) -> list[Patch]:
        """Put new pages in the place of the old ones, and renumber those behind if there are more or fewer."""
        packet = self._packet(items or (), (*room, *self.room))
        pages = self._refill(packet) if len(packet) == len(self.packet) else self._paginate(packet)
        patches = [Patch(self.pages[0].start, self.pages[0].stop, b"".join(page.render() for page in pages))]
        patches += [Patch(page.start, page.stop, b"") for page in self.pages[1:]]
        shift = len(pages) - len(self.pages)
        return patches + (_renumber(self.file, self.pages[-1], shift) if shift else [])

    def _packet(self, items: Items, sizes: Room) -> bytes:
        """Spell the comments' packet, padded to the first of some sizes that it fits into, where padding is allowed."""
        prefix = self.packet[: self.codec.prefix_bytes]
        comments = vorbis.render(self.vendor, items)
        if not self.codec.padded or self.rest.strip(b"\0") != self.codec.end:
            if not self.codec.padded:  # a FLAC block, whose header bears its length
                size = len(comments) + len(self.rest)
                prefix = prefix[:1] + size.to_bytes(3, "big")
            return prefix + comments + self.rest
        packet = prefix + comments + self.codec.end
        return packet + bytes(next((size - len(packet) for size in sizes if size >= len(packet)), PADDING_BYTES))

    def _refill(self, packet: bytes) -> list[Page]:
        """Keep the pages and change what they bear."""
        data = packet + self.behind
        ends = itertools.accumulate(len(page.data) for page in self.pages)
        return [
            replace(page, data=data[end - len(page.data) : end]) for page, end in zip(self.pages, ends, strict=True)
        ]

    def _paginate(self, packet: bytes) -> list[Page]:
        """Lay out a longer or shorter packet, and what shared the old one's last page, on full pages."""
        lacing = b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) + self.lacing[self.n_segments :]
        data, done = packet + self.behind, 0
        old_first, old_last = self.pages[0], self.pages[-1]
        pages: list[Page] = []
        for number, at in enumerate(range(0, len(lacing), MAX_SEGMENTS), old_first.number):
            segments = lacing[at : at + MAX_SEGMENTS]
            content = data[done : done + sum(segments)]
            done += len(content)
            is_last = at + MAX_SEGMENTS >= len(lacing)
            flags = CONTINUED * (pages[-1].lacing[-1] == 255 if pages else 0) | (old_last.flags & LAST) * is_last
            position = old_last.position if is_last else 0
            if not segments.strip(b"\xff"):
                position = NO_PACKET_ENDS
            pages.append(Page(old_first.start, flags, position, old_first.serial, number, 0, segments, content))
        return pages


def _first_page(file: BinaryIO) -> tuple[Page, Codec]:
    """The page that begins the first stream of a known codec."""
    for page in _pages(file, 0):
        if not page.flags & FIRST:
            break
        for codec in CODECS:
            if page.data.startswith(codec.first):
                return page, codec
    raise Foreign("none of its Ogg streams is Vorbis, Opus, Speex or FLAC")


def _comment_pages(file: BinaryIO, first: Page) -> list[Page]:
    """The pages that bear a stream's second packet."""
    pages: list[Page] = []
    for page in _pages(file, first.stop):
        if page.serial != first.serial:
            continue
        follows = page.number == first.number + 1 + len(pages) and bool(page.flags & CONTINUED) == bool(pages)
        if not follows or not page.lacing or not page.is_whole():
            break
        pages.append(page)
        if page.lacing.strip(b"\xff"):
            return pages
    raise Malformed("its Ogg pages are damaged or end before the comments do")


def _renumber(file: BinaryIO, after: Page, shift: int) -> list[Patch]:
    """Shift the numbers of a stream's pages; damaged ones are left for decoders to skip, as before."""
    patches = []
    for page in _pages(file, after.stop, resync=True):
        if page.serial != after.serial or page.flags & FIRST:
            continue
        if not page.is_whole():
            continue
        renumbered = replace(page, number=(page.number + shift) & 0xFFFFFFFF).render()
        patches.append(Patch(page.start + 18, page.start + 26, renumbered[18:26]))
        if page.flags & LAST:
            break
    return patches


def _pages(file: BinaryIO, start: int, *, resync: bool = False) -> Iterator[Page]:
    """The pages from an offset to the file's end; with resync those behind a damaged stretch too."""
    size = size_of(file)
    while start + HEAD.size <= size:
        page = _page(file, start, size)
        if page:
            yield page
            start = page.stop
        elif resync:
            start = _find_page(file, start + 1, size)
        else:
            return


def _page(file: BinaryIO, start: int, size: int) -> Page | None:
    magic, version, flags, position, serial, number, checksum, n = HEAD.unpack(read_at(file, start, HEAD.size))
    if magic != b"OggS" or version != 0 or start + HEAD.size + n > size:
        return None
    lacing = read_at(file, start + HEAD.size, n)
    if start + HEAD.size + n + sum(lacing) > size:
        return None
    data = read_at(file, start + HEAD.size + n, sum(lacing))
    return Page(start, flags, position, serial, number, checksum, lacing, data)


def _find_page(file: BinaryIO, start: int, size: int) -> int:
    """Offset of the next thing that looks like a page, or the file's end."""
    while start + HEAD.size <= size:
        data = read_at(file, start, min(SEARCH_BYTES, size - start))
        found = data.find(b"OggS")
        if found >= 0:
            return start + found
        start += max(1, len(data) - 3)
    return size


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32 of a page whose own checksum is zero: zlib's polynomial, with the bits the other way round."""
    mirrored = ~zlib.crc32(page.translate(REVERSED), 0xFFFFFFFF) & 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
