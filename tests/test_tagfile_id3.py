"""ID3 tags in all their versions and habits: the version stays, and so does every foreign frame, byte for byte."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import pytest
from mutagen import id3

from mtag.errors import FailureKind, FileError
from mtag.tagfile import Fields, GenrePolicy, read_fields, restore, snapshot, strip, write
from mtag.tagfile.id3 import read_tag
from tests.plain import id3_size
from tests.tagged import (
    COVER,
    audio_digest,
    id3_tag,
    id3v22_tag,
    mp3_bare,
    mp3_with_older_tags_alone,
    planned,
    raw_frame,
    raw_tag,
    syncsafe,
    v1_tag,
)

LINE = "mtag: guitar, slow"
FIELDS = Fields(("techno", "new age"), (LINE,))


@pytest.fixture(scope="session")
def audio(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An MP3 stream without any tag."""
    return mp3_bare(tmp_path_factory.mktemp("audio") / "bare.mp3").read_bytes()


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return tmp_path / "song.mp3"


def frames_of(path: Path) -> list[bytes]:
    tag = read_tag(io.BytesIO(path.read_bytes()))
    assert tag is not None
    return [item.raw for item in tag.items]


@pytest.mark.parametrize("tag", [id3v22_tag(), id3_tag(3), id3_tag(4)], ids=["2.2", "2.3", "2.4"])
def test_the_version_and_every_foreign_frame_stay_as_they_are(song: Path, audio: bytes, tag: bytes) -> None:
    song.write_bytes(tag + audio)
    before = frames_of(song)
    write(song, FIELDS, audio_digest)
    after = frames_of(song)
    assert song.read_bytes()[:5] == tag[:5]
    assert [raw for raw in after if raw in before] == before
    assert len(after) == len(before) + 3
    assert song.read_bytes().endswith(audio)


def test_a_picture_of_id3v22_is_still_one_for_plain_mutagen(song: Path, audio: bytes) -> None:
    song.write_bytes(id3v22_tag() + audio)
    write(song, FIELDS, audio_digest)
    tags = id3.ID3(song, load_v1=False)
    assert tags.version == (2, 2, 0)
    assert tags.getall("APIC")[0].data == COVER
    assert tags["TCON"].text == ["techno; new age"]
    assert tags["COMM::eng"].text == [LINE]


def test_several_genres_are_one_string_in_23_and_a_list_in_24(song: Path, audio: bytes) -> None:
    for version, texts in ((3, ["techno; new age"]), (4, ["techno", "new age"])):
        song.write_bytes(id3_tag(version) + audio)
        write(song, FIELDS, audio_digest)
        assert id3.ID3(song, translate=False)["TCON"].text == texts
        assert read_fields(song).genres == ("techno", "new age")


def test_a_file_without_any_tag_gets_24_in_utf8(song: Path, audio: bytes) -> None:
    song.write_bytes(audio)
    write(song, Fields(("techno",), ("mtag: für später",)), audio_digest)
    tags = id3.ID3(song)
    assert tags.version == (2, 4, 0)
    assert {frame.encoding for frame in tags.values()} == {id3.Encoding.UTF8}
    assert sorted(tags) == ["COMM::eng", "TCON", "TXXX:MTAG"]
    assert not song.read_bytes()[-128:].startswith(b"TAG")


@pytest.mark.parametrize(
    ("version", "body", "genres"),
    [
        (4, b"\3" + b"17\0Dub", ("Rock", "Dub")),
        (4, b"\0(17)", ("Rock",)),
        (3, b"\0(4)Eurodisco", ("Disco", "Eurodisco")),
        (3, b"\0(17)(18)", ("Rock", "Techno")),
        (3, b"\0Rock; Dub\0", ("Rock", "Dub")),
        (3, b"\1\xff\xfeR\0o\0c\0k\0\0\0", ("Rock",)),
        (3, b"\1\xfe\xff\0R\0o\0c\0k", ("Rock",)),
        (3, b"\1R\0o\0c\0k\0\0", ("Rock",)),
        (4, b"\2\0R\0o\0c\0k\0\0\0D", ("Rock", "D")),
        (4, b"\1\xff\xfeR\0\0\0\xff\xfeD\0", ("R", "D")),
        (2, b"\0(80)\0", ("Folk",)),
        (3, b"\0", ()),
        (4, b"\3Other", ("Other",)),
    ],
)
def test_genres_are_read_as_players_show_them(
    song: Path, audio: bytes, version: int, body: bytes, genres: tuple[str, ...]
) -> None:
    song.write_bytes(raw_tag(version, raw_frame(b"TCO" if version == 2 else b"TCON", body, version)) + audio)
    assert read_fields(song).genres == genres


