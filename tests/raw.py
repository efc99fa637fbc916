"""A music file taken apart into its stored items, byte for byte, by small parsers that share nothing with mtag's own.

They are for whole files made by the tests: a damaged one raises whatever it raises.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Raw(NamedTuple):
    """One stored item; offsets and padding, which any writer may move, are not among them."""

    key: str  # where it lies and what it is called: "TCON", "GENRE", "ilst/©gen", "chunk fmt "
    data: bytes  # as stored; a digest of the audio


def items(path: Path) -> list[Raw]:
    """Everything in a file, in its order."""
    data = path.read_bytes()
    behind = data[_id3_size(data) :]
    if behind[:4] == b"fLaC":
        return list(_flac(data))
    for magic, parse in (
        (b"OggS", _ogg),
        (b"RIFF" + data[4:8] + b"WAVE", _riff),
        (b"FORM" + data[4:8] + b"AIFF", _iff),
        (b"FORM" + data[4:8] + b"AIFC", _iff),
        (b"DSD ", _dsf),
        (_ASF_HEADER, _asf),
        (b"MAC ", _ape),
        (b"wvpk", _ape),
        (b"MPCK", _ape),
        (b"MP+", _ape),
    ):
        if data.startswith(magic):
            return list(parse(data))
    return list(_mp4(data) if data[4:8] in (b"ftyp", b"moov") else _mpeg(data))


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _syncsafe(data: bytes) -> int:
    return (
        int.from_bytes(data, "big") if any(b > 127 for b in data) else sum(b << 7 * n for n, b in enumerate(data[::-1]))
    )


def _id3_size(data: bytes) -> int:
    return 10 + _syncsafe(data[6:10]) + 10 * (data[5] >> 4 & 1) if data[:3] == b"ID3" else 0


def _id3(data: bytes) -> Iterator[Raw]:
    """The frames of one tag."""
    version, flags = data[3], data[5]
    body = data[10 : 10 + _syncsafe(data[6:10])]
    if flags & 0x80 and version < 4:
        body = body.replace(b"\xff\x00", b"\xff")
    yield Raw("id3", bytes([version]))
    at = 0
    if flags & 0x40 and version > 2:
        at = _syncsafe(body[:4]) if version == 4 else 4 + int.from_bytes(body[:4], "big")  # tells of padding only
    head, size = (6, slice(3, 6)) if version == 2 else (10, slice(4, 8))
    while at + head <= len(body) and body[at]:
        number = _syncsafe(body[at:][size]) if version == 4 else int.from_bytes(body[at:][size], "big")
        frame = body[at : at + head + number]
        yield Raw(frame[: size.start].decode("latin-1"), frame)
        at += head + number


def _mpeg(data: bytes) -> Iterator[Raw]:
    size = _id3_size(data)
    if size:
        yield from _id3(data)
    yield Raw("rest", _digest(data[size:]))  # the frames, and whatever tags lie behind them


def _vorbis(body: bytes) -> Iterator[Raw]:
    """The entries of a Vorbis comment, and what lies behind them."""
    at = 4 + int.from_bytes(body[:4], "little")
    yield Raw("vendor", body[4:at])
    count = int.from_bytes(body[at : at + 4], "little")
    at += 4
    for _ in range(count):
        size = int.from_bytes(body[at : at + 4], "little")
        entry = body[at + 4 : at + 4 + size]
        yield Raw(entry.partition(b"=")[0].decode("latin-1").upper(), entry)
        at += 4 + size
    yield Raw("behind the comments", body[at:].rstrip(b"\0"))


def _flac(data: bytes) -> Iterator[Raw]:
    at = _id3_size(data)
    yield Raw("front tag", data[:at])
    at += 4
    last = False
    while not last:
        last, kind, size = bool(data[at] >> 7), data[at] & 127, int.from_bytes(data[at + 1 : at + 4], "big")
        body = data[at + 4 : at + 4 + size]
        if kind == 4:
            yield from _vorbis(body)
        elif kind != 1:
            yield Raw(f"block {kind}", body)
        at += 4 + size
    yield Raw("rest", _digest(data[at:]))


def _ogg(data: bytes) -> Iterator[Raw]:
    """The packets; the second holds the comments."""
    packets, positions, packet, at = [], [], b"", 0
    while at < len(data):
        if data[at : at + 4] != b"OggS":
            raise ValueError(f"no page at {at}")
        lacing = data[at + 27 : at + 27 + data[at + 26]]
        body = at + 27 + len(lacing)
        for size in lacing:
            packet += data[body : body + size]
            body += size
            if size < 255:
                packets.append(packet)
                packet = b""
        positions.append(data[at + 6 : at + 14])
        at = body
    yield Raw("first packet", packets[0])
    start = {ord("\3"): len(b"\3vorbis"), ord("O"): len(b"OpusTags")}.get(packets[1][0], 4)  # else a FLAC block
    yield from _vorbis(packets[1][start:])
    yield Raw("rest", _digest(b"".join(struct.pack("<I", len(packet)) + packet for packet in packets[2:])))
    yield Raw("end", positions[-1])


_PARENTS = frozenset({"moov", "udta", "trak", "mdia", "minf", "stbl", "meta", "ilst"})


def _mp4(data: bytes, where: str = "") -> Iterator[Raw]:
    at = 0
    while at + 8 <= len(data):
        size, name, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8].decode("latin-1"), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        body = data[at + head : at + (size or len(data) - at)]
        at += size or len(data)
        if name in _PARENTS:
            if name == "meta":
                if not {atom.key.rpartition("/")[2] for atom in _mp4(body[4:])} - {"hdlr"} and b"ilst" not in body:
                    continue  # the shell of a tag that is gone
                yield Raw(f"{where}meta", body[:4])
                body = body[4:]
            yield from _mp4(body, "ilst/" if name == "ilst" else f"{where}{name}/")
        elif name == "mdat":
            yield Raw(name, _digest(body))
        elif name in ("stco", "co64"):  # offsets move with the audio; decoding tells whether they are right
            yield Raw(f"{where}{name}", body[:8])
        elif name == "----":
            size = int.from_bytes(body[:4], "big")
            title = body[size + 12 : size + int.from_bytes(body[size : size + 4], "big")]
            yield Raw(f"{where}----:{body[12:size].decode('latin-1')}:{title.decode('latin-1')}", body)
        elif name not in ("free", "skip"):
            yield Raw(f"{where}{name}", body)
    if 0 < len(data) - at < 8:
        yield Raw(f"{where}end", data[at:])


_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DESCRIPTION = bytes.fromhex("3326b2758e66cf11a6d900aa0062ce6c")
_ASF_EXTENDED = bytes.fromhex("40a4d0d207e3d21197f000a0c95ea850")
_ASF_EXTENSION = bytes.fromhex("b503bf5f2ea9cf118ee300c00c205365")
_ASF_METADATA = bytes.fromhex("eacbf8c5af5b77488467aa8c44fa4cca")
_ASF_LIBRARY = bytes.fromhex("941c23449894d149a1411d134e457054")
_ASF_PADDING = bytes.fromhex("74d40618dfca0945a4ba9aabcb96aae8")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def _asf(data: bytes) -> Iterator[Raw]:
    size = int.from_bytes(data[16:24], "little")
    yield Raw("header", data[28:30])
    yield from _asf_objects(data[30:size])
    yield Raw("rest", _digest(data[size:]))


def _asf_objects(data: bytes) -> Iterator[Raw]:
    at = 0
    while at < len(data):
        guid, size = data[at : at + 16], int.from_bytes(data[at + 16 : at + 24], "little")
        body = data[at + 24 : at + size]
        at += size
        if guid == _ASF_DESCRIPTION:
            start = 10
            for n, name in enumerate(("Title", "Author", "Copyright", "Description", "Rating")):
                length = int.from_bytes(body[2 * n : 2 * n + 2], "little")
                if length > 2:  # an empty text is none
                    yield Raw(name, body[start : start + length])
                start += length
        elif guid == _ASF_EXTENDED:
            yield from _asf_attributes(body, long=False)
        elif guid in (_ASF_METADATA, _ASF_LIBRARY):
            yield from _asf_attributes(body, long=True)
        elif guid == _ASF_EXTENSION:
            yield Raw("extension", body[:18])
            yield from _asf_objects(body[22:])
        elif guid == _ASF_PROPERTIES:
            yield Raw("properties", body[:16] + body[24:])  # without the file's size
        elif guid != _ASF_PADDING:
            yield Raw(f"object {guid.hex()}", body)


def _asf_attributes(body: bytes, *, long: bool) -> Iterator[Raw]:
    at = 2
    for _n in range(int.from_bytes(body[:2], "little")):
        start = at
        if long:
            length, _, size = struct.unpack("<HHI", body[at + 4 : at + 12])
            at += 12
            name = body[at : at + length]
            at += length
        else:
            length = int.from_bytes(body[at : at + 2], "little")
            name = body[at + 2 : at + 2 + length]
            at += 2 + length
            size = int.from_bytes(body[at + 2 : at + 4], "little")
            at += 4
        at += size
        yield Raw(name.decode("utf-16-le").rstrip("\0"), body[start:at])


def _ape(data: bytes) -> Iterator[Raw]:
    has_v1 = data[-128:-125] == b"TAG" and data[-32:-24] != b"APETAGEX"
    end = len(data) - (128 if has_v1 else 0)
    start = end
    entries: list[Raw] = []
    if data[end - 32 : end - 24] == b"APETAGEX":
        size, count, flags = struct.unpack("<III", data[end - 20 : end - 8])
        at = end - size
        start = at - (32 if flags >> 31 else 0)
        for _ in range(count):
            length = int.from_bytes(data[at : at + 4], "little")
            name_end = data.index(b"\0", at + 8)
            stop = name_end + 1 + length
            entries.append(Raw(data[at + 8 : name_end].decode("latin-1").upper(), data[at:stop]))
            at = stop
        entries.insert(0, Raw("ape", b""))
    yield Raw("rest", _digest(data[:start]))
    yield from entries
    yield Raw("tail", data[end:])


def _chunks(data: bytes, order: str) -> Iterator[Raw]:
    at = 12
    yield Raw("form", data[8:12])
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack(f"{order}I", data[at + 4 : at + 8])[0]
        body = data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
        if name.upper() == b"ID3 ":
            yield from _id3(body)
        else:
            yield Raw(f"chunk {name.decode('latin-1')}", _digest(body) if name in (b"data", b"SSND") else body)


def _riff(data: bytes) -> Iterator[Raw]:
    return _chunks(data, "<")


def _iff(data: bytes) -> Iterator[Raw]:
    return _chunks(data, ">")


def _dsf(data: bytes) -> Iterator[Raw]:
    tag = int.from_bytes(data[20:28], "little")
    yield Raw("rest", _digest(data[28 : tag or len(data)]))
    if tag:
        yield from _id3(data[tag:])
