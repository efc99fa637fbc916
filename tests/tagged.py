"""Music files with everything in their tags that people's files have, put there by hand or by plain mutagen."""

from __future__ import annotations

import atexit
import hashlib
import os
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from mutagen import id3
from mutagen.apev2 import APENoHeaderError, APEv2, APEValue
from mutagen.asf import ASF, ASFByteArrayAttribute, ASFUnicodeAttribute
from mutagen.flac import FLAC, CueSheet, CueSheetTrack, CueSheetTrackIndex, Picture
from mutagen.mp4 import MP4, MP4Cover, MP4FreeForm
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis

from mtag.audio.decode import packet_digest
from mtag.errors import FileError
from mtag.tagfile import COMMENT_PREFIX, Field, Fields, GenrePolicy, plan, read_fields, snapshot, write
from tests.encoding import encode, tone

COVER = b"\xff\xd8\xff\xe0 not quite a picture \xff\x00\xff\xfe" + bytes(range(256)) * 40
FRAMES = (
    id3.TIT2(encoding=1, text=["Ein schöner Titel"]),
    id3.TPE1(encoding=0, text=["Somebody", "Somebody else"]),
    id3.TXXX(encoding=1, desc="MusicBrainz Album Id", text=["3f4c"]),
    id3.PRIV(owner="example.org", data=b"\0\xff\xfb\xff\x00private"),
    id3.UFID(owner="http://example.org", data=b"12345"),
    id3.GEOB(encoding=0, mime="application/x", filename="f", desc="d", data=b"\xff\xe0object" * 9),
    id3.POPM(email="me@example.org", rating=200, count=7),
    id3.APIC(encoding=0, mime="image/jpeg", type=3, desc="cover", data=COVER),
    id3.APIC(encoding=1, mime="image/jpeg", type=4, desc="zurück", data=COVER[::-1]),
    id3.COMM(encoding=0, lang="eng", desc="iTunNORM", text=[" 00000A2B 00000A2B"]),
    id3.COMM(encoding=1, lang="deu", desc="Notiz", text=["bleibt"]),
    id3.USLT(encoding=1, lang="eng", desc="", text="la la"),
)


def raw_frame(name: bytes, body: bytes, version: int, flags: bytes = b"\0\0") -> bytes:
    """An ID3 frame as it lies in a file."""
    if version == 2:
        return name + len(body).to_bytes(3, "big") + body
    size = len(body).to_bytes(4, "big") if version == 3 else syncsafe(len(body))
    return name + size + flags + body


def syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def raw_tag(version: int, frames: bytes, padding: int = 100, flags: int = 0) -> bytes:
    """An ID3v2 tag as it lies in a file."""
    return b"ID3" + bytes([version, 0, flags]) + syncsafe(len(frames) + padding) + frames + bytes(padding)


def id3_tag(version: int, *more: id3.Frame) -> bytes:
    """A full ID3v2 tag of version 3 or 4 with one frame that nobody knows."""
    config = id3._util.ID3SaveConfig(version, None)
    frames = b"".join(id3._tags.save_frame(frame, config=config) for frame in (*FRAMES, *more))
    frames += raw_frame(b"XABC", b"unknown \xff\xe1 frame", version) + raw_frame(b"TENC", b"", version)
    return raw_tag(version, frames)


def id3v22_tag() -> bytes:
    """An ID3v2.2 tag with a picture, the encoder's note, and frames that later versions do not have."""
    frames = b"".join(
        raw_frame(name, body, 2)
        for name, body in (
            (b"TT2", b"\1\xff\xfeT\0i\0"),
            (b"PIC", b"\0JPG\3cover\0" + COVER),
            (b"COM", b"\0engiTunNORM\0 00000A2B"),
            (b"CRM", b"owner\0explanation\0data"),
            (b"XQZ", b"unknown"),
        )
    )
    return raw_tag(2, frames)


def mp3(path: Path) -> Path:
    return encode(path, tone(1.2))


def mp3_bare(path: Path) -> Path:
    mp3(path)
    id3.delete(path)
    return path


