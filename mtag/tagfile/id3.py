"""ID3v2.2, 2.3 and 2.4 tags, frame by frame; the version found is kept and foreign frames are never respelt."""

from __future__ import annotations

import contextlib
import itertools
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from mtag.field import Field
from mtag.tagfile.fields import SEPARATOR, Style, genre_names, genre_text
from mtag.tagfile.items import PADDING_BYTES, Container, Dialect, Item, Items, Room
from mtag.tagfile.reading import MAX_ITEMS, Malformed, at_most, read_at, size_of

HEADER_BYTES = 10
FRAME_IDS = {2: re.compile(rb"[A-Z0-9]{3}"), 3: re.compile(rb"[A-Z0-9]{3}[A-Z0-9 \0]")}
ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")  # by the byte that begins a text
KNOWN = (b"\0", b"\1", b"\2", b"\3")  # those bytes
OWN_DESCRIPTION = re.compile(r"(mtag( \d+)?)?")  # of the comments that mtag reads as the user's or its own
LANGUAGE = b"eng"
MAX_UNPACKED = 1 << 24  # bytes of all packed frames of a tag
PACKED_WITHIN = 7  # bytes of a frame before which packed data begins: lengths and groups stand there

# Frames that hold a field under another name than `KEYS` has: moods that are ahead of 2.4, and iTunes's groupings.
ALIASES = {"TMOO": Field.MOOD, "GRP1": Field.GROUPING, "GP1": Field.GROUPING}
FREE_FRAMES = ("TXX", "TXXX")  # whose description names them
DESCRIPTIONS = {"MOOD": Field.MOOD, "MTAG": Field.PROVENANCE}  # in any case


