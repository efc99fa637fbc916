"""APEv2 tags at the end of Monkey's Audio, WavPack and Musepack files."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from mtag.copying import Patch
from mtag.field import Field
from mtag.tagfile.fields import Fields, Style
from mtag.tagfile.items import Container, Dialect, Item, Items, Room
from mtag.tagfile.older import fields_of_v1, texts_of_v1, without_genre
from mtag.tagfile.reading import APE_MAGIC, MAX_ITEMS, V1_BYTES, Malformed, id3v1_of, read_at, size_of

HEAD = struct.Struct("<8sIIII8s")  # magic, version, size of items and footer, number of items, flags, reserved
VERSION = 2000
HAS_HEADER, IS_HEADER = 1 << 31, 1 << 29  # flags of a tag
KIND = 6  # bits of an item's flags; 0 there is text
KEY = re.compile(rb"[\x20-\x7e]{2,255}")
# A file that ends with an item "MTAG" of so many bytes and the footer has "TAG" where an ID3v1 tag would have it, and
# other programs would take it for one. Its text ends in Base64, which may be filled up.
MISTAKEN_BYTES = V1_BYTES - HEAD.size - len(b"TAG\0")
SPELLINGS = {Field.GENRE: b"Genre", Field.MOOD: b"Mood", Field.GROUPING: b"Grouping", Field.PROVENANCE: b"MTAG"}


class ApeItems(Dialect):
    """Items `key: value`, each key once, several values null-separated."""

    @property
    def name(self) -> str:
        """The row of `KEYS`."""
        return "ape"

    def texts(self, item: Item) -> tuple[str, ...]:
        """The texts between nulls."""
        return tuple(_split(item.raw)[2].decode("utf-8", "replace").split("\0"))

    def with_values(self, item: Item, values: tuple[str, ...]) -> Item:
        """Keep flags and the spelling of the key."""
        flags, key, _ = _split(item.raw)
        return _item(flags, key, values)

    def spell(self, field: Field, names: tuple[str, ...], style: Style, like: Item | None) -> Items:
        """One item with all of them."""
        names = style.joined(names)
        if not names:
            return ()
        if field is Field.PROVENANCE and len(names[0]) == MISTAKEN_BYTES:
            names = (f"{names[0]}=",)
        return (self.with_values(like, names) if like else _item(0, SPELLINGS[field], names),)

    def comment(self, line: str, others: Items) -> Item:
        """An item with one value."""
        return _item(0, b"Comment", (line,))

    def add_comment(self, items: Items, line: str, at: int) -> Items:
        """Add a value to the comment that there is, as a key may stand only once."""
        for index, item in enumerate(items):
            if item.key == self.keys[Field.COMMENT]:
                return (*items[:index], self.with_values(item, (*self.texts(item), line)), *items[index + 1 :])
        return super().add_comment(items, line, at)


@dataclass(frozen=True)
class Span:
    """Where a tag lies, header and footer included."""

    start: int
    stop: int


class Ape(Container):
    """A file with an APEv2 tag at its end, or none; an ID3v1 tag behind it stays as it is, and so do tags before it."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        """Read the tag."""
        self.name = name
        self.dialect = ApeItems()
        self.v1 = id3v1_of(file)
        self.shown = fields_of_v1(self.v1) if self.v1 else Fields()
        stop = size_of(file) - len(self.v1)
        self.span, self.version, self.has_header = Span(stop, stop), VERSION, True
        footer = read_at(file, stop - HEAD.size, HEAD.size) if stop >= HEAD.size else b""
        if footer.startswith(APE_MAGIC):
            self._read(file, footer, stop)
        elif footer.endswith((b"LYRICS200", b"LYRICSEND")):
            raise Malformed("it ends with a Lyrics3 tag, behind which an APEv2 tag cannot be told")

    def _read(self, file: BinaryIO, footer: bytes, stop: int) -> None:
        _, self.version, size, n_items, flags, _ = HEAD.unpack(footer)
        self.has_header = bool(flags & HAS_HEADER)
        if size < HEAD.size or flags & IS_HEADER:
            raise Malformed("the footer of its APEv2 tag makes no sense")
        self.span = Span(stop - size - HEAD.size * self.has_header, stop)
        if self.has_header and read_at(file, self.span.start, len(APE_MAGIC)) != APE_MAGIC:
            raise Malformed("its APEv2 tag does not begin where its footer says")
        if n_items > MAX_ITEMS:
            raise Malformed(f"it claims to have {n_items:,} items in its APEv2 tag")
        data = read_at(file, stop - size, size - HEAD.size)
        items: list[Item] = []
        start = 0
        while start < len(data) and len(items) <= n_items:
            flags, key, value = _split(data, start)
            end = start + 8 + len(key) + 1 + len(value)
            name = key.decode("ascii").upper()
            items.append(Item(f"{name}:?" if flags & KIND else name, data[start:end]))
            start = end
        if len(items) != n_items:
            raise Malformed("its APEv2 tag does not hold the items that it counts")
        self.items = tuple(items)

    def fresh(self) -> Items:
        """Begin with what the ID3v1 tag says: FFmpeg looks at it no more once there is an APEv2 tag."""
        texts = texts_of_v1(self.v1) if self.v1 else {}
        return tuple(_item(0, key.title().encode(), (text.decode("latin-1"),)) for key, text in texts.items())

    def disregard_genres(self) -> None:
        """Have the ID3v1 tag name none."""
        super().disregard_genres()
        self.v1 = self.v1 and without_genre(self.v1)

    def rewrite(self, items: Items | None, room: Room = ()) -> list[Patch]:
        """Put a tag in the place of the old one, or to the end, before an ID3v1 tag."""
        start, stop = self.span.start, self.span.stop
        if items is None:
            return [Patch(start, stop, b"")]
        self._refuse_doubles(items)
        body = b"".join(item.raw for item in items)
        header, footer = (
            HEAD.pack(APE_MAGIC, self.version, len(body) + HEAD.size, len(items), flags, b"")
            for flags in (HAS_HEADER | IS_HEADER, HAS_HEADER * self.has_header)
        )
        return [Patch(start, stop, header * self.has_header + body + footer)]

    def _refuse_doubles(self, items: Items) -> None:
        """A key may stand only once, whatever it holds; of two items others read the last."""
        known = {item.key for item in self.items or ()}
        for item in items:
            if item.key not in known and f"{item.key}:?" in known:
                raise Malformed(f"it has a field named {item.key} that holds no text")


def _split(data: bytes, start: int = 0) -> tuple[int, bytes, bytes]:
    """Flags, key and value of the item that begins somewhere."""
    end = data.find(b"\0", start + 8, start + 8 + 256)
    if end < 0 or not KEY.fullmatch(data[start + 8 : end]):
        raise Malformed("an item of its APEv2 tag has no valid key")
    size, flags = struct.unpack_from("<II", data, start)
    value = data[end + 1 : end + 1 + size]
    if len(value) < size:
        raise Malformed("an item of its APEv2 tag runs past the tag's end")
    return flags, data[start + 8 : end], value


def _item(flags: int, key: bytes, values: tuple[str, ...]) -> Item:
    value = "\0".join(values).encode()
    raw = struct.pack("<II", len(value), flags) + key + b"\0" + value
    return Item(key.decode("ascii").upper(), raw)
