"""A library of every kind of file that people have, each with sound enough to be heard, for the long drivers.

`tagged` has the files that one test at a time looks at; here are those, longer, and the stranger ones.
"""

from __future__ import annotations

import io
import random
import re
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from mutagen import id3
from mutagen.aiff import AIFF
from mutagen.apev2 import APEv2
from mutagen.asf import ASF
from mutagen.flac import FLAC, Picture
from mutagen.mp4 import MP4, MP4FreeForm
from mutagen.oggopus import OggOpus
from mutagen.wave import WAVE

from tests import tagged
from tests.encoding import encode, tone
from tests.tagged import COVER, id3_tag, raw_frame, raw_tag, syncsafe, v1_tag

SECONDS = 1.3  # a little more than the shortest that mtag judges
COMMENTS = (
    id3.COMM(encoding=3, lang="eng", desc="", text=["mine"]),
    id3.COMM(encoding=1, lang="fra", desc="", text=["à moi", "aussi"]),
    id3.COMM(encoding=0, lang="XXX", desc="ID3v1 Comment", text=["old"]),
    id3.COMM(encoding=3, lang="eng", desc="mtag", text=["a description that mtag uses, and a text of mine"]),
)


@cache
def stream(suffix: str, folder: Path) -> bytes:
    """A bare file of one format, as its encoder leaves it; made once."""
    path = encode(folder / f"stream{suffix}", tone(SECONDS, hz=330))
    if suffix == ".mp3":
        id3.delete(path)
    data = path.read_bytes()
    path.unlink()
    return data


def behind(tag: Callable[[], bytes], suffix: str = ".mp3", tail: bytes = b"") -> Callable[[Path], None]:
    """A stream with a tag before it, and perhaps something after it."""

    def make(path: Path) -> None:
        path.write_bytes(tag() + stream(suffix, path.parent) + tail)

    return make


def unsynchronised(version: int) -> bytes:
    """A tag in which no byte FF is followed by one that looks like audio."""
    private = b"owner\0\xff\xfb\xff\0\xff\xe0private"
    frames = [(b"TIT2", b"\0Titel"), (b"PRIV", private), (b"TCON", b"\0Other"), (b"COMM", b"\0eng\0mine")]
    if version == 3:
        body = b"".join(raw_frame(name, body, 3) for name, body in frames)
        return raw_tag(3, body.replace(b"\xff", b"\xff\0"), flags=0x80)
    # 2.4 has it frame by frame, with the length that the frame had.
    parts = [
        raw_frame(name, syncsafe(len(body)) + body.replace(b"\xff", b"\xff\0"), 4, b"\0\3") for name, body in frames
    ]
    return raw_tag(4, b"".join(parts), flags=0x80)


def squeezed(version: int) -> bytes:
    """Compressed, grouped and encrypted frames."""
    text = b"\0" + b"A long title, over and over. " * 9
    packed, flags = (
        zlib.compress(text),
        (b"\0\x80", b"\0\x20", b"\0\x40") if version == 3 else (b"\0\x09", b"\0\x40", b"\0\4"),
    )
    if version == 3:
        bodies = (len(text).to_bytes(4, "big") + packed, b"\7\0grouped", b"\1secret bytes")
    else:
        bodies = (syncsafe(len(text)) + packed, b"\7\0grouped", b"\1secret bytes")
    names = (b"TIT2", b"TALB", b"TXXX")
    return raw_tag(
        version,
        b"".join(raw_frame(n, body, version, flag) for n, body, flag in zip(names, bodies, flags, strict=True)),
    )


def with_extended_header(version: int) -> bytes:
    extended = struct.pack(">IHI", 6, 0, 0) if version == 3 else syncsafe(6) + b"\1\0"
    return raw_tag(version, extended + raw_frame(b"TIT2", b"\0Titel", version), flags=0x40)


def lyrics3() -> bytes:
    """The words of a song between an MP3 stream and its ID3v1 tag."""
    body = b"LYRICSBEGIN" + b"IND0000200" + b"LYR00005la la"
    return body + f"{len(body):06}LYRICS200".encode()


def ape_tag(**texts: str) -> bytes:
    tag = APEv2()
    for key, text in texts.items():
        tag[key.replace("_", " ")] = text.split("|")
    file = io.BytesIO()
    tag.save(file)
    return file.getvalue()