def with_front_tag(tag: Callable[[], bytes]) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        mp3_bare(path)
        path.write_bytes(tag() + path.read_bytes())
        return path

    return make


def mp3_with_ape_and_v1(path: Path) -> Path:
    mp3_bare(path)
    tag = APEv2()
    tag["Title"], tag["Genre"] = "Ape title", "Ape genre"
    tag.save(path)
    path.write_bytes(id3_tag(3) + path.read_bytes() + v1_tag())
    return path


def mp3_with_older_tags_alone(path: Path) -> Path:
    mp3_bare(path)
    tag = APEv2()
    tag["Title"], tag["Artist"], tag["Genre"] = "A title longer than ID3v1 can hold", ["One", "Zwö"], "Ape genre"
    tag["Track"], tag["Replaygain_Track_Gain"] = "7/12", "-6.00 dB"
    tag.save(path)
    path.write_bytes(path.read_bytes() + v1_tag())
    return path


def v1_tag(title: bytes = b"Old title", comment: bytes = b"old comment", genre: int = 17) -> bytes:
    texts = (title.ljust(30, b"\0"), b"Old artist".ljust(30), b"Old album".ljust(30, b"\0"), b"1999")
    return b"TAG" + b"".join(texts) + comment.ljust(28, b"\0") + bytes([0, 7, genre])


def flac(path: Path) -> Path:
    encode(path, tone(1.2))
    file = FLAC(path)
    file.tags.extend(
        [("Title", "Titel"), ("DESCRIPTION", "stays"), ("comment", "mine"), ("REPLAYGAIN_TRACK_GAIN", "-3 dB")]
    )
    picture = Picture()
    picture.type, picture.mime, picture.desc, picture.data = 3, "image/jpeg", "cover", COVER
    file.add_picture(picture)
    sheet = CueSheet(None)
    track = CueSheetTrack(1, 0, isrc=b"123456789012")
    track.indexes = [CueSheetTrackIndex(1, 0)]
    sheet.tracks = [track, CueSheetTrack(170, 44100)]
    file.metadata_blocks.append(sheet)
    file.save()
    return path


def flac_bare(path: Path) -> Path:
    """A FLAC file with a seek table and neither comments nor padding."""
    encode(path, tone(1.2))
    data = path.read_bytes()
    blocks, at, last = [], 4, False
    while not last:
        last, kind, size = data[at] >> 7, data[at] & 127, int.from_bytes(data[at + 1 : at + 4], "big")
        if kind not in (1, 4):
            blocks.append((kind, data[at + 4 : at + 4 + size]))
        at += 4 + size
    blocks.append((3, struct.pack(">QQH", 0, 0, 4096)))
    heads = [
        bytes([kind | 128 * (n == len(blocks))]) + len(body).to_bytes(3, "big")
        for n, (kind, body) in enumerate(blocks, 1)
    ]
    path.write_bytes(b"fLaC" + b"".join(head + body for head, (_, body) in zip(heads, blocks, strict=True)) + data[at:])
    return path


def flac_with_id3(path: Path) -> Path:
    flac(path)
    path.write_bytes(id3_tag(3) + path.read_bytes())
    return path


def _ogg(kind: type, recipe: str) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        encode(path, tone(1.2)) if not recipe else _remux(path, recipe)
        file = kind(path)
        file.tags.extend(
            [
                ("TITLE", "Titel"),
                ("description", "stays"),
                ("Genre", "Other"),
                ("metadata_block_picture", "eHl6" * 30_000),
            ]
        )
        file.save()
        return path

    return make


