"""MP4 and M4A files: atoms within atoms, the tag in moov.udta.meta.ilst."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from mtag.copying import Patch
from mtag.field import Field
from mtag.tagfile.fields import Style, genre_names
from mtag.tagfile.items import KEYS, PADDING_BYTES, Container, Dialect, Item, Items, Room
from mtag.tagfile.reading import MAX_ITEMS, MAX_PARTS, Malformed, at_most, read_at, size_of

HANDLER = b"\0" * 8 + b"mdirappl" + b"\0" * 9  # content of the atom that says: iTunes's kind of tag
FREEFORM = b"----"
NAMES = (b"mean", b"name")  # of the atoms that name a freeform atom
OWN_NAME = ("com.apple.iTunes", "mtag comment")  # mtag's comment beside somebody else's, as a freeform atom
ENCODINGS = {0: "utf-8", 1: "utf-8", 2: "utf-16-be"}  # by type of data
TERMINATOR_BYTES = 64  # as many zeros, or fewer at its end, close an atom's content
PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mfra")  # of tables of file offsets


class Atom(NamedTuple):
    """Where an atom lies in the file."""

    name: bytes
    start: int
    content: int  # offset of the first byte behind its header
    stop: int


class MP4Tag(Dialect):
    """Atoms of iTunes's kind: a name, and data atoms within."""

    @property
    def name(self) -> str:
        """The row of `KEYS`."""
        return "mp4"

    def texts(self, item: Item) -> tuple[str, ...]:
        """One text a data atom; ID3's genre numbers are spelt out."""
        data = _data(item.raw)
        if item.raw[4:8] == b"gnre":
            numbers = (int.from_bytes(content, "big") - 1 for _, content in data)
            return tuple(name for number in numbers if number >= 0 for name in genre_names(str(number)))
        return tuple(content.decode(ENCODINGS[kind], "replace") for kind, content in data)

    def with_values(self, item: Item, values: tuple[str, ...]) -> Item:
        """Keep the name, which for freeform atoms stands in atoms before the data."""
        names = [atom for atom in _split(item.raw[8:]) if atom[4:8] != b"data"]
        return _item(_atom(item.raw[4:8], b"".join([*names, *map(_text, values)])))

    def spell(self, field: Field, names: tuple[str, ...], style: Style, like: Item | None) -> Items:
        """One atom with a data atom for each name."""
        data = b"".join(map(_text, style.joined(names)))
        name, *inner = self.keys[field].split(":")
        return (_item(_atom(name.encode("latin-1"), _names(*inner) + data)),) if data else ()

    def comment(self, line: str, others: Items) -> Item:
        """The comment proper, or a freeform atom where that is somebody else's."""
        name = self.keys[Field.COMMENT].encode("latin-1")
        if all(item.raw[4:8] != name for item in others):
            return _item(_atom(name, _text(line)))
        return _item(_atom(FREEFORM, _names(*OWN_NAME) + _text(line)))