def test_several_genre_frames_are_read_as_one_and_written_as_one(song: Path, audio: bytes) -> None:
    frames = raw_frame(b"TCON", b"\0Rock", 3) + raw_frame(b"TIT2", b"\0t", 3) + raw_frame(b"TCON", b"\0(18)", 3)
    song.write_bytes(raw_tag(3, frames) + audio)
    taken = snapshot(song)
    wanted = planned(read_fields(song), ("dub",), None, GenrePolicy.APPEND)
    assert wanted == Fields(("Rock", "Techno", "dub"))
    write(song, wanted, audio_digest)
    assert [raw[:4] for raw in frames_of(song)] == [b"TCON", b"TIT2", b"TXXX"]
    restore(song, taken, audio_digest)
    assert b"".join(frames_of(song)) == frames


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize(
    ("comments", "description"),
    [
        ([], ""),
        ([(b"eng", b"", b"")], ""),  # an empty comment takes the line
        ([(b"deu", b"", b"  ")], ""),
        ([(b"eng", b"", b"mine")], "mtag"),
        ([(b"deu", b"", b"meins")], "mtag"),
        ([(b"eng", b"", b"mtag: old")], ""),  # mtag's own is replaced where it stands
        ([(b"eng", b"", b"mine"), (b"eng", b"mtag", b"mtag: old")], "mtag"),
        ([(b"eng", b"mtag", b"mtag: old")], ""),
        ([(b"eng", b"", b"mine"), (b"eng", b"mtag", b"mine, too")], "mtag 2"),
        ([(b"eng", b"iTunNORM", b" 00000")], ""),
        ([(b"eng", b"iTunNORM", b"mtag: no")], ""),  # another program's business
    ],
)
def test_the_line_stands_where_players_look_unless_somebody_elses_comment_does(
    song: Path, audio: bytes, version: int, comments: list[tuple[bytes, bytes, bytes]], description: str
) -> None:
    name = b"COM" if version == 2 else b"COMM"
    bodies = [b"\0" + language + about + b"\0" + text for language, about, text in comments]
    song.write_bytes(raw_tag(version, b"".join(raw_frame(name, body, version) for body in bodies)) + audio)
    taken, before = snapshot(song), frames_of(song)
    write(song, Fields((), (LINE,)), audio_digest)
    ours = [frame for frame in id3.ID3(song, load_v1=False).getall("COMM") if frame.text == [LINE]]
    assert [(frame.lang, frame.desc) for frame in ours] == [("eng", description)]
    kept = [body for body in bodies if b"mine" in body or b"meins" in body or b"iTun" in body]
    assert [raw for raw in frames_of(song) if raw in before] == [raw_frame(name, body, version) for body in kept]
    restore(song, taken, audio_digest)
    assert frames_of(song) == before


def test_a_comment_in_an_unknown_encoding_is_nobodys_and_stays(song: Path, audio: bytes) -> None:
    odd = raw_frame(b"COMM", b"\x09eng\0what is this", 3) + raw_frame(b"COMM", b"\0eng", 3)
    song.write_bytes(raw_tag(3, odd) + audio)
    assert read_fields(song) == Fields()
    write(song, FIELDS, audio_digest)
    assert b"".join(frames_of(song)[:2]) == odd


def test_id3v1_and_apev2_at_the_end_stay_byte_for_byte(song: Path, audio: bytes) -> None:
    end = b"APETAGEX" + bytes(24) + v1_tag()
    song.write_bytes(id3_tag(3) + audio + end)
    write(song, FIELDS, audio_digest)
    assert song.read_bytes().endswith(audio + end)


def test_a_new_tag_brings_along_what_id3v1_says_and_goes_with_the_undoing(song: Path, audio: bytes) -> None:
    song.write_bytes(audio + v1_tag(title="Über allen".encode("cp1252"), genre=12))
    before = song.read_bytes()
    assert read_fields(song) == Fields(("Other",), ("old comment",))
    taken = snapshot(song)
    wanted = planned(read_fields(song), ("techno",), LINE, GenrePolicy.FILL)
    assert wanted == Fields(("techno",), ("old comment", LINE))
    write(song, wanted, audio_digest)
    tags = id3.ID3(song, load_v1=False)
    texts = {key: str(frame) for key, frame in tags.items() if key != "TXXX:MTAG"}
    assert texts == {
        "TIT2": "Über allen", "TPE1": "Old artist", "TALB": "Old album", "TDRC": "1999", "TRCK": "7",
        "TCON": "techno", "COMM::eng": "old comment", "COMM:mtag:eng": LINE,
    }  # fmt: skip
    restore(song, taken, audio_digest)
    assert song.read_bytes() == before


