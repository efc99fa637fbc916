"""Moods, groupings and mtag's own field stand where other programs look for them, in every container."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from mutagen import id3
from mutagen.aiff import AIFF
from mutagen.apev2 import APEv2
from mutagen.asf import ASF
from mutagen.dsf import DSF
from mutagen.flac import FLAC
from mutagen.mp4 import MP4
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from mtag.errors import FileError
from mtag.tagfile import (
    Field,
    Fields,
    GenrePolicy,
    Style,
    plan,
    read_fields,
    restore,
    snapshot,
    stamp,
    strip,
    write,
)
from tests.tagged import MAKERS, all_kinds, audio_digest, mp3_bare, raw_frame, raw_tag, v1_tag

FILL, APPEND, REPLACE = GenrePolicy
GENRE, COMMENT, MOOD, GROUPING, PROVENANCE = Field
STAMP = stamp("0.2.0", "0123456789abcdef")
WORDS = {GENRE: ("techno", "dub"), COMMENT: ("slow",), MOOD: ("dark", "weird"), GROUPING: ("set one", "warm-up")}
LINE = "mtag: slow"

ID3_KEYS = {MOOD: "TMOO", GROUPING: "TIT1", PROVENANCE: "TXXX:MTAG"}
VORBIS_KEYS = {MOOD: "MOOD", GROUPING: "GROUPING", PROVENANCE: "MTAG"}
MP4_KEYS = {MOOD: "----:com.apple.iTunes:MOOD", GROUPING: "©grp", PROVENANCE: "----:com.apple.iTunes:MTAG"}
ASF_KEYS = {MOOD: "WM/Mood", GROUPING: "WM/ContentGroupDescription", PROVENANCE: "MTAG"}
APE_KEYS = {MOOD: "Mood", GROUPING: "Grouping", PROVENANCE: "MTAG"}
READERS = {
    ".mp3": (id3.ID3, ID3_KEYS),
    ".aac": (id3.ID3, ID3_KEYS),
    ".wav": (WAVE, ID3_KEYS),
    ".aiff": (AIFF, ID3_KEYS),
    ".dsf": (DSF, ID3_KEYS),
    ".flac": (FLAC, VORBIS_KEYS),
    ".ogg": (OggVorbis, VORBIS_KEYS),
    ".opus": (OggOpus, VORBIS_KEYS),
    ".oga": (OggFLAC, VORBIS_KEYS),
    ".m4a": (MP4, MP4_KEYS),
    ".wma": (ASF, ASF_KEYS),
    ".ape": (APEv2, APE_KEYS),
    ".wv": (APEv2, APE_KEYS),
}


@pytest.fixture(scope="session")
def files() -> Path:
    """A folder with one file of each kind."""
    return all_kinds()


def tag(path: Path, words: dict[Field, tuple[str, ...]], policy: GenrePolicy = FILL, style: Style = Style()) -> bool:  # noqa: B008
    wanted = plan(read_fields(path), words, policy, STAMP, style)
    return wanted is not None and write(path, wanted, audio_digest, style=style)


def told(path: Path, field: Field) -> list[str]:
    """What plain mutagen reads in a field."""
    reader, keys = READERS[path.suffix]
    tags = reader(path)
    key = keys[field]
    if reader in (id3.ID3, WAVE, AIFF, DSF):
        found = tags if reader is id3.ID3 else tags.tags
        if field is MOOD and found.version < (2, 4):
            key = "TXXX:MOOD"
        return list(found[key].text) if key in found else []
    values = tags.get(key, [])
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


@pytest.mark.parametrize("name", MAKERS)
def test_plain_mutagen_reads_moods_and_groupings_where_it_looks_for_them(
    files: Path, tmp_path: Path, name: str
) -> None:
    path = Path(shutil.copy(files / name, tmp_path))
    assert tag(path, WORDS)
    joined = name in ("v22.mp3", "v23.mp3", "ape-v1.mp3", "tag.wav")  # tags from before 2.4
    assert told(path, MOOD) == (["dark; weird"] if joined else ["dark", "weird"])
    assert told(path, GROUPING) == (["set one; warm-up"] if joined else ["set one", "warm-up"])
    (own,) = told(path, PROVENANCE)
    assert own.startswith(STAMP + " ")
    assert read_fields(path).provenance == STAMP
    assert (read_fields(path).moods, read_fields(path).groupings) == (WORDS[MOOD], WORDS[GROUPING])


@pytest.mark.parametrize("name", MAKERS)
def test_a_mood_and_a_grouping_of_the_users_own_stay_under_every_policy(files: Path, tmp_path: Path, name: str) -> None:
    path = Path(shutil.copy(files / name, tmp_path))
    tag(path, {MOOD: ("mine",), GROUPING: ("ours",)})
    forget_mtag(path)
    for policy in GenrePolicy:
        tag(path, WORDS, policy)
        assert (read_fields(path).moods, read_fields(path).groupings) == (("mine",), ("ours",))
    strip(path, audio_digest)
    assert (read_fields(path).moods, read_fields(path).groupings) == (("mine",), ("ours",))


def forget_mtag(path: Path) -> None:
    """Take mtag's field out by hand, so that what it wrote counts as the user's own."""
    reader, keys = READERS[path.suffix]
    file = reader(path)
    del file[keys[PROVENANCE]]
    if reader is id3.ID3:
        file.save(path, v1=0, v2_version=3 if file.version < (2, 4) else 4)
    else:
        file.save()


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("separator", ["; ", ", ", "/"])
def test_a_separator_joins_the_values_to_one_text(files: Path, tmp_path: Path, name: str, separator: str) -> None:
    path, style = Path(shutil.copy(files / name, tmp_path)), Style(separator=separator)
    tag(path, WORDS, REPLACE)
    tag(path, WORDS, REPLACE, style)
    assert told(path, MOOD) == [f"dark{separator}weird"]
    assert told(path, GROUPING) == [f"set one{separator}warm-up"]
    assert not tag(path, WORDS, REPLACE, style)
    tag(path, WORDS, REPLACE)
    assert read_fields(path).moods == WORDS[MOOD]


@pytest.mark.parametrize("name", ["bare.mp3", "info.wav", "full.aiff", "silence.dsf", "plain.aac"])
def test_a_new_tag_gets_the_version_that_is_asked_for(files: Path, tmp_path: Path, name: str) -> None:
    path = Path(shutil.copy(files / name, tmp_path))
    taken = snapshot(path)
    tag(path, WORDS, style=Style(id3_version=3))
    reader, _ = READERS[path.suffix]
    tags = reader(path) if reader is id3.ID3 else reader(path).tags
    assert tags.version == (2, 3, 0)
    assert told(path, MOOD) == ["dark; weird"]
    assert strip(path, audio_digest)
    assert snapshot(path) == taken


def test_a_new_tag_of_23_brings_along_what_id3v1_says(tmp_path: Path) -> None:
    path = mp3_bare(tmp_path / "song.mp3")
    audio = path.read_bytes()
    path.write_bytes(audio + v1_tag())
    tag(path, WORDS, REPLACE, Style(id3_version=3))
    tags = id3.ID3(path, load_v1=False, translate=False)
    assert tags.version == (2, 3, 0)
    assert [str(tags[name]) for name in ("TIT2", "TYER", "TRCK")] == ["Old title", "1999", "7"]
    assert strip(path, audio_digest)
    assert path.read_bytes() == audio + v1_tag()


def test_styles_that_no_file_could_have_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2\.3 or 2\.4"):
        Style(id3_version=2)
    for separator in ("", " ", "\0"):
        with pytest.raises(ValueError, match="told apart"):
            Style(separator=separator)


@pytest.mark.parametrize(
    ("version", "frame", "fields"),
    [
        (4, raw_frame(b"TXXX", b"\3mood\0mine", 4), Fields(moods=("mine",))),
        (4, raw_frame(b"TMOO", b"\3mine\0yours", 4), Fields(moods=("mine", "yours"))),
        (3, raw_frame(b"TMOO", b"\0mine", 3), Fields(moods=("mine",))),
        (3, raw_frame(b"TXXX", b"\1\xff\xfeM\0o\0o\0d\0\0\0\xff\xfem\0e\0", 3), Fields(moods=("me",))),
        (2, raw_frame(b"TXX", b"\0MOOD\0mine; yours", 2), Fields(moods=("mine", "yours"))),
        (3, raw_frame(b"GRP1", b"\0ours", 3), Fields(groupings=("ours",))),
        (2, raw_frame(b"TT1", b"\0ours", 2), Fields(groupings=("ours",))),
        (4, raw_frame(b"TXXX", b"\3mood but not quite\0mine", 4), Fields()),
        (4, raw_frame(b"TXXX", b"\x09what is this", 4), Fields()),
    ],
)
def test_moods_and_groupings_of_id3_are_found_under_all_their_names(
    tmp_path: Path, version: int, frame: bytes, fields: Fields
) -> None:
    path = mp3_bare(tmp_path / "song.mp3")
    path.write_bytes(raw_tag(version, frame) + path.read_bytes())
    assert read_fields(path) == fields
    wanted = plan(read_fields(path), {MOOD: ("dark",), GROUPING: ("set",)}, FILL, STAMP)
    assert wanted is not None
    assert (wanted.moods, wanted.groupings) == (fields.moods or ("dark",), fields.groupings or ("set",))
    write(path, wanted, audio_digest)
    assert frame in path.read_bytes()


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("field", [GENRE, COMMENT, MOOD, GROUPING])
def test_each_field_can_be_restored_by_itself(files: Path, tmp_path: Path, name: str, field: Field) -> None:
    path = Path(shutil.copy(files / name, tmp_path))
    shown, taken = read_fields(path), snapshot(path)
    tag(path, WORDS, REPLACE)
    written = read_fields(path)
    restore(path, taken, audio_digest, fields={field})
    now = read_fields(path)
    for other in (GENRE, COMMENT, MOOD, GROUPING):
        assert now.of(other) == (shown if other is field else written).of(other)
    restore(path, taken, audio_digest)
    assert snapshot(path) == taken


def test_an_mtag_field_of_somebody_elses_is_never_touched(tmp_path: Path) -> None:
    path = mp3_bare(tmp_path / "song.mp3")
    theirs = raw_frame(b"TXXX", b"\3MTAG\0my own tag", 4)
    path.write_bytes(raw_tag(4, theirs) + path.read_bytes())
    before = path.read_bytes()
    assert read_fields(path).provenance == ""
    with pytest.raises(FileError, match="mtag did not write"):
        tag(path, WORDS)
    assert not strip(path, audio_digest)
    assert path.read_bytes() == before


def test_a_long_field_of_mtags_fits_into_asf(files: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(files / "full.wma", tmp_path))
    rng = random.Random(0)
    theirs = ["".join(chr(rng.randrange(0x4E00, 0x9F00)) for _ in range(9000)) for _ in range(3)]
    file = ASF(path)
    file["WM/Genre"] = theirs
    file.save()
    taken = snapshot(path)
    tag(path, WORDS, REPLACE)
    assert len(told(path, PROVENANCE)[0]) > 1 << 15
    assert read_fields(path).untouched.genres == tuple(theirs)
    assert strip(path, audio_digest)
    assert snapshot(path) == taken