class MP4(Container):
    """An MP4 file."""

    name = "an MP4 file"

    def __init__(self, file: BinaryIO) -> None:
        """Find the way to the tag, as far as it goes."""
        self.dialect = MP4Tag()
        self.file = file
        self.top = list(at_most(MAX_PARTS, _atoms(file, 0, size_of(file))))
        self.path: list[Atom] = []
        inside = self.top
        for name in (b"moov", b"udta", b"meta", b"ilst"):
            found = next((atom for atom in inside if atom.name == name), None)
            if found is None:
                break
            self.path.append(found)
            self.siblings, inside = inside, self._inside(found)
        if not self.path:
            raise Malformed("it is an MP4 file without a moov atom")
        if len(self.path) > 2:
            self._check_handler()
        if len(self.path) == 4:
            ilst = self.path[-1]
            self.items = tuple(_item(raw) for raw in _split(read_at(file, ilst.content, ilst.stop - ilst.content)))
        self.span = self._span()
        self.room = (len(self.path), self.span[1] - self.span[0])

    def _inside(self, atom: Atom) -> list[Atom]:
        if atom.name == b"ilst":
            return []
        start = atom.content
        if atom.name == b"meta" and read_at(self.file, start + 4, 4) != b"hdlr":
            start += 4  # version and flags, which QuickTime leaves out
        return list(at_most(MAX_PARTS, _atoms(self.file, start, atom.stop)))

    def _check_handler(self) -> None:
        handlers = [atom for atom in self._inside(self.path[2]) if atom.name == b"hdlr"]
        if not handlers or read_at(self.file, handlers[0].content + 8, 4) != b"mdir":
            raise Malformed("it is an MP4 file whose tag is not of iTunes's kind")

    def rewrite(self, items: Items | None, room: Room = ()) -> list[Patch]:
        """Replace the tag and the free space beside it; where their length changes, all that lies behind moves."""
        (start, stop), parents = self.span, self.path[:3]
        if items is not None:
            ilst = _atom(b"ilst", b"".join(item.raw for item in items))
            data = self._wrapped(ilst, (*room[1:], stop - start))
        elif room and self._is_alone_below(room[0]):
            if room[0] < 3:
                start, stop = self.path[room[0]].start, self.path[room[0]].stop
            parents, data = self.path[: room[0]], _free(sum(room[1:]))
        else:
            data = _free(stop - start)
        shift = len(data) - (stop - start)
        patches = [Patch(start, stop, data)]
        if shift:
            patches += [patch for atom in parents for patch in self._resized(atom, shift)]
            patches += self._moved(self.top, stop, shift)
        return patches

    def _is_alone_below(self, depth: int) -> bool:
        """Whether the tag has brought all there is from a depth of the path on: what comes with it can go with it."""
        inside = [atom.name for parent in self.path[depth:-1] for atom in self._inside(parent)]
        return 0 < depth < len(self.path) == 4 and set(inside) <= {b"meta", b"hdlr", b"ilst", b"free"}

    def _span(self) -> tuple[int, int]:
        """Where the tag lies or has to go, the free space around it included."""
        last = self.path[-1]
        if len(self.path) == 2:
            return last.content, last.content  # some files end this atom with a terminator
        if len(self.path) < 4:
            inside = self._inside(last)  # free space at the end of meta is all that an earlier tag left
            free = bool(inside) and inside[-1].name == b"free"
            return (inside[-1].start, inside[-1].stop) if free else (last.stop, last.stop)
        start, stop = last.start, last.stop
        for atom in self.siblings:
            if atom.name == b"free" and atom.start == stop:
                stop = atom.stop
        for atom in reversed(self.siblings):
            if atom.name == b"free" and atom.stop == start:
                start = atom.start
        return start, stop

    def _wrapped(self, ilst: bytes, sizes: Room) -> bytes:
        """The tag padded to the first of some sizes that it can have, inside whatever the file lacks around it."""
        spare = next((size - len(ilst) for size in sizes if size == len(ilst) or size >= len(ilst) + 8), PADDING_BYTES)
        data = ilst + _free(spare)
        if len(self.path) < 3:
            data = _atom(b"meta", b"\0" * 4 + _atom(b"hdlr", HANDLER) + data)
        return _atom(b"udta", data) if len(self.path) < 2 else data

    def _resized(self, atom: Atom, shift: int) -> list[Patch]:
        size = int.from_bytes(read_at(self.file, atom.start, 4), "big")
        if size == 0:
            return []  # reaches to the file's end, wherever that is
        at, width = (atom.start + 8, 8) if size == 1 else (atom.start, 4)
        return [Patch(at, at + width, (atom.stop - atom.start + shift).to_bytes(width, "big"))]

    def _moved(self, atoms: list[Atom], behind: int, shift: int) -> Iterator[Patch]:
        """Correct all file offsets that point behind a place where bytes come in or go."""
        for atom in atoms:
            if atom.name in PARENTS:
                yield from self._moved(self._inside(atom), behind, shift)
            elif atom.name in (b"stco", b"co64", b"tfhd", b"tfra"):
                old = read_at(self.file, atom.content, atom.stop - atom.content)
                new = _shifted(atom.name, old, behind, shift)
                if new != old:
                    yield Patch(atom.content, atom.stop, new)