def test_a_new_tag_brings_along_what_apev2_says_and_id3v1_where_that_is_silent(tmp_path: Path) -> None:
    path = mp3_with_older_tags_alone(tmp_path / "no-id3.mp3")
    before, taken = path.read_bytes(), snapshot(path)
    assert read_fields(path) == Fields(("Ape genre",), ("old comment",))
    wanted = planned(read_fields(path), ("techno",), LINE, GenrePolicy.FILL)
    assert wanted == Fields(("Ape genre",), ("old comment", LINE))  # it has a genre
    write(path, wanted, audio_digest)
    tags = id3.ID3(path, load_v1=False)
    texts = {key: [*map(str, frame.text)] for key, frame in tags.items() if key != "TXXX:MTAG"}
    assert texts == {
        "TIT2": ["A title longer than ID3v1 can hold"], "TPE1": ["One", "Zwö"], "TALB": ["Old album"], "TDRC": ["1999"],
        "TRCK": ["7/12"], "TXXX:REPLAYGAIN_TRACK_GAIN": ["-6.00 dB"], "TCON": ["Ape genre"],
        "COMM::eng": ["old comment"], "COMM:mtag:eng": [LINE],
    }  # fmt: skip
    assert write(path, planned(read_fields(path), (), None, GenrePolicy.FILL), audio_digest)
    assert path.read_bytes() == before
    write(path, planned(read_fields(path), ("techno",), LINE, GenrePolicy.APPEND), audio_digest)
    assert id3.ID3(path, load_v1=False)["TCON"].text == ["Ape genre", "techno"]
    restore(path, taken, audio_digest)
    assert path.read_bytes() == before


def test_a_tag_made_by_mtag_stays_once_somebody_else_uses_it(song: Path, audio: bytes) -> None:
    song.write_bytes(audio)
    taken = snapshot(song)
    write(song, FIELDS, audio_digest)
    tags = id3.ID3(song)
    tags.add(id3.TIT2(encoding=3, text=["new title"]))
    tags.save(song, v1=0)
    restore(song, taken, audio_digest)
    assert list(id3.ID3(song)) == ["TIT2"]


def test_a_comment_in_id3v1_alone_is_not_hidden_by_mtags(song: Path, audio: bytes) -> None:
    song.write_bytes(id3_tag(3, id3.COMM(encoding=0, lang="eng", desc="", text=[""])) + audio + v1_tag())
    before, taken = song.read_bytes(), snapshot(song)
    write(song, planned(read_fields(song), (), LINE, GenrePolicy.FILL), audio_digest)
    ours, theirs = id3.ID3(song, load_v1=False).getall("COMM:mtag"), id3.ID3(song, load_v1=False).getall("COMM:")
    assert ([frame.text for frame in theirs], [frame.text for frame in ours]) == ([["old comment"]], [[LINE]])
    write(song, planned(read_fields(song), (), "mtag: other", GenrePolicy.FILL), audio_digest)
    assert read_fields(song).comments == ("old comment", "mtag: other")
    assert strip(song, audio_digest)
    assert song.read_bytes() == before
    write(song, FIELDS, audio_digest)
    assert restore(song, taken, audio_digest)
    assert song.read_bytes() == before


def test_a_genre_in_id3v1_alone_is_not_overruled(song: Path, audio: bytes) -> None:
    song.write_bytes(id3_tag(3) + audio + v1_tag(genre=17))
    assert read_fields(song).genres == ("Rock",)
    assert planned(read_fields(song), ("techno",), None, GenrePolicy.FILL) is None


@pytest.mark.parametrize("version", [2, 3])
def test_an_unsynchronised_tag_stays_one(song: Path, audio: bytes, version: int) -> None:
    picture = b"\0JPG\3c\0" if version == 2 else b"\0image/jpeg\0\3c\0"
    frames = raw_frame(b"PIC" if version == 2 else b"APIC", picture + COVER, version)
    body = (
        frames.replace(b"\xff\0", b"\xff\0\0").replace(b"\xff\xe0", b"\xff\0\xe0").replace(b"\xff\xfe", b"\xff\0\xfe")
    )
    body = body.replace(b"\xff\xd8\xff\0\xe0", b"\xff\xd8\xff\0\xe0")
    song.write_bytes(raw_tag(version, body, flags=0x80) + audio)
    assert frames_of(song) == [frames]
    write(song, Fields(("Ünique",), (LINE,)), audio_digest)
    assert song.read_bytes()[5] == 0x80
    size = id3_size(song.read_bytes())
    assert not [at for at in range(size - 1) if song.read_bytes()[at] == 0xFF and song.read_bytes()[at + 1] >= 0xE0]
    assert frames_of(song)[0] == frames
    tags = id3.ID3(song, load_v1=False)
    assert (tags.getall("APIC")[0].data, tags["TCON"].text) == (COVER, ["Ünique"])


