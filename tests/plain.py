"""What plain mutagen reads in a music file: never mtag's own reader."""

from __future__ import annotations

from pathlib import Path

from mutagen import id3
from mutagen.aiff import AIFF
from mutagen.apev2 import APENoHeaderError, APEv2
from mutagen.asf import ASF
from mutagen.dsf import DSF
from mutagen.flac import FLAC
from mutagen.mp4 import MP4
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE


def plain(path: Path) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Genres, comments and everything else in a file's tag but mtag's own field, as plain mutagen reads them."""
    genres, comments, rest = _plain(path)
    return genres, comments, [(key, value) for key, value in rest if not key.endswith("MTAG")]


def _plain(path: Path) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    data = path.read_bytes()
    if b"fLaC" in (data[:4], data[id3_size(data) :][:4]):
        file = FLAC(path)
        blocks = [
            (f"block {block.code}", repr(block.write())) for block in file.metadata_blocks if block.code not in (1, 4)
        ]
        return _split_entries(_vorbis(file), "GENRE", "COMMENT", blocks)
    if data[:4] == b"OggS":
        kind = OggOpus if b"OpusHead" in data[:100] else OggFLAC if b"fLaC" in data[:100] else OggVorbis
        return _split_entries(_vorbis(kind(path)), "GENRE", "COMMENT", [])
    if data[4:8] == b"ftyp":
        tags = MP4(path).tags or {}
        pairs = [
            (key, value) for key, values in tags.items() for value in (values if isinstance(values, list) else [values])
        ]
        own = [("©cmt", value.decode()) for key, value in pairs if key == "----:com.apple.iTunes:mtag comment"]
        return _split_entries([*(pair for pair in pairs if "mtag comment" not in pair[0]), *own], "©gen", "©cmt", [])
    if data[:16] == bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"):
        names = {"mtag comment": "Description"}  # mtag's beside somebody else's
        return _split_entries(
            [(names.get(key, key), attr.value if attr.TYPE == 0 else attr) for key, attr in ASF(path).tags],
            "WM/Genre",
            "Description",
            [],
        )
    if data[:4] in (b"MAC ", b"wvpk", b"MPCK"):
        try:
            tags = APEv2(path)
        except APENoHeaderError:
            return [], [], []
        pairs = [(key.upper(), text) for key, value in tags.items() for text in (value if value.kind == 0 else [value])]
        return _split_entries(pairs, "GENRE", "COMMENT", [])
    return _plain_id3(path, data)


def _vorbis(file: FLAC | OggVorbis) -> list[tuple[str, str]]:
    return [(key.upper(), value) for key, value in file.tags or ()]


def _split_entries(
    pairs: list[tuple[str, object]], genre: str, comment: str, rest: list[tuple[str, str]]
) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    genres = [str(value) for key, value in pairs if key == genre]
    comments = [str(value) for key, value in pairs if key == comment]
    return (
        genres,
        comments,
        sorted([*rest, *((key, repr(value)) for key, value in pairs if key not in (genre, comment))]),
    )


def _plain_id3(path: Path, data: bytes) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    kinds = {b"WAVE": WAVE, b"AIFF": AIFF, b"AIFC": AIFF}
    reader = DSF if data[:4] == b"DSD " else kinds.get(data[8:12]) if data[:4] in (b"RIFF", b"FORM") else None
    options = {"translate": False, "load_v1": False}
    try:
        tags = reader(path, **options).tags if reader else id3.ID3(path, **options)
    except id3.ID3NoHeaderError:
        tags = None
    if tags is None:
        return [], [], []
    separator = "\0" if tags.version == (2, 4, 0) else "; "
    texts = [part for frame in tags.getall("TCON") for text in frame.text for part in text.split(separator)]
    genres = [text[1:] if text.startswith("((") else text for text in texts]
    comments = [text for frame in tags.getall("COMM") if frame.desc in ("", "mtag") for text in frame.text]
    rest = [
        (key, repr(frame)) for key, frame in tags.items() if key != "TCON" and key[:7] not in ("COMM::e", "COMM:mt")
    ]
    return genres, comments, sorted([*rest, *(("unknown", repr(raw)) for raw in tags.unknown_frames)])


def id3_size(data: bytes) -> int:
    """Length of the ID3v2 tag at the beginning of some data."""
    if data[:3] != b"ID3":
        return 0
    return 10 + sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