@dataclass(frozen=True)
class ID3(Dialect):
    """One version of ID3v2, and the habits of the tag it was found in."""

    # A file without any tag gets ID3v2.4 in UTF-8 unless asked otherwise: it alone has several values, and servers and
    # players of the last fifteen years read it.
    version: int = 4  # 2, 3 or 4
    plain_sizes: bool = False  # 2.4 with frame sizes of eight bits a byte, as old iTunes wrote them
    unsynchronised: bool = False  # no byte FF is followed by one that could look like audio

    @property
    def name(self) -> str:
        """The row of `KEYS`."""
        return f"id3v2.{self.version}"

    @property
    def spelling(self) -> str:
        """Everything that decides how frames are spelt."""
        return self.name + " plain" * self.plain_sizes + " unsynchronised" * self.unsynchronised

    @property
    def joint(self) -> str:
        """What stands between the values of a text."""
        return "\0" if self.version == 4 else SEPARATOR

    @property
    def year(self) -> str:
        """The frame that holds the year."""
        return "TDRC" if self.version == 4 else "TYER"

    @property
    def head(self) -> int:
        """Length of a frame's header in bytes."""
        return 6 if self.version == 2 else 10

    def texts(self, item: Item) -> tuple[str, ...]:
        """Texts of a frame; genre codes are spelt out."""
        return self._spelt_out(item, self._stored(item))

    def values(self, item: Item) -> tuple[str, ...]:
        """Names in a frame; versions before 2.4 have them all in one text."""
        if self.version == 4 or item.key in (self.keys[Field.COMMENT], self.keys[Field.PROVENANCE]):
            return self.texts(item)
        names = (part.strip() for text in self._stored(item) for part in text.split(SEPARATOR))
        return self._spelt_out(item, names)

    def _stored(self, item: Item) -> tuple[str, ...]:
        body = self.body(item.raw)
        if item.key == self.keys[Field.COMMENT]:
            return _comment(body)[2]
        if self._frame_id(item.raw) in FREE_FRAMES:
            return _described(body[:1], body[1:])[1]
        return _texts(body[:1], body[1:])

    def _spelt_out(self, item: Item, texts: Iterable[str]) -> tuple[str, ...]:
        if item.key != self.keys[Field.GENRE]:
            return tuple(texts)
        return tuple(genre for text in texts for genre in genre_names(text))

    def with_values(self, item: Item, values: tuple[str, ...]) -> Item:
        """Spell a comment anew in its own language and under its own description."""
        language, description, _ = _comment(self.body(item.raw))
        return self._comment_frame(language, description, values)

    def spell(self, field: Field, names: tuple[str, ...], style: Style, like: Item | None) -> Items:
        """One frame; its names are null-separated in 2.4 and joined before, or where the style asks for it."""
        if field is Field.GENRE and style.separator is None:
            names = tuple(map(genre_text, names))
        text = (style.separator or self.joint).join(names)
        if field is Field.GENRE and style.separator is not None:
            text = genre_text(text)
        return (self.text(self.keys[field], (text,)),) if names else ()

    def text(self, name: str, values: tuple[str, ...]) -> Item:
        """A frame of text; what is behind a colon in its name is its description."""
        frame, *description = name.split(":", 1)
        return self.item(frame, self._encode(*description, self.joint.join(values)))

    def comment(self, line: str, others: Items) -> Item:
        """A frame without description, or with "mtag" for one where somebody else's has none."""
        taken = {_comment(self.body(item.raw))[1] for item in others if item.key == self.keys[Field.COMMENT]}
        names = itertools.chain(("", "mtag"), (f"mtag {n}" for n in itertools.count(2)))
        return self._comment_frame(LANGUAGE, next(name for name in names if name not in taken), (line,))

    def _comment_frame(self, language: bytes, description: str, values: tuple[str, ...]) -> Item:
        text = self._encode(description, *values)
        return self.item(self.keys[Field.COMMENT], text[:1] + language + text[1:])

    def _encode(self, *texts: str) -> bytes:
        """Spell texts, null-separated; each one in UTF-16 has its own byte order mark."""
        text = "\0".join(texts)
        if self.version == 4:
            return b"\3" + text.encode()
        if text.isascii():
            return b"\0" + text.encode("ascii")
        return b"\1" + "\0".join(f"\ufeff{part}" for part in texts).encode("utf-16-le")

    def item(self, name: str, body: bytes) -> Item:
        """A new frame."""
        size = len(body)
        if self.version == 2:
            raw = name.encode() + size.to_bytes(3, "big") + body
        else:
            width = size.to_bytes(4, "big") if self.version == 3 or self.plain_sizes else _syncsafe(size)
            raw = name.encode() + width + b"\0\0" + body
        return Item(self._key(raw), raw)

    @classmethod
    def of(cls, spelling: str) -> ID3:
        """The dialect that has a spelling."""
        name, *habits = spelling.split()
        return cls(int(name[-1]), "plain" in habits, "unsynchronised" in habits)

    def adopt(self, item: Item, old: Dialect) -> Item:
        """Respell a frame from another version of ID3v2."""
        if old == self or not isinstance(old, ID3):
            return item
        if item.key == old.keys[Field.COMMENT]:
            language, description, values = _comment(old.body(item.raw))
            return self._comment_frame(language, description, values)
        field = next(field for field, key in old.keys.items() if key == item.key)
        names = old.values(item)
        return self.spell(field, names, Style(), None)[0] if names else self.text(self.keys[field], ())

    def split(self, data: bytes) -> Items:
        """Cut a tag's body into frames; what follows them has to be padding."""
        return tuple(Item(self._key(raw), raw) for raw in at_most(MAX_ITEMS, self._frames(data)))

    def _frames(self, data: bytes) -> Iterator[bytes]:
        ids, start, left = FRAME_IDS[min(self.version, 3)], 0, MAX_UNPACKED
        while start + self.head <= len(data) and data[start]:
            size = self._size(data[start : start + self.head])
            stop = start + self.head + size
            if not ids.match(data, start) or stop > len(data):
                raise Malformed(f"its ID3 tag has no whole frame at byte {start} of its body")
            raw = bytes(data[start:stop])
            if self._is_packed(raw):
                left -= _unpacked_bytes(raw[self.head :], left)
                if not left:
                    raise Malformed(f"the packed frames of its ID3 tag hold more than {MAX_UNPACKED >> 20} MB")
            yield raw
            start = stop
        if data[start:].strip(b"\0"):
            raise Malformed(
                f"its ID3 tag has something other than padding behind its frames, at byte {start} of its body"
            )

    def _is_packed(self, raw: bytes) -> bool:
        return self.version > 2 and bool(raw[9] & (0x80 if self.version == 3 else 0x08))

    def _size(self, header: bytes) -> int:
        if self.version == 2:
            return int.from_bytes(header[3:6], "big")
        size = header[4:8]
        return int.from_bytes(size, "big") if self.version == 3 or self.plain_sizes else _from_syncsafe(size)

    def _frame_id(self, raw: bytes) -> str:
        return raw[: 3 if self.version == 2 else 4].decode("latin-1")

    def _key(self, raw: bytes) -> str:
        name = self._frame_id(raw)
        if name in ALIASES:
            return self.keys[ALIASES[name]]
        if name != self.keys[Field.COMMENT] and name not in FREE_FRAMES:
            return name
        try:
            body = self.body(raw)
            if name in FREE_FRAMES:
                field = DESCRIPTIONS.get(_described(body[:1], body[1:])[0].upper())
                return self.keys[field] if field else name
            description = _comment(body)[1]
        except Malformed:
            return f"{name}:?"  # nobody can show it, so it is nobody's
        return name if OWN_DESCRIPTION.fullmatch(description) else f"{name}:{description}"

    def body(self, raw: bytes) -> bytes:
        """A frame's content, unpacked."""
        data = raw[self.head :]
        if self.version == 2:
            return data
        flags = raw[9]
        if flags & (0x40 if self.version == 3 else 0x04):
            raise Malformed("a frame of its ID3 tag is encrypted")
        packed = self._is_packed(raw)
        if self.version == 3:
            data = data[4 * packed + bool(flags & 0x20) :]
        else:
            data = data[bool(flags & 0x40) + 4 * (packed or flags & 0x01) :]
            if flags & 0x02 or self.unsynchronised:
                data = _synchronise(data)
        return _unpack(data) if packed else data


