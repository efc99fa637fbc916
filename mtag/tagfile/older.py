"""The older tags of an MP3 and its like, APEv2 and ID3v1, and of a WAV, INFO: what a new tag takes over from them."""

from __future__ import annotations

from collections.abc import Mapping

from mtag.field import Field
from mtag.tagfile.fields import SEPARATOR, Fields, Style, genre_names, is_ours
from mtag.tagfile.id3 import ID3, LANGUAGE
from mtag.tagfile.items import KEYS, Item, Items

# What a new tag takes over from APEv2 under names of ID3's own; all else goes into free frames under its key.
APE_FRAMES = {
    "TITLE": "TIT2",
    "ARTIST": "TPE1",
    "ALBUM": "TALB",
    "ALBUM ARTIST": "TPE2",
    "TRACK": "TRCK",
    "DISC": "TPOS",
    "COMPOSER": "TCOM",
    "PUBLISHER": "TPUB",
    "BPM": "TBPM",
    "ISRC": "TSRC",
}

# Likewise from INFO; TagLib's names for its parts.
INFO_FRAMES = {
    "INAM": "TIT2",
    "IART": "TPE1",
    "IPRD": "TALB",
    "IPRT": "TRCK",
    "ITRK": "TRCK",
    "ICOP": "TCOP",
    "IMUS": "TCOM",
    "IGNR": "TCON",
}


def from_info(texts: Mapping[str, str], dialect: ID3) -> Items:
    """Frames that say what the texts of an INFO list say, by the names of its parts, but for mtag's comment."""
    found = {INFO_FRAMES[name]: text for name, text in texts.items() if text and name in INFO_FRAMES}
    if year := texts.get("ICRD"):
        found[dialect.year] = year if dialect.version == 4 else year[:4]
    frames = [dialect.text(name, (text,)) for name, text in found.items()]
    comment = texts.get("ICMT", "")
    return (*frames, dialect.comment(comment, ())) if comment and not is_ours(comment) else tuple(frames)


def from_ape(texts: Mapping[str, tuple[str, ...]], dialect: ID3) -> Items:
    """Frames that say what an APEv2 tag's texts say, by its keys, but for what is mtag's.

    TagLib, and so many a player, looks at nothing else in an MP3 that has an ID3v2 tag.
    """
    names = {**APE_FRAMES, "YEAR": dialect.year}
    fields = {key: field for field, key in KEYS["ape"].items()}
    frames: list[Item] = []
    for key, texts_there in texts.items():
        field, values = fields.get(key), tuple(filter(str.strip, texts_there))
        if field is Field.COMMENT:
            theirs = [value for value in values if not is_ours(value)]
            frames += [dialect.comment(SEPARATOR.join(theirs), ())] if theirs else []
        elif field:
            frames += dialect.spell(field, values, Style(), None) if field is not Field.PROVENANCE else ()
        elif values:
            frames.append(dialect.text(names.get(key, f"TXXX:{key}"), values))
    return tuple(frames)


def from_v1(v1: bytes, dialect: ID3) -> Items:
    """Frames that say what a tag of 128 bytes at the file's end says, in its very bytes, but for mtag's comment.

    Players that find a new tag look at the old one no more, so it has to bring the title and the rest along.
    """
    names = {**APE_FRAMES, "YEAR": dialect.year, "GENRE": "TCON", "COMMENT": "COMM"}
    heads = {"COMMENT": b"\0" + LANGUAGE + b"\0"}
    return tuple(dialect.item(names[key], heads.get(key, b"\0") + text) for key, text in texts_of_v1(v1).items())


def texts_of_v1(v1: bytes) -> dict[str, bytes]:
    """What a tag of 128 bytes at a file's end says, by APEv2's keys; nothing blank, and no comment of mtag's."""
    numbered = v1[125] == 0 != v1[126]
    comment = _v1_comment(v1)
    texts = {
        "TITLE": v1[3:33],
        "ARTIST": v1[33:63],
        "ALBUM": v1[63:93],
        "YEAR": v1[93:97],
        "TRACK": str(v1[126]).encode() if numbered else b"",
        "GENRE": "".join(_v1_genre(v1)).encode(),
        "COMMENT": b"" if is_ours(comment.decode("latin-1")) else comment,
    }
    cut = {key: text.split(b"\0")[0].rstrip() for key, text in texts.items()}
    return {key: text for key, text in cut.items() if text}


def fields_of_v1(v1: bytes) -> Fields:
    """What players show of a tag of 128 bytes where there is no better one."""
    comment = _v1_comment(v1).decode("latin-1")
    return Fields(_v1_genre(v1), (comment,) if comment and not is_ours(comment) else ())


def _v1_genre(v1: bytes) -> tuple[str, ...]:
    return tuple(name for name in genre_names(str(v1[127])) if not name.isdigit())


def without_genre(v1: bytes) -> bytes:
    """Such a tag that names no genre."""
    return v1[:-1] + b"\xff"


def _v1_comment(v1: bytes) -> bytes:
    return v1[97:127].split(b"\0")[0].rstrip()
