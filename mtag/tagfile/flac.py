"""FLAC files: metadata blocks, one of which holds Vorbis comments."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

from mtag.copying import Patch
from mtag.tagfile import vorbis
from mtag.tagfile.items import PADDING_BYTES, Container, Items, Room
from mtag.tagfile.reading import MAX_ITEMS, Malformed, read_at

PADDING, COMMENTS = 1, 4  # types of metadata blocks
MAX_BLOCK_BYTES = (1 << 24) - 1


class Block(NamedTuple):
    """One metadata block."""

    kind: int
    data: bytes

    def render(self, *, last: bool) -> bytes:
        """Header and content."""
        if len(self.data) > MAX_BLOCK_BYTES:
            raise Malformed("a block of its metadata would grow beyond 16 MB")
        return bytes([self.kind | 0x80 * last]) + len(self.data).to_bytes(3, "big") + self.data


class Flac(Container):
    """A FLAC stream; an ID3 tag before it, which the format does not know, stays as it is."""

    name = "a FLAC file"

    def __init__(self, file: BinaryIO, start: int) -> None:
        """Read the blocks behind the stream's marker, which stands at `start`."""
        self.dialect = vorbis.Vorbis()
        self.start = start + 4
        self.blocks, self.stop = _read_blocks(file, self.start)
        self.room = (self.stop - self.start,)
        found = [index for index, block in enumerate(self.blocks) if block.kind == COMMENTS]
        if len(found) > 1:
            raise Malformed("it has more than one block of Vorbis comments")
        self.at = found[0] if found else None
        self.comments = vorbis.Comments(vorbis.VENDOR, (), b"")
        if self.at is not None:
            self.comments = vorbis.parse(self.blocks[self.at].data)
            self.items = self.comments.items

    def rewrite(self, items: Items | None, room: Room = ()) -> list[Patch]:
        """Rewrite the blocks; padding takes up the difference in length if it can."""
        blocks = list(self.blocks)
        if self.at is not None:
            del blocks[self.at]
        if items is not None:
            data = vorbis.render(self.comments.vendor, items) + self.comments.rest
            blocks.insert(1 if self.at is None else self.at, Block(COMMENTS, data))
        blocks = _balance(blocks, (*room, *self.room))
        rendered = (block.render(last=block is blocks[-1]) for block in blocks)
        return [Patch(self.start, self.stop, b"".join(rendered))]


def _read_blocks(file: BinaryIO, start: int) -> tuple[list[Block], int]:
    """All metadata blocks from an offset on, and where they end."""
    blocks: list[Block] = []
    last = False
    while not last:
        if len(blocks) == MAX_ITEMS:
            raise Malformed(f"it has more than {MAX_ITEMS:,} metadata blocks")
        head = read_at(file, start, 4)
        size = int.from_bytes(head[1:], "big")
        last = head[0] >= 0x80
        blocks.append(Block(head[0] & 0x7F, read_at(file, start + 4, size)))
        start += 4 + size
    sync = read_at(file, start, 2)
    if blocks[0].kind != 0 or sync[0] != 0xFF or sync[1] & 0xFC != 0xF8:
        raise Malformed("its metadata blocks do not lead from the stream's parameters to its first frame")
    return blocks, start


def _balance(blocks: list[Block], sizes: Room) -> list[Block]:
    """Resize the longest padding so that the blocks fill the first of some sizes that they can, or give them more."""
    padding = [index for index, block in enumerate(blocks) if block.kind == PADDING]
    longest = max(padding, key=lambda index: len(blocks[index].data), default=len(blocks))
    before, behind = blocks[:longest], blocks[longest + 1 :]
    content = sum(4 + len(block.data) for block in (*before, *behind))
    spare = next((size - content for size in sizes if size == content or size >= content + 4), 4 + PADDING_BYTES)
    resized = [Block(PADDING, bytes(min(spare - 4, MAX_BLOCK_BYTES)))] if spare else []
    return [*before, *resized, *behind]