def test_frames_of_24_that_are_unsynchronised_packed_or_grouped_are_read(song: Path, audio: bytes) -> None:
    text = b"\1\xff\0\xfeR\0o\0c\0k\0"
    packed = zlib.compress(b"\3Dub")
    frames = raw_frame(b"TCON", text, 4, b"\0\2")
    frames += raw_frame(b"TCON", syncsafe(4) + packed, 4, b"\0\x09")
    frames += raw_frame(b"TCON", b"\7" + b"\3Folk", 4, b"\0\x40")
    song.write_bytes(raw_tag(4, frames) + audio)
    assert read_fields(song).genres == ("Rock", "Dub", "Folk")
    song.write_bytes(
        raw_tag(3, raw_frame(b"TCON", (5).to_bytes(4, "big") + b"\1" + zlib.compress(b"\0Dub"), 3, b"\0\xa0")) + audio
    )
    assert read_fields(song).genres == ("Dub",)


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("name", [b"COMM", b"XYZW"])
def test_a_packed_frame_that_would_fill_the_memory_is_refused(
    song: Path, audio: bytes, version: int, name: bytes
) -> None:
    bomb = zlib.compress(bytes(40 << 20), 9)
    size = syncsafe(40 << 20) if version == 4 else (40 << 20).to_bytes(4, "big")
    song.write_bytes(
        raw_tag(version, raw_frame(name, size + bomb, version, b"\0\x09" if version == 4 else b"\0\x80")) + audio
    )
    with pytest.raises(FileError, match="hold more than 16 MB") as caught:
        read_fields(song)
    assert caught.value.kind is FailureKind.TAG_PARSE


def test_packed_frames_that_would_fill_the_memory_together_are_refused(song: Path, audio: bytes) -> None:
    frame = raw_frame(b"XYZW", (7 << 20).to_bytes(4, "big") + zlib.compress(bytes(7 << 20), 9), 3, b"\0\x80")
    song.write_bytes(raw_tag(3, frame * 2) + audio)
    assert read_fields(song) == Fields()
    song.write_bytes(raw_tag(3, frame * 3) + audio)
    with pytest.raises(FileError, match="hold more than 16 MB"):
        read_fields(song)


def test_a_tag_of_absurdly_many_frames_is_refused(song: Path, audio: bytes) -> None:
    frame = raw_frame(b"TXXX", b"\0a\0b", 4)
    song.write_bytes(raw_tag(4, frame * 1000) + audio)
    assert read_fields(song) == Fields()
    song.write_bytes(raw_tag(4, frame * 20_001) + audio)
    with pytest.raises(FileError, match="more than 20,000 parts"):
        read_fields(song)


@pytest.mark.parametrize("genre", ["9" * 5000, "(255)"])
def test_a_genre_of_no_known_number_is_no_crash(song: Path, audio: bytes, genre: str) -> None:
    song.write_bytes(raw_tag(4, raw_frame(b"TCON", b"\0" + genre.encode(), 4)) + audio)
    assert read_fields(song).genres == (genre.strip("()"),)


def test_a_tag_wholly_unsynchronised_in_24_reads_its_frames_so(song: Path, audio: bytes) -> None:
    song.write_bytes(raw_tag(4, raw_frame(b"TCON", b"\1\xff\0\xfeR\0", 4), flags=0x80) + audio)
    assert read_fields(song).genres == ("R",)
    write(song, Fields(("Ünique",), (LINE,)), audio_digest)
    assert id3.ID3(song)["TCON"].text == ["Ünique"]


def test_an_encrypted_genre_is_a_failure_and_an_encrypted_comment_is_not(song: Path, audio: bytes) -> None:
    song.write_bytes(raw_tag(4, raw_frame(b"COMM", b"\1secret", 4, b"\0\4")) + audio)
    assert read_fields(song) == Fields()
    song.write_bytes(raw_tag(4, raw_frame(b"TCON", b"\1secret", 4, b"\0\4")) + audio)
    with pytest.raises(FileError, match="encrypted") as caught:
        read_fields(song)
    assert caught.value.kind is FailureKind.TAG_PARSE