def _shifted(name: bytes, table: bytes, behind: int, shift: int) -> bytes:
    """A table of file offsets with those moved that point behind a place."""
    new = bytearray(table)
    for at, width in _offsets(name, table):
        offset = int.from_bytes(table[at : at + width], "big")
        if offset >= behind:
            new[at : at + width] = (offset + shift).to_bytes(width, "big")
    return bytes(new)


def _offsets(name: bytes, table: bytes) -> Iterator[tuple[int, int]]:
    """Where a table holds file offsets, and in how many bytes each."""
    version, flags = table[0], int.from_bytes(table[1:4], "big")
    if name == b"tfhd":
        if flags & 1:
            yield 8, 8
        return
    if name == b"tfra":
        sizes, n = struct.unpack_from(">II", table, 8)
        start, width = 16, 8 if version else 4
        step = 2 * width + sum(1 + (sizes >> bits & 3) for bits in (4, 2, 0))
        first = start + width
    else:
        n = struct.unpack_from(">I", table, 4)[0]
        first, width = 8, 4 if name == b"stco" else 8
        step = width
    if first + step * (n - 1) + width > len(table):
        raise Malformed("a table of offsets in its MP4 structure is cut off")
    for index in range(n):
        yield first + step * index, width


def _atoms(file: BinaryIO, start: int, stop: int) -> Iterator[Atom]:
    """The atoms that lie one behind the other between two offsets."""
    is_top = start == 0
    while stop - start >= 8:
        size, name = struct.unpack(">I4s", read_at(file, start, 8))
        content = start + 8
        if size == 1:
            size, content = int.from_bytes(read_at(file, content, 8), "big"), content + 8
        elif size == 0 and is_top:
            size = stop - start
        elif size == 0 and not any(read_at(file, start, min(stop - start, TERMINATOR_BYTES))):
            return
        if size < content - start or start + size > stop:
            raise Malformed(f"an MP4 atom at byte {start} has an impossible size")
        yield Atom(name, start, content, start + size)
        start += size


def _split(data: bytes) -> list[bytes]:
    """Cut the content of an atom into the atoms it consists of."""
    return list(at_most(MAX_ITEMS, _cut(data)))


def _cut(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        size = int.from_bytes(data[start : start + 4], "big")
        if not 8 <= size <= len(data) - start:
            raise Malformed("an atom in its MP4 tag has an impossible size")
        yield data[start : start + size]
        start += size


def _item(raw: bytes) -> Item:
    """Name an atom of the tag; one of the fields that holds no plain text is nobody's."""
    key = raw[4:8].decode("latin-1")
    try:
        if key == "gnre":
            key = "©gen"
        elif key == "----":
            names = [part[12:].decode("utf-8", "replace") for part in _split(raw[8:]) if part[4:8] in NAMES]
            key = "©cmt" if tuple(names) == OWN_NAME else ":".join((key, *names))
        readable = key not in KEYS["mp4"].values() or all(kind in ENCODINGS for kind, _ in _data(raw))
    except Malformed:
        readable = False
    return Item(key if readable else f"{key}:?", raw)


def _data(raw: bytes) -> list[tuple[int, bytes]]:
    """Type and content of each data atom."""
    parts = [part for part in _split(raw[8:]) if part[4:8] not in NAMES]
    if any(part[4:8] != b"data" or len(part) < 16 for part in parts):
        raise Malformed("an atom in its MP4 tag holds no data")
    return [(int.from_bytes(part[9:12], "big"), part[16:]) for part in parts]


def _atom(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def _names(*texts: str) -> bytes:
    """The atoms that name a freeform atom; none for any other."""
    return b"".join(_atom(name, b"\0" * 4 + text.encode()) for name, text in zip(NAMES, texts, strict=False))


def _text(text: str) -> bytes:
    return _atom(b"data", struct.pack(">II", 1, 0) + text.encode())


def _free(size: int) -> bytes:
    return _atom(b"free", bytes(size - 8)) if size >= 8 else b""