def flac_rich(path: Path) -> None:
    """Several genres and comments in any case, a big picture, foreign blocks, no padding."""
    path.write_bytes(stream(".flac", path.parent))
    file = FLAC(path)
    file.tags.clear() if file.tags is not None else file.add_tags()
    for key, text in (("GENRE", "Jazz"), ("genre", "Bebop"), ("Comment", "mine"), ("COMMENT", ""), ("MOOD", "blue")):
        file.tags.append((key, text))
    picture = Picture()
    picture.type, picture.mime, picture.data = 3, "image/png", COVER * 30
    file.add_picture(picture)
    file.save(padding=lambda info: 0)
    data = path.read_bytes()
    application = b"\2" + (12).to_bytes(3, "big") + b"riff" + b"8 bytes!"
    path.write_bytes(data[:42] + application + data[42:])


def opus_rich(path: Path) -> None:
    path.write_bytes(stream(".opus", path.parent))
    file = OggOpus(path)
    file.tags.extend([("genre", "Dub"), ("GENRE", "Reggae"), ("comment", "mine"), ("R128_TRACK_GAIN", "-512")])
    file.save()


def m4a_rich(path: Path) -> None:
    """Several genres, freeform atoms, and an atom of somebody else behind the audio."""
    path.write_bytes(stream(".m4a", path.parent))
    file = MP4(path)
    file["\xa9gen"], file["\xa9nam"], file["cpil"] = ["Jazz", "Bebop"], ["Titel"], True
    file["----:org.example:Thing"] = [MP4FreeForm(b"\0\1", 0), MP4FreeForm(b"x")]
    file.save()
    with path.open("ab") as end:
        end.write(struct.pack(">I4s", 24, b"uuid") + b"sixteen bytes...")


def wma_rich(path: Path) -> None:
    path.write_bytes(stream(".wma", path.parent))
    file = ASF(path)
    file["WM/Genre"], file["Author"], file["WM/Lyrics"] = ["Jazz", "Bebop"], ["Somebody"], ["la " * 40_000]
    file.save()


def wav_rich(path: Path) -> None:
    """A cue chunk, an ID3 tag of each version's habits, and junk between."""
    path.write_bytes(stream(".wav", path.parent))
    file = WAVE(path)
    file.add_tags()
    for frame in (*tagged.FRAMES, *COMMENTS, id3.TCON(encoding=3, text=["Jazz", "Bebop"])):
        file.tags.add(frame)
    file.save()
    cue = struct.pack("<4sI", b"cue ", 28) + struct.pack("<I", 1) + bytes(24)
    junk = struct.pack("<4sI", b"JUNK", 30) + bytes(30)
    data = path.read_bytes()
    path.write_bytes(b"RIFF" + struct.pack("<I", len(data) - 8 + 76 - 2) + data[8:36] + cue + junk + data[36:])


def aiff_rich(path: Path) -> None:
    path.write_bytes(stream(".aiff", path.parent))
    file = AIFF(path)
    file.add_tags()
    for frame in (*tagged.FRAMES, *COMMENTS, id3.TCON(encoding=3, text=["Other"])):
        file.tags.add(frame)
    file.save()


def aac_with_id3(path: Path) -> None:
    path.write_bytes(id3_tag(4, *COMMENTS) + stream(".aac", path.parent))


def ape(path: Path) -> None:
    """Monkey's Audio: the frame is noise, found by trying; nothing here can encode any."""
    n_frames, frame = 44, bytearray(random.Random(3).randbytes(3000))
    frame[:4] = b"\1\2\3\4"
    head = struct.pack("<HHIIIIIII", 3990, 0, 52, 24, 4 * n_frames, 0, n_frames * len(frame), 0, 0) + bytes(16)
    form = struct.pack("<HHIIIHHI", 1000, 32, 1152, 1152, n_frames, 16, 1, 44100)
    offsets = struct.pack(f"<{n_frames}I", *(76 + 4 * n_frames + n * len(frame) for n in range(n_frames)))
    audio = b"MAC " + head + form + offsets + bytes(frame) * n_frames
    tag = ape_tag(Title="Titel", Genre="Jazz|Bebop", comment="mine", Replaygain_Track_Gain="-3 dB")
    path.write_bytes(audio + tag + v1_tag())


