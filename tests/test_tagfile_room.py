"""A tag that had to grow gets the padding back that it had: undo and strip give back the very bytes of the file."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from mutagen import id3
from mutagen.mp4 import MP4

from mtag.tagfile import Field, Fields, GenrePolicy, Snapshot, read_fields, restore, snapshot, strip, write
from mtag.tagfile.asf import EXTENSION
from mtag.tagfile.origin import Origin
from tests.encoding import encode, tone
from tests.tagged import MAKERS, all_kinds, audio_digest, planned

LINE = "mtag: slow, guitar, strings, female vocals, and words enough to make a tag without padding grow"
# What comes back otherwise than it was: Ogg pages that another program had filled less than they can be, once comments
# had to move to others, and a RIFF chunk of odd length whose filling byte had been forgotten.
OTHER_PAGES = {"full.ogg", "full.opus", "flac.oga"}
TO_THE_BYTE = [name for name in MAKERS if name not in OTHER_PAGES | {"info.wav"}]


@pytest.fixture
def song(tmp_path, request) -> Path:
    return Path(shutil.copy(all_kinds() / request.param, tmp_path))


def tag(path: Path, genres: tuple[str, ...] = ("techno", "dub"), line: str = LINE) -> None:
    fields = planned(read_fields(path), genres, line, GenrePolicy.REPLACE)
    assert fields
    assert write(path, fields, audio_digest)


@pytest.mark.parametrize("song", TO_THE_BYTE, indirect=True)
def test_restore_gives_back_the_bytes_of_the_file(song):
    content, before = song.read_bytes(), snapshot(song)
    tag(song)
    assert song.read_bytes() != content
    assert restore(song, Snapshot.from_json(before.to_json()), audio_digest)
    assert song.read_bytes() == content


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
def test_pages_that_were_full_are_as_they_were(tmp_path, suffix):
    song = encode(tmp_path / f"song{suffix}", tone(3))
    content, before = song.read_bytes(), snapshot(song)
    tag(song)
    assert song.stat().st_size > len(content)
    assert restore(song, before, audio_digest)
    assert song.read_bytes() == content


@pytest.mark.parametrize("song", TO_THE_BYTE, indirect=True)
def test_strip_gives_back_the_bytes_of_the_file_after_any_number_of_writes(song):
    content = song.read_bytes()
    tag(song)
    tag(song, ("rock",), LINE * 40)
    tag(song, ("pop",), "mtag: short")
    assert strip(song, audio_digest)
    assert song.read_bytes() == content


@pytest.mark.parametrize("way", ["restore", "strip"])
@pytest.mark.parametrize("song", ["full.wma"], indirect=True)
def test_a_header_extension_that_mtag_had_to_make_goes_again(song, way):
    song.write_bytes(song.read_bytes().replace(EXTENSION, EXTENSION[::-1]))  # an object that nobody knows
    content, before = song.read_bytes(), snapshot(song)
    assert content.count(EXTENSION) == 0
    tag(song)
    assert song.read_bytes().count(EXTENSION) == 1
    assert restore(song, before, audio_digest) if way == "restore" else strip(song, audio_digest)
    assert song.read_bytes() == content


@pytest.mark.parametrize("song", ["v23.mp3", "full.flac", "full.m4a", "full.wma", "full.aiff"], indirect=True)
def test_an_undone_restore_gives_back_what_mtag_had_written(song):
    before = snapshot(song)
    tag(song)
    content, written = song.read_bytes(), snapshot(song)
    restore(song, before, audio_digest)
    restore(song, written, audio_digest)
    assert song.read_bytes() == content


@pytest.mark.parametrize("song", ["v23.mp3"], indirect=True)
def test_what_somebody_has_added_since_stays_where_it_needs_more_room_than_there_was(song):
    before = snapshot(song)
    tag(song)
    tags = id3.ID3(song)
    tags.add(id3.TXXX(encoding=3, desc="Notes", text=["of somebody else" * 100]))
    tags.save(v2_version=3)
    size = song.stat().st_size
    assert restore(song, before, audio_digest)
    assert id3.ID3(song)["TXXX:Notes"].text == ["of somebody else" * 100]
    assert song.stat().st_size == size
    assert read_fields(song).genres == read_fields(all_kinds() / song.name).genres


@pytest.mark.parametrize("song", ["bare.m4a"], indirect=True)
def test_atoms_that_mtag_made_stay_where_somebody_has_put_more_into_them(song):
    before = snapshot(song)
    assert not before.tagged
    tag(song)
    tags = MP4(song)
    tags["\xa9nam"] = ["Titel"]
    tags.save()
    assert restore(song, before, audio_digest)
    assert MP4(song)["\xa9nam"] == ["Titel"]
    assert not read_fields(song).genres


def test_snapshots_of_earlier_versions_tell_of_no_room():
    data = json.loads(snapshot(all_kinds() / "v23.mp3").to_json())
    assert data.pop("room")
    assert Snapshot.from_json(json.dumps(data)).room == ()


def test_mtags_own_field_tells_of_the_room_that_there_was():
    before = Snapshot("id3v2.3", True, (), frozenset({Field.GENRE}), (1034,))
    origin = Origin.from_text(Origin("mtag 0.2.0", before, {Field.GENRE: "0123456789ab"}).to_text())
    assert origin
    assert origin.before.room == (1034,)


@pytest.mark.parametrize("song", list(MAKERS), indirect=True)
@pytest.mark.parametrize("room", [(1 << 40,), (-1, -1), (0, 3), (1, 1 << 30), (2, 0), (9, 9, 9)], ids=str)
def test_a_room_that_makes_no_sense_does_no_harm(song, room):
    bare, before = read_fields(song), snapshot(song)
    tag(song)
    digest, size = audio_digest(song), song.stat().st_size
    assert restore(song, replace(before, room=tuple(n for n in room if n < 1 << 30)), audio_digest)
    assert (read_fields(song), audio_digest(song)) == (bare, digest)
    assert song.stat().st_size <= size + 64
    told = Origin("mtag", replace(before, room=room), {}).to_text()
    assert sum(Origin.from_text(told).before.room) < 1 << 25


@pytest.mark.parametrize("song", ["full.wv"], indirect=True)
@pytest.mark.parametrize("behind", [b"", b"TAG" + bytes(125)], ids=["last", "before an ID3v1 tag"])
def test_no_length_of_mtags_field_makes_an_ape_tag_look_like_an_id3v1_tag(song, behind):
    content = song.read_bytes()
    start = content.index(b"APETAGEX")
    for n in range(80):
        song.write_bytes(content[:start] + behind)
        assert write(song, Fields(("techno",), provenance=f"mtag {'x' * n}"), audio_digest)
        tail = song.read_bytes()[: -len(behind) or None]
        assert tail[-128:-125] != b"TAG"
        assert strip(song, audio_digest)
        assert song.read_bytes() == content[:start] + behind