def test_sizes_as_old_itunes_wrote_them_stay_of_that_kind(song: Path, audio: bytes) -> None:
    body = b"\0image/jpeg\0\3\0" + COVER
    frame = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
    song.write_bytes(raw_tag(4, frame + raw_frame(b"TIT2", b"\3t", 4)) + audio)
    taken = snapshot(song)
    line = "mtag: " + "a" * 300
    write(song, Fields(("techno",), (line,)), audio_digest)
    tags = id3.ID3(song)
    assert (tags.getall("APIC")[0].data, tags["COMM::eng"].text) == (COVER, [line])
    restore(song, taken, audio_digest)
    assert snapshot(song) == taken


def test_extended_header_and_footer_go_and_the_frames_stay(song: Path, audio: bytes) -> None:
    frames = raw_frame(b"TIT2", b"\3title", 4)
    extended = syncsafe(12) + b"\1\x20" + b"\5" + bytes(5)
    tag = raw_tag(4, extended + frames, padding=0, flags=0x50)
    song.write_bytes(tag + b"3DI" + tag[3:10] + audio)
    write(song, FIELDS, audio_digest)
    data = song.read_bytes()
    assert data[5] == 0
    assert frames_of(song)[0] == frames
    assert data[id3_size(data) :] == audio
    song.write_bytes(raw_tag(3, (6).to_bytes(4, "big") + bytes(6) + raw_frame(b"TIT2", b"\0t", 3), flags=0x40) + audio)
    assert frames_of(song) == [raw_frame(b"TIT2", b"\0t", 3)]


def test_an_extended_header_that_is_only_announced_does_no_harm(song: Path, audio: bytes) -> None:
    song.write_bytes(raw_tag(3, raw_frame(b"TIT2", b"\0t", 3), flags=0x40) + audio)
    assert frames_of(song) == [raw_frame(b"TIT2", b"\0t", 3)]


@pytest.mark.parametrize("version", [2, 3])
def test_what_was_taken_from_an_older_tag_can_be_put_into_a_newer_one(song: Path, audio: bytes, version: int) -> None:
    name, comment = (b"TCO", b"COM") if version == 2 else (b"TCON", b"COMM")
    frames = raw_frame(name, b"\1\xff\xfeR\0", version) + raw_frame(comment, b"\0deunote\0my note", version)
    frames += raw_frame(comment, b"\0deu\0mine", version)
    song.write_bytes(raw_tag(version, frames) + audio)
    taken = snapshot(song)
    write(song, FIELDS, audio_digest)
    tags = id3.ID3(song)
    tags.save(song, v1=0)  # another program rewrites the tag as 2.4
    assert id3.ID3(song).version == (2, 4, 0)
    restore(song, taken, audio_digest)
    tags = id3.ID3(song)
    assert tags["TCON"].text == ["R"]
    assert sorted(map(str, tags.getall("COMM"))) == ["mine", "my note"]


@pytest.mark.parametrize(
    "tag",
    [
        raw_tag(3, raw_frame(b"TIT2", b"\0t", 3))[:-50],  # cut off
        raw_tag(5, b""),
        raw_tag(2, b"", flags=0x40),
        b"ID3\3\0\0\xff\xff\xff\xff",
        raw_tag(3, b"T!T2" + bytes(6)),
        raw_tag(3, raw_frame(b"TIT2", b"\0t", 3) + b"\0\0\0 something hidden in the padding"),
        raw_tag(3, b"TIT2" + (5000).to_bytes(4, "big") + b"\0\0\0t"),
        raw_tag(4, b"TIT2" + b"\xff\xff\xff\xff" + b"\0\0\0t"),
        raw_tag(3, b"\xff\xff\xff\xff" + bytes(10), flags=0x40),
    ],
)
def test_a_damaged_tag_is_a_failure_and_never_replaced(song: Path, audio: bytes, tag: bytes) -> None:
    # The stream is too short for the announced sizes, so that nothing reads on into it.
    song.write_bytes(tag + (audio if len(tag) > 60 else b""))
    before = song.read_bytes()
    for act in (read_fields, snapshot, lambda path: write(path, FIELDS, audio_digest)):
        with pytest.raises(FileError) as caught:
            act(song)
        assert caught.value.kind is FailureKind.TAG_PARSE
        assert caught.value.path == song
    assert song.read_bytes() == before
    assert list(song.parent.iterdir()) == [song]