def _remux(path: Path, container: str) -> None:
    """FLAC inside Ogg."""
    import av
    import numpy as np

    with path.open("wb") as file, av.open(file, "w", format=container) as out:
        stream = out.add_stream("flac", rate=44100)
        stream.codec_context.layout, stream.codec_context.format = "mono", "s16"
        samples = (tone(1.2)[None] * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 44100, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


ogg = _ogg(OggVorbis, "")
opus = _ogg(OggOpus, "")
oga_flac = _ogg(OggFLAC, "ogg")


def m4a(path: Path) -> Path:
    encode(path, tone(1.2))
    file = MP4(path)
    file["\xa9nam"], file["trkn"], file["tmpo"] = ["Titel"], [(1, 9)], [120]
    file["covr"] = [MP4Cover(COVER, MP4Cover.FORMAT_JPEG)]
    file["----:com.apple.iTunes:ISRC"] = [MP4FreeForm(b"123456789012")]
    file["\xa9cmt"] = ["mine"]
    file.save()
    data = path.read_bytes()  # atoms that mutagen does not know or would respell
    at = data.index(b"ilst") - 4
    odd = struct.pack(">I4s", 24, b"qqqq") + struct.pack(">I4sII", 16, b"data", 77, 9)
    odd += struct.pack(">I4s", 26, b"gnre") + struct.pack(">I4sII", 18, b"data", 0, 0) + struct.pack(">H", 13)
    free = data.index(b"free", at) - 4
    room = int.from_bytes(data[free : free + 4], "big") - len(odd)
    size = int.from_bytes(data[at : at + 4], "big") + len(odd)
    ilst = struct.pack(">I4s", size, b"ilst") + data[at + 8 : free] + odd + struct.pack(">I4s", room, b"free")
    path.write_bytes(data[:at] + ilst + data[at + len(ilst) :])
    return path


def m4a_faststart(path: Path) -> Path:
    """The tag before the audio and no free space, so that all offsets have to move."""
    import av

    plain = encode(path.with_name("plain.m4a"), tone(1.2))
    with (
        av.open(str(plain)) as source,
        av.open(str(path), "w", format="ipod", options={"movflags": "faststart"}) as out,
    ):
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    plain.unlink()
    return path


def m4a_bare(path: Path) -> Path:
    """A file whose moov atom has no udta."""
    m4a_faststart(path)
    data = path.read_bytes()
    moov, udta = data.index(b"moov") - 4, data.index(b"udta") - 4
    size = int.from_bytes(data[udta : udta + 4], "big")
    free = struct.pack(">I4s", size, b"free") + bytes(size - 8)
    old = int.from_bytes(data[moov : moov + 4], "big")
    assert moov + old == udta + size
    path.write_bytes(data[:moov] + (old - size).to_bytes(4, "big") + data[moov + 4 : udta] + free + data[udta + size :])
    return path


def wma(path: Path) -> Path:
    encode(path, tone(1.2))
    file = ASF(path)
    file["Title"], file["Description"] = "Titel", ["mine"]
    file["WM/Picture"] = [ASFByteArrayAttribute(b"\3" + COVER)]
    file["WM/Genre"] = ["Unknown"]
    file["MY/Thing"] = [ASFUnicodeAttribute("x", stream=1), ASFUnicodeAttribute("y", language=0)]
    file.save()
    return path


def wav(path: Path) -> Path:
    """A WAV file with a broadcast chunk and an INFO list, and last an odd chunk without its filling byte."""
    encode(path, tone(1.2))
    info = b"INFO" + struct.pack("<4sI", b"INAM", 6) + b"Titel\0" + struct.pack("<4sI", b"ICMT", 4) + b"mine"
    chunks = struct.pack("<4sI", b"bext", 602) + b"b" * 602 + struct.pack("<4sI", b"LIST", len(info)) + info
    chunks += struct.pack("<4sI", b"odd ", 3) + b"odd"
    data = path.read_bytes() + chunks
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    return path


def wav_with_tag(path: Path) -> Path:
    """An ID3 chunk before the audio."""
    encode(path, tone(1.2))
    tag = id3_tag(3)
    tag += bytes(len(tag) % 2)
    data = path.read_bytes()
    data = data[:12] + struct.pack("<4sI", b"ID3 ", len(tag)) + tag + data[12:]
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    return path


def aiff(path: Path) -> Path:
    encode(path, tone(1.2))
    data = path.read_bytes() + struct.pack(">4sI", b"ANNO", 4) + b"note"
    path.write_bytes(data[:4] + struct.pack(">I", len(data) - 8) + data[8:])
    return path


def dsf(path: Path) -> Path:
    """One block of silence as a DSD stream file."""
    data = b"data" + struct.pack("<Q", 12 + 4096) + b"\x69" * 4096
    form = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 1, 1, 2822400, 1, 4096 * 8, 4096, 0)
    size = 28 + len(form) + len(data)
    path.write_bytes(b"DSD " + struct.pack("<QQQ", 28, size, 0) + form + data)
    return path


