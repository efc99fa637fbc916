"""ASF and WMA files: header objects, four of which hold attributes."""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple
from uuid import UUID

from mtag.copying import Patch
from mtag.field import Field
from mtag.tagfile.fields import Style
from mtag.tagfile.items import KEYS, PADDING_BYTES, Container, Dialect, Item, Items, Room
from mtag.tagfile.reading import Malformed, read_at, size_of


def _guid(text: str) -> bytes:
    return UUID(text).bytes_le


HEADER = _guid("75B22630-668E-11CF-A6D9-00AA0062CE6C")
PROPERTIES = _guid("8CABDCA1-A947-11CF-8EE4-00C00C205365")
EXTENSION = _guid("5FBF03B5-A92E-11CF-8EE3-00C00C205365")
PADDING = _guid("1806D474-CADF-4509-A4BA-9AABCB96AAE8")
# The lists of attributes, by the place an item names, in the order they are read.
PLACES = {
    "1": _guid("75B22633-668E-11CF-A6D9-00AA0062CE6C"),  # content description: five texts, each once
    "2": _guid("D2D0A440-E307-11D2-97F0-00A0C95EA850"),  # extended content description
    "3": _guid("C5F8CBEA-5BAF-4877-8467-AA8C44FA4CCA"),  # metadata, in the header extension
    "4": _guid("44231C94-9498-49D1-A141-1D134E457054"),  # metadata library, likewise; takes doubles
}
OWN_NAME = "mtag comment"  # of mtag's comment beside somebody else's
TEXTS = ("Title", "Author", "Copyright", "Description", "Rating")  # of the content description
EXTENSION_HEAD = _guid("ABD3D211-A9BA-11CF-8EE6-00C00C205365") + b"\6\0"
OBJECT_HEAD_BYTES = 24
HEADER_BYTES = 30
SHORT_BYTES = 1 << 16  # what a value in the older lists is shorter than
TEXT = 0  # type of an attribute


class Part(NamedTuple):
    """One object of a header."""

    guid: bytes
    data: bytes

    def render(self) -> bytes:
        """Header and content."""
        return self.guid + struct.pack("<Q", OBJECT_HEAD_BYTES + len(self.data)) + self.data


class Attributes(Dialect):
    """Named attributes; the first of a name stands in an early list, further ones in the metadata library."""

    @property
    def name(self) -> str:
        """The row of `KEYS`."""
        return "asf"

    def texts(self, item: Item) -> tuple[str, ...]:
        """The one text."""
        return (_decode(_value(item)),)

    def with_values(self, item: Item, values: tuple[str, ...]) -> Item:
        """Keep the list it stands in."""
        if item.place == "1":
            return Item(item.key, _encode(values[0]), "1")
        return _attribute(item.place, _name(item), values[0])._replace(key=item.key)

    def spell(self, field: Field, names: tuple[str, ...], style: Style, like: Item | None) -> Items:
        """One attribute each."""
        texts = style.joined(names)
        places = ("4" if n or len(_encode(text)) >= SHORT_BYTES else "2" for n, text in enumerate(texts))
        return tuple(_attribute(place, self.keys[field], text) for place, text in zip(places, texts, strict=True))

    def comment(self, line: str, others: Items) -> Item:
        """The description, or an attribute of mtag's own where that is somebody else's."""
        key = self.keys[Field.COMMENT]
        if any(item.key == key for item in others):
            return _attribute("2", OWN_NAME, line)._replace(key=key)  # FFmpeg would show a second description alone
        return Item(key, _encode(line), "1")


class ASF(Container):
    """An ASF file."""

    name = "an ASF file"

    def __init__(self, file: BinaryIO) -> None:
        """Read the header."""
        self.dialect = Attributes()
        self.head = read_at(file, 0, HEADER_BYTES)
        self.size, n_parts = struct.unpack_from("<QI", self.head, 16)
        self.file_size = size_of(file)
        self.parts = _split(read_at(file, HEADER_BYTES, max(0, self.size - HEADER_BYTES)))
        extensions = [part for part in self.parts if part.guid == EXTENSION]
        if len(self.parts) != n_parts or len(extensions) > 1:
            raise Malformed("its ASF header does not hold the objects that it counts")
        self.room = (self.size, len(extensions))
        self.inner = [inner for part in extensions for inner in _split(part.data[22:])]
        found = [part for part in (*self.parts, *self.inner) if part.guid in PLACES.values()]
        if len({part.guid for part in found}) < len(found):
            raise Malformed("its ASF header has a list of attributes twice")
        if found:
            lists = {part.guid: part.data for part in found}
            self.items = tuple(item for place, guid in PLACES.items() for item in _read(place, lists.get(guid)))

    def rewrite(self, items: Items | None, room: Room = ()) -> list[Patch]:
        """Replace the lists that change; padding takes up the difference in length if it can."""
        parts, inner = list(self.parts), list(self.inner)
        for place, guid in PLACES.items():
            new = [item for item in items or () if item.place == place]
            if new == [item for item in self.items or () if item.place == place] and items is not None:
                continue
            if new:
                _put(inner if place in "34" else parts, Part(guid, _render(place, new)))
            else:
                parts, inner = ([part for part in objects if part.guid != guid] for objects in (parts, inner))
        is_empty = all(part.guid in PLACES.values() for part in inner) and not any(i.place in "34" for i in items or ())
        if is_empty and room[1:] == (0,):  # mtag made the extension
            parts = [part for part in parts if part.guid != EXTENSION]
        elif inner != self.inner:
            data = b"".join(part.render() for part in inner)
            head = next((part.data[:18] for part in parts if part.guid == EXTENSION), EXTENSION_HEAD)
            _put(parts, Part(EXTENSION, head + struct.pack("<I", len(data)) + data))
        parts = self._padded(parts, (*room[:1], self.size))
        body = b"".join(part.render() for part in parts)
        head = self.head[:16] + struct.pack("<QI", HEADER_BYTES + len(body), len(parts)) + self.head[28:]
        return [Patch(0, self.size, head + body)]

    def _padded(self, parts: list[Part], sizes: Room) -> list[Part]:
        """Let padding fill the header to the first of some sizes that it can have, or give it more."""
        content = [part for part in parts if part.guid != PADDING]
        least = HEADER_BYTES + sum(OBJECT_HEAD_BYTES + len(part.data) for part in content)
        padded = least + OBJECT_HEAD_BYTES
        size = next((size for size in sizes if size == least or size >= padded), padded + PADDING_BYTES)
        if size > least:
            content.append(Part(PADDING, bytes(size - padded)))
        return [self._noting(part, self.file_size + size - self.size) for part in content]

    def _noting(self, part: Part, file_size: int) -> Part:
        """Note the file's new length where the old one stands."""
        if part.guid != PROPERTIES or part.data[16:24] != struct.pack("<Q", self.file_size):
            return part
        return part._replace(data=part.data[:16] + struct.pack("<Q", file_size) + part.data[24:])