@dataclass(frozen=True)
class Tag:
    """A tag as it was found."""

    dialect: ID3
    items: Items
    size: int  # bytes in the file, header and footer included


class ID3Container(Container):
    """A file that has an ID3v2 tag somewhere, or room for one."""

    dialect: ID3

    def take(self, tag: Tag | None) -> None:
        """Note the tag that was found, or that there is none."""
        self.dialect = tag.dialect if tag else ID3()
        self.items = tag.items if tag else None
        self.room = (tag.size if tag else 0,)

    def begin(self, style: Style) -> None:
        """Choose the version of a new tag."""
        if self.items is None:
            self.dialect = ID3(style.id3_version)

    @property
    def size(self) -> int:
        """Bytes that the tag takes up now, zeros behind it that nobody counts as padding included."""
        return sum(self.room)

    def render(self, items: Items | None, room: Room) -> bytes:
        """Spell a tag of the wanted size, or else of that of the old one, if it fits; nothing at all for None."""
        return b"" if items is None else render(self.dialect, items, (*room[:1], self.size))


def read_tag(file: BinaryIO, start: int = 0) -> Tag | None:
    """Read the tag that begins at an offset, None where none does."""
    size = tag_size(file, start)
    if not size:
        return None
    header = read_at(file, start, HEADER_BYTES)
    version, flags = header[3], header[5]
    if version not in (2, 3, 4) or (version == 2 and flags & 0x40):
        raise Malformed(f"its tag is ID3v2.{version} with flags {flags:02x}, which is not known")
    data = read_at(file, start + HEADER_BYTES, _from_syncsafe(header[6:10]))
    unsynchronised = bool(flags & 0x80)
    if unsynchronised and version < 4:
        data = _synchronise(data)
    if flags & 0x40:
        data = data[_extended_header_size(version, data) :]
    dialect = ID3(version, unsynchronised=unsynchronised)
    try:
        return Tag(dialect, dialect.split(data), size)
    except Malformed:
        plain = ID3(version, plain_sizes=True, unsynchronised=unsynchronised)
        with contextlib.suppress(Malformed):
            if version == 4:
                return Tag(plain, plain.split(data), size)
        raise


def tag_size(file: BinaryIO, start: int = 0) -> int:
    """Length in bytes of the tag that begins at an offset, 0 where none does."""
    if start + HEADER_BYTES > size_of(file):
        return 0
    header = read_at(file, start, HEADER_BYTES)
    if header[:3] != b"ID3":
        return 0
    footer = HEADER_BYTES if header[3] == 4 and header[5] & 0x10 else 0
    return HEADER_BYTES + _from_syncsafe(header[6:10]) + footer