def ape(path: Path) -> Path:
    """The beginning of a Monkey's Audio file, with a tag: nothing here can encode the rest."""
    path.write_bytes(b"MAC " + bytes(range(256)) * 8)
    return _with_ape(path)


def wv(path: Path) -> Path:
    return _with_ape(encode(path, tone(1.2)))


def _with_ape(path: Path) -> Path:
    try:
        tag = APEv2(path)
    except APENoHeaderError:
        tag = APEv2()
    tag["Title"], tag["comment"] = "Titel", "mine"
    tag["Cover Art (Front)"] = APEValue(b"cover.jpg\0" + COVER, 1)
    tag["Related"] = APEValue("http://example.org", 2)
    tag.save(path)
    with path.open("ab") as file:
        file.write(v1_tag())
    return path


def audio_digest(path: Path) -> str:
    """The audio's digest; for kinds that cannot be encoded here, that of the bytes before the tag."""
    if path.suffix == ".ape":
        return hashlib.sha256(path.read_bytes()[: 4 + 256 * 8]).hexdigest()
    return packet_digest(path)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "bare.mp3": mp3_bare,
    "v22.mp3": with_front_tag(id3v22_tag),
    "v23.mp3": with_front_tag(lambda: id3_tag(3)),
    "v24.mp3": with_front_tag(lambda: id3_tag(4, id3.COMM(encoding=3, lang="eng", desc="", text=["mine"]))),
    "ape-v1.mp3": mp3_with_ape_and_v1,
    "no-id3.mp3": mp3_with_older_tags_alone,
    "plain.aac": lambda path: encode(path, tone(1.2)),
    "full.flac": flac,
    "bare.flac": flac_bare,
    "id3.flac": flac_with_id3,
    "full.ogg": ogg,
    "full.opus": opus,
    "flac.oga": oga_flac,
    "full.m4a": m4a,
    "faststart.m4a": m4a_faststart,
    "bare.m4a": m4a_bare,
    "alac.alac.m4a": m4a,
    "full.wma": wma,
    "info.wav": wav,
    "tag.wav": wav_with_tag,
    "full.aiff": aiff,
    "silence.dsf": dsf,
    "fake.ape": ape,
    "full.wv": wv,
}


@cache
def all_kinds() -> Path:
    """A folder with one file of each kind, made once and to be copied from."""
    folder = tempfile.TemporaryDirectory(prefix="mtag-")
    atexit.register(folder.cleanup)
    for name, make in MAKERS.items():
        make(Path(folder.name) / name)
    return Path(folder.name)


def planned(current: Fields, genres: tuple[str, ...], line: str | None, policy: GenrePolicy) -> Fields | None:
    """What `plan` says to genres and a comment, of which the whole line is given."""
    comment = () if line is None else (line.removeprefix(COMMENT_PREFIX),)
    return plan(current, {Field.GENRE: genres, Field.COMMENT: comment}, policy)


def refused(path: Path) -> FileError:
    """The failure that reading and writing share; the file and its folder stay as they are."""
    before, names = path.read_bytes(), sorted(os.listdir(path.parent))
    kinds = []
    for act in (read_fields, snapshot, lambda file: write(file, Fields(("techno",)), audio_digest)):
        with pytest.raises(FileError) as caught:
            act(path)
        kinds.append(caught.value.kind)
    assert len(set(kinds)) == 1
    assert caught.value.path == path
    assert path.read_bytes() == before
    assert sorted(os.listdir(path.parent)) == names
    return caught.value
