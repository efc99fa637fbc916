"""WAV, AIFF and DSF files, which keep an ID3 tag among their chunks."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from mtag.copying import Patch
from mtag.tagfile import id3
from mtag.tagfile.fields import Fields
from mtag.tagfile.items import Items, Room
from mtag.tagfile.older import from_info
from mtag.tagfile.reading import MAX_PARTS, Malformed, at_most, read_at, size_of


class Chunk(NamedTuple):
    """Where a chunk lies."""

    name: bytes
    start: int
    content: int
    size: int  # of the content in bytes, without the byte that may fill it up to an even number

    @property
    def stop(self) -> int:
        """Where the next chunk begins."""
        return self.content + self.size + self.size % 2


class Form(NamedTuple):
    """What sets RIFF and IFF apart."""

    name: str
    head: str  # struct format of a chunk's head
    tag_names: tuple[bytes, ...]  # of the chunk with the tag; the first one is for new ones


RIFF = Form("a WAV file", "<4sI", (b"id3 ", b"ID3 "))
IFF = Form("an AIFF file", ">4sI", (b"ID3 ", b"id3 "))


class Chunks(id3.ID3Container):
    """A WAV or AIFF file."""

    def __init__(self, file: BinaryIO, form: Form) -> None:
        """Walk the chunks and read the tag."""
        self.name, self.form = form.name, form
        size = size_of(file)
        _, root = struct.unpack(form.head, read_at(file, 0, 8))
        self.stop = 8 + root
        if self.stop > size + 1:  # the last chunk's filling byte is forgotten by some programs
            raise Malformed(f"it is {form.name} whose header claims more than there is")
        chunks = list(at_most(MAX_PARTS, _chunks(file, form.head, 12, self.stop)))
        self.end = chunks[-1].stop if chunks else 12
        self.missing = max(0, self.end - size)
        if chunks and chunks[-1].content + chunks[-1].size > size:
            raise Malformed(f"it is {form.name} whose chunks run past its end")
        self.chunk = next((chunk for chunk in chunks if chunk.name in form.tag_names), None)
        tag = self.chunk and id3.read_tag(file, self.chunk.content)
        self.take(tag)
        if self.chunk:
            behind = self.chunk.size - self.size
            if not tag or behind < 0 or read_at(file, self.chunk.content + self.size, behind).strip(b"\0"):
                raise Malformed("its ID3 chunk does not hold an ID3 tag and nothing else")
            self.room = (self.size, behind)
        self.info = _info(file, chunks) if form is RIFF else {}
        genre, comment = (tuple(filter(None, [self.info.get(name)])) for name in ("IGNR", "ICMT"))
        self.shown = Fields(genre, comment)

    def fresh(self) -> Items:
        """Begin with what the INFO list says: TagLib looks at it no more once there is an ID3 tag."""
        return from_info(self.info, self.dialect)

    def disregard_genres(self) -> None:
        """Have the INFO list name none."""
        super().disregard_genres()
        self.info.pop("IGNR", None)

    def rewrite(self, items: Items | None, room: Room = ()) -> list[Patch]:
        """Replace the chunk, or add one behind all others."""
        name, filling = self.form.tag_names[0], bytes(self.missing)
        start = stop = self.end - self.missing
        if self.chunk:
            name, filling = self.chunk.name, b""
            start, stop = self.chunk.start, min(self.chunk.stop, stop)
        chunk = b""
        if items is not None:
            data = self.render(items, room)
            data += bytes(sum(room[1:])) if room[:1] == (len(data),) else b""
            chunk = struct.pack(self.form.head, name, len(data)) + data + bytes(len(data) % 2)
        total = max(self.stop, self.end) - self.missing + len(filling + chunk) - (stop - start)
        if total - 8 >= 1 << 32:
            raise Malformed(f"{self.name} cannot grow beyond 4 GB")
        return [Patch(4, 8, struct.pack(self.form.head[0] + "I", total - 8)), Patch(start, stop, filling + chunk)]


def _chunks(file: BinaryIO, head: str, start: int, stop: int) -> Iterator[Chunk]:
    while stop - start >= 8:
        name, size = struct.unpack(head, read_at(file, start, 8))
        chunk = Chunk(name, start, start + 8, size)
        if chunk.content + size > stop:
            raise Malformed(f"its chunk at byte {start} runs past the end")
        yield chunk
        start = chunk.stop


def _info(file: BinaryIO, chunks: list[Chunk]) -> dict[str, str]:
    """The texts of the INFO list, the older tag of WAV files, by the names of its parts."""
    found: dict[str, str] = {}
    for chunk in chunks:
        if chunk.name == b"LIST" and chunk.size >= 4 and read_at(file, chunk.content, 4) == b"INFO":
            with contextlib.suppress(Malformed):  # it is only looked at
                for part in _chunks(file, RIFF.head, chunk.content + 4, chunk.content + chunk.size):
                    text = read_at(file, part.content, part.size).rstrip(b"\0").decode("utf-8", "replace").strip()
                    found.setdefault(part.name.decode("latin-1"), text)
    return found


class Dsf(id3.ID3Container):
    """A DSF file, whose head says where its tag lies: at the very end."""

    name = "a DSF file"

    def __init__(self, file: BinaryIO) -> None:
        """Follow the pointer to the tag."""
        self.length = size_of(file)
        head_size, total, pointer = struct.unpack_from("<QQQ", read_at(file, 0, 28), 4)
        if head_size != 28 or total != self.length or pointer > self.length:
            raise Malformed("it is a DSF file whose head does not fit its length")
        self.start = pointer or self.length
        tag = id3.read_tag(file, pointer) if pointer else None
        if pointer and (not tag or pointer + tag.size > self.length):
            raise Malformed("its head points to an ID3 tag that is not there")
        self.take(tag)

    def rewrite(self, items: Items | None, room: Room = ()) -> list[Patch]:
        """Replace the tag and correct the head."""
        data = self.render(items, room)
        head = struct.pack("<QQ", self.length + len(data) - self.size, self.start if data else 0)
        return [Patch(12, 28, head), Patch(self.start, self.start + self.size, data)]