def render(dialect: ID3, items: Items, sizes: Iterable[int]) -> bytes:
    """Spell a whole tag, padded to the first of some sizes that it fits into, or with new padding where it fits none.

    The extended header and the footer go: both only describe the tag (a checksum, a copy of the header), and the
    description would no longer hold.
    """
    body = b"".join(item.raw for item in items)
    if dialect.unsynchronised and dialect.version < 4:
        body = _unsynchronise(body)
    least = HEADER_BYTES + len(body)
    size = next((size for size in sizes if size >= least), least + PADDING_BYTES)
    flags = 0x80 if dialect.unsynchronised else 0
    return bytes((*b"ID3", dialect.version, 0, flags)) + _syncsafe(size - HEADER_BYTES) + body + bytes(size - least)


def _comment(body: bytes) -> tuple[bytes, str, tuple[str, ...]]:
    """Language, description and texts of a comment frame."""
    return body[1:4], *_described(body[:1], body[4:])


def _described(encoding: bytes, data: bytes) -> tuple[str, tuple[str, ...]]:
    """Description and texts of a frame that has both."""
    wide = encoding in (b"\1", b"\2")
    if encoding not in KNOWN:
        raise Malformed("a comment of its ID3 tag has an unknown encoding")
    end = data.find(bytes(1 + wide))
    while end % (1 + wide) and end > 0:
        end = data.find(bytes(1 + wide), end + 1)
    if end < 0:
        raise Malformed("a comment of its ID3 tag has no end of description")
    return "".join(_texts(encoding, data[:end])), _texts(encoding, data[end + 1 + wide :])


def _texts(encoding: bytes, data: bytes) -> tuple[str, ...]:
    """Decode null-separated texts; none at all where the encoding is not known."""
    if encoding not in KNOWN:
        return ()
    if encoding == b"\1" and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        data = b"\xff\xfe" + data
    text = data.decode(ENCODINGS[encoding[0]], "replace")
    if encoding in (b"\1", b"\2") and len(data) % 2:
        text = text.removesuffix("\ufffd")  # half a terminator
    texts = tuple(part.removeprefix("\ufeff") for part in text.split("\0"))
    return texts[:-1] if texts[-1] == "" else texts


def _extended_header_size(version: int, data: bytes) -> int:
    if FRAME_IDS[3].match(data):
        return 0  # some programs announce one and write none
    size = _from_syncsafe(data[:4]) if version == 4 else 4 + int.from_bytes(data[:4], "big")
    if not 6 <= size <= len(data):
        raise Malformed("the extended header of its ID3 tag has an impossible size")
    return size


def _unpacked_bytes(data: bytes, most: int) -> int:
    """What a packed frame becomes, up to a limit, wherever in it a reader takes the packed data to begin."""
    sizes = [0]
    for packed, start in itertools.product((data, _synchronise(data)), range(PACKED_WITHIN)):
        with contextlib.suppress(zlib.error):
            sizes.append(len(zlib.decompressobj().decompress(packed[start:], most)))
    return max(sizes)


def _unpack(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MAX_UNPACKED)
    except zlib.error as error:
        raise Malformed("a packed frame of its ID3 tag cannot be unpacked") from error


def _synchronise(data: bytes) -> bytes:
    """Undo unsynchronisation; data that was never treated, for all its flag, stays as it is."""
    if re.search(rb"\xff[\xe0-\xff]", data):
        return data
    return data.replace(b"\xff\0", b"\xff")


def _unsynchronise(data: bytes) -> bytes:
    return re.sub(rb"\xff(?=[\xe0-\xff\0]|\Z)", b"\xff\0", data)


def _syncsafe(number: int) -> bytes:
    """Spell a number in four bytes of seven bits."""
    if number >= 1 << 28:
        raise Malformed("its ID3 tag would grow beyond 256 MB")
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _from_syncsafe(data: bytes) -> int:
    """Read a number in bytes of seven bits."""
    if len(data) < 4 or max(data) > 0x7F:
        raise Malformed("a size in its ID3 tag is not made of seven-bit bytes")
    return data[0] << 21 | data[1] << 14 | data[2] << 7 | data[3]