def _split(data: bytes) -> list[Part]:
    """Cut a header's content into its objects."""
    parts, start = [], 0
    while start < len(data):
        size = int.from_bytes(data[start + 16 : start + 24], "little")
        if not OBJECT_HEAD_BYTES <= size <= len(data) - start:
            raise Malformed("an object in its ASF header has an impossible size")
        parts.append(Part(data[start : start + 16], data[start + OBJECT_HEAD_BYTES : start + size]))
        start += size
    return parts


def _put(parts: list[Part], new: Part) -> None:
    """Replace an object, or add one to the end."""
    index = next((index for index, part in enumerate(parts) if part.guid == new.guid), None)
    if index is None:
        parts.append(new)
    else:
        parts[index] = new


def _read(place: str, data: bytes | None) -> Items:
    """The attributes of one list."""
    if data is None:
        return ()
    if place == "1":
        return _read_texts(data)
    items, start = [], 2
    for _ in range(int.from_bytes(data[:2], "little")):
        name_at, name_bytes, value_bytes, kind = _layout(place, data, start)
        stop = name_at + name_bytes + (4 if place == "2" else 0) + value_bytes
        if stop > len(data):
            raise Malformed("an attribute in its ASF header runs past the end of its list")
        key = _decode(data[name_at : name_at + name_bytes])
        key = KEYS["asf"][Field.COMMENT] if key == OWN_NAME else key
        plain = kind == TEXT and (place == "2" or data[start + 2 : start + 4] == b"\0\0")  # not one stream's own
        items.append(Item(key if plain else f"{key}:?", data[start:stop], place))
        start = stop
    return tuple(items)


def _layout(place: str, data: bytes, start: int) -> tuple[int, int, int, int]:
    """Where an attribute's name begins, its length, the value's length, and the value's type."""
    try:
        if place == "2":
            (name_bytes,) = struct.unpack_from("<H", data, start)
            kind, value_bytes = struct.unpack_from("<HH", data, start + 2 + name_bytes)
            return start + 2, name_bytes, value_bytes, kind
        _, _, name_bytes, kind, value_bytes = struct.unpack_from("<HHHHI", data, start)
    except struct.error as error:
        raise Malformed("a list of attributes in its ASF header is cut off") from error
    return start + 12, name_bytes, value_bytes, kind


def _read_texts(data: bytes) -> Items:
    """The content description: five lengths, five texts."""
    sizes = struct.unpack_from("<5H", data.ljust(10, b"\0"))
    if len(data) < 10 + sum(sizes):
        raise Malformed("the content description in its ASF header is cut off")
    items, start = [], 10
    for key, size in zip(TEXTS, sizes, strict=True):
        if size:
            items.append(Item(key, data[start : start + size], "1"))
        start += size
    return tuple(items)


def _render(place: str, items: list[Item]) -> bytes:
    if place == "1":
        texts = [next((item.raw for item in items if item.key == key), b"") for key in TEXTS]
        return struct.pack("<5H", *map(len, texts)) + b"".join(texts)
    return struct.pack("<H", len(items)) + b"".join(item.raw for item in items)


def _value(item: Item) -> bytes:
    if item.place == "1":
        return item.raw
    _, _, value_bytes, _ = _layout(item.place, item.raw, 0)
    return item.raw[len(item.raw) - value_bytes :]


def _name(item: Item) -> str:
    """What an attribute is really called."""
    name_at, name_bytes, _, _ = _layout(item.place, item.raw, 0)
    return _decode(item.raw[name_at : name_at + name_bytes])


def _attribute(place: str, key: str, text: str) -> Item:
    name, data = _encode(key), _encode(text)
    if place == "2":
        return Item(key, struct.pack("<H", len(name)) + name + struct.pack("<HH", TEXT, len(data)) + data, place)
    return Item(key, struct.pack("<HHHHI", 0, 0, len(name), TEXT, len(data)) + name + data, place)


def _encode(text: str) -> bytes:
    return f"{text}\0".encode("utf-16-le")


def _decode(data: bytes) -> str:
    return data.decode("utf-16-le", "replace").strip("\0")
