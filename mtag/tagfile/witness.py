"""Mutagen as an independent witness: what another program reads in a file before and after mtag writes to it.

Mutagen is wrapped here (and in `fields`, for its list of ID3's genres) and nowhere else.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mtag.errors import FailureKind, FileError
from mtag.field import Field
from mtag.tagfile import asf, mp4
from mtag.tagfile.fields import SEPARATOR, Style, genre_names
from mtag.tagfile.id3 import ALIASES, DESCRIPTIONS
from mtag.tagfile.items import KEYS, Container, Keys
from mtag.tagfile.reading import TRUSTED_BYTES

if TYPE_CHECKING:
    from mutagen import FileType

READERS = {
    "an MPEG audio stream": "id3.ID3",
    "a WAV file": "wave.WAVE",
    "an AIFF file": "aiff.AIFF",
    "a DSF file": "dsf.DSF",
    "a FLAC file": "flac.FLAC",
    "an Ogg Vorbis file": "oggvorbis.OggVorbis",
    "an Ogg Opus file": "oggopus.OggOpus",
    "an Ogg Speex file": "oggspeex.OggSpeex",
    "an Ogg FLAC file": "oggflac.OggFLAC",
    "an MP4 file": "mp4.MP4",
    "an ASF file": "asf.ASF",
    "a Monkey's Audio file": "apev2.APEv2",
    "a WavPack file": "apev2.APEv2",
    "a Musepack file": "apev2.APEv2",
}
AS_STORED = {"translate": False, "load_v1": False}  # how ID3 tags are to be loaded
# Under which mtag's comment stands beside somebody else's, where the comment's own name allows but one.
OWN_KEYS = {"an MP4 file": ":".join(("----", *mp4.OWN_NAME)), "an ASF file": asf.OWN_NAME}

ID3_FIELDS = {**ALIASES, **{key: field for field, key in KEYS["id3v2.4"].items()}}  # by the frame's name

UNNAMED = re.compile(r"^unknown\d+$")  # what mutagen calls a Vorbis comment without a key, by its index

Entry = tuple[str, Any]  # name and value of a field


@dataclass(frozen=True)
class Testimony:
    """What mutagen reads."""

    told: Mapping[Field, frozenset[str]]  # texts of mtag's fields
    rest: tuple[tuple[str, str], ...]  # name and digest of every other field and picture

    def confirms(self, field: Field, names: tuple[str, ...], style: Style) -> bool:
        """Whether mutagen reads these names in a field, among others, each by itself or joined."""
        told = self.told[field]
        if field is Field.GENRE:
            told = frozenset(spelling for text in told for spelling in _spellings(text))
        parts = {part.strip() for text in told for part in text.split(SEPARATOR)}
        return (told | parts).issuperset(names) or told.issuperset(style.joined(names))


def hear(path: Path, container: Container) -> Testimony:
    """Let mutagen read a file.

    Raises
    ------
    FileError
        tag-parse when mutagen cannot.
    """
    keys = KEYS["id3v2.4"] if container.dialect.name.startswith("id3") else container.dialect.keys
    with _BoundedReader(path.open("rb", buffering=0)) as file:
        try:
            return _testimony(_entries(READERS[container.name], file), keys, OWN_KEYS.get(container.name))
        except Exception as error:  # in damaged files mutagen meets more than its own exceptions
            reason = f"cannot be tagged: a second reader finds it damaged ({error or type(error).__name__})"
            raise FileError(path, FailureKind.TAG_PARSE, reason) from error


class _BoundedReader(io.BufferedReader):
    """A file that gives no more than it has.

    Mutagen asks for as many bytes as a damaged file claims to have, and Python would set memory aside for all of them.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """Read so many bytes, or what is left."""
        if size is not None and size > TRUSTED_BYTES:
            size = min(size, os.fstat(self.fileno()).st_size)
        return super().read(size)


def _testimony(entries: list[Entry], keys: Keys, own_key: str | None) -> Testimony:
    names = {key.upper(): field for field, key in keys.items()}
    if own_key:
        names[own_key.upper()] = Field.COMMENT
    told: dict[Field, set[str]] = {field: set() for field in Field}
    rest = []
    for key, value in entries:
        field = names.get(key.upper())
        if field:
            told[field].add(_text(value))
        else:
            rest.append((key, _digest(value)))
    return Testimony({field: frozenset(texts) for field, texts in told.items()}, tuple(sorted(rest)))


def _digest(value: object) -> str:
    """A value in brief: pictures may have hundreds of megabytes."""
    digest = hashlib.blake2b(digest_size=16)
    pending: list[object] = [value]
    while pending:
        part = pending.pop()
        digest.update(f"{type(part).__name__} {len(part) if isinstance(part, bytes) else ''}\0".encode())
        if isinstance(part, bytes):
            digest.update(part)
        elif isinstance(part, (list, tuple)):
            pending += part
            continue
        elif isinstance(part, (str, int, float)) or not hasattr(part, "__dict__"):
            digest.update(repr(part).encode("utf-8", "replace"))
            continue
        pending += sorted(getattr(part, "__dict__", {}).items())
    return digest.hexdigest()


def _spellings(text: str) -> set[str]:
    """The names that one stored genre can stand for."""
    parts = (part.strip() for part in (text, *text.split(SEPARATOR)))
    return {text, *(name for part in parts for name in genre_names(part))}


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _entries(reader: str, file: BinaryIO) -> list[Entry]:
    """All that mutagen finds in a file's tag."""
    from mutagen.apev2 import APENoHeaderError
    from mutagen.id3 import ID3, ID3NoHeaderError

    module, name = reader.split(".")
    options = AS_STORED if module in ("id3", "wave", "aiff", "dsf") else {}
    try:
        found = getattr(import_module(f"mutagen.{module}"), name)(file, **options)
    except (APENoHeaderError, ID3NoHeaderError):
        return []
    tags: Any = getattr(found, "tags", found)
    if tags is None:
        return []
    if ID3 in type(tags).__mro__:
        return [*_frames(tags.items()), *(("", raw) for raw in tags.unknown_frames)]
    if isinstance(tags, list):
        return [*((UNNAMED.sub("", key), value) for key, value in tags), *_blocks(found)]
    return [(key, value) for key, values in tags.items() for value in _each(values)]


def _frames(frames: Iterable[Entry]) -> list[Entry]:
    """Frames by their keys; those of mtag's fields text by text, under the names that 2.4 has for them."""
    entries: list[Entry] = []
    for key, frame in frames:
        described = DESCRIPTIONS.get(frame.desc.upper()) if frame.FrameID == "TXXX" else None
        field = ID3_FIELDS.get(frame.FrameID, described)
        if field:
            entries += [(KEYS["id3v2.4"][field], text) for text in frame.text]
        else:
            entries.append((key, frame))
    return entries


def _blocks(found: FileType) -> list[Entry]:
    """The metadata blocks of a FLAC file but for padding and comments: pictures, seek table, cue sheet and so on."""
    blocks = getattr(found, "metadata_blocks", ())
    return [(str(block.code), block.write()) for block in blocks if block.code not in (1, 4)]


def _each(values: object) -> list[object]:
    """The values of a key, one of which may stand alone."""
    from mutagen.apev2 import APETextValue

    return list(values) if isinstance(values, (list, APETextValue)) else [values]