def ape_bare(path: Path) -> None:
    ape(path)
    data = path.read_bytes()
    path.write_bytes(data[: 76 + 4 * 44 + 44 * 3000])


def musepack(path: Path) -> None:
    """Musepack of stream version 8: packets of noise, which its decoder takes for music."""
    rng = random.Random(0)
    body = b"\x08" + _variable(60 * 1152) + b"\0" + bytes([9, 0])
    packets = [b"SH" + _counted(zlib.crc32(body).to_bytes(4, "big") + body)]
    packets += [b"AP" + _counted(rng.randbytes(300)) for _ in range(60)]
    path.write_bytes(b"MPCK" + b"".join(packets) + b"SE" + _counted(b"") + ape_tag(Title="Titel", Genre="Other"))


def _variable(number: int) -> bytes:
    octets = [number & 127]
    while number := number >> 7:
        octets.append(number & 127 | 128)
    return bytes(octets[::-1])


def _counted(body: bytes) -> bytes:
    """A packet's length, which counts its key and itself, and its content."""
    return _variable(len(body) + 3 if len(body) < 125 else len(body) + 4) + body


def dsf(path: Path) -> None:
    """A square wave as a DSD stream, with an ID3 tag at its end."""
    half = 2822400 // 8 // 440 // 2
    blocks = 4096 * 112
    audio = ((b"\xee" * half + b"\x11" * half) * (blocks // half))[:blocks]
    data = b"data" + struct.pack("<Q", 12 + blocks) + audio
    form = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 1, 1, 2822400, 1, blocks * 8, 4096, 0)
    size = 28 + len(form) + len(data)
    tag = id3_tag(3, *COMMENTS[1:2])
    path.write_bytes(b"DSD " + struct.pack("<QQQ", 28, size + len(tag), size) + form + data + tag)


def with_genres(version: int) -> bytes:
    """Several genres in one frame: codes with a refinement, or texts with nulls between."""
    text = b"\0(17)(31)Refined" if version == 3 else b"\3Jazz\0Bebop\x0017"
    frames = id3_tag(version, *(COMMENTS if version == 4 else COMMENTS[1:3]))[10:-100]
    return raw_tag(version, frames + raw_frame(b"TCON", text, version))


STRANGE: dict[str, Callable[[Path], object]] = {
    "v1-only.mp3": behind(lambda: b"", tail=v1_tag()),
    "v1-generic.mp3": behind(lambda: b"", tail=v1_tag(comment=b"", genre=12)),
    "unsync23.mp3": behind(lambda: unsynchronised(3)),
    "unsync24.mp3": behind(lambda: unsynchronised(4)),
    "squeezed23.mp3": behind(lambda: squeezed(3)),
    "squeezed24.mp3": behind(lambda: squeezed(4)),
    "extended23.mp3": behind(lambda: with_extended_header(3)),
    "extended24.mp3": behind(lambda: with_extended_header(4)),
    "genres23.mp3": behind(lambda: with_genres(3), tail=v1_tag()),
    "genres24.mp3": behind(lambda: with_genres(4)),
    "ape-only.mp3": behind(lambda: b"", tail=ape_tag(Title="Ape", Genre="Jazz", Comment="mine")),
    "lyrics.mp3": behind(lambda: id3_tag(3), tail=lyrics3() + v1_tag()),
    "everything.mp3": behind(lambda: id3_tag(4, *COMMENTS), tail=ape_tag(Album="Ape|s") + lyrics3() + v1_tag()),
    "id3.aac": aac_with_id3,
    "rich.flac": flac_rich,
    "rich.opus": opus_rich,
    "rich.m4a": m4a_rich,
    "rich.wma": wma_rich,
    "rich.wav": wav_rich,
    "rich.aiff": aiff_rich,
    "noise.ape": ape,
    "bare.ape": ape_bare,
    "noise.mpc": musepack,
    "square.dsf": dsf,
}
MAKERS: dict[str, Callable[[Path], object]] = {
    **{name: make for name, make in tagged.MAKERS.items() if name not in ("fake.ape", "silence.dsf")},
    **STRANGE,
}


def fill(folder: Path, kinds: str = "") -> Path:
    """Make one file of each kind whose name matches a regular expression."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in MAKERS.items():
        if re.search(kinds, name):
            make(folder / name)
    return folder
