"""Vorbis comments, the tag of FLAC and of all that travels in Ogg."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mtag.field import Field
from mtag.tagfile.fields import Style
from mtag.tagfile.items import Dialect, Item, Items
from mtag.tagfile.reading import MAX_ITEMS, Malformed

VENDOR = b"mtag"  # of a block of comments that mtag had to add; one that is there keeps its own


class Vorbis(Dialect):
    """Entries `KEY=value`; a key may stand several times, in any case."""

    @property
    def name(self) -> str:
        """The row of `KEYS`."""
        return "vorbis"

    def texts(self, item: Item) -> tuple[str, ...]:
        """The one text behind the equals sign."""
        return (item.raw.partition(b"=")[2].decode("utf-8", "replace"),)

    def with_values(self, item: Item, values: tuple[str, ...]) -> Item:
        """Keep the spelling of the key."""
        return _entry(item.raw.partition(b"=")[0], values[0])

    def spell(self, field: Field, names: tuple[str, ...], style: Style, like: Item | None) -> Items:
        """One entry each."""
        key = like.raw.partition(b"=")[0] if like else self.keys[field].encode()
        return tuple(_entry(key, name) for name in style.joined(names))

    def comment(self, line: str, others: Items) -> Item:
        """An entry of its own."""
        same = (item.raw.partition(b"=")[0] for item in others if item.key == self.keys[Field.COMMENT])
        return _entry(next(same, self.keys[Field.COMMENT].encode()), line)


def _entry(key: bytes, value: str) -> Item:
    return _item(key + b"=" + value.encode())


def _item(raw: bytes) -> Item:
    return Item(raw[: max(0, raw.find(b"="))].decode("latin-1").upper(), raw)


@dataclass(frozen=True)
class Comments:
    """A block of comments and what follows it."""

    vendor: bytes
    items: Items
    rest: bytes  # framing bit, padding, or data of unknown use


def parse(data: bytes) -> Comments:
    """Read a block of comments."""
    texts, start, left = [], 0, 1
    try:
        while left:
            (size,) = struct.unpack_from("<I", data, start)
            texts.append(data[start + 4 : start + 4 + size])
            start += 4 + size
            if start > len(data):
                raise Malformed("a Vorbis comment runs past the end of its block")
            left -= 1
            if len(texts) == 1:
                (left,) = struct.unpack_from("<I", data, start)
                start += 4
                if left > MAX_ITEMS:
                    raise Malformed(f"it claims to have {left:,} Vorbis comments")
    except struct.error as error:
        raise Malformed("its block of Vorbis comments is cut off") from error
    return Comments(texts[0], tuple(map(_item, texts[1:])), data[start:])


def render(vendor: bytes, items: Items) -> bytes:
    """Spell a block of comments, without anything behind it."""
    entries = b"".join(struct.pack("<I", len(item.raw)) + item.raw for item in items)
    return struct.pack("<I", len(vendor)) + vendor + struct.pack("<I", len(items)) + entries
