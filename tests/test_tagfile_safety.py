"""What must never happen: a file judged by its name, a damaged tag replaced, audio or other data touched."""

from __future__ import annotations

import random
import shutil
import struct
from pathlib import Path

import pytest
from mutagen.oggvorbis import OggVorbis

from mtag.errors import FailureKind, FileError
from mtag.tagfile import Fields, HardLinkedError, HardLinks, read_fields, restore, snapshot, vorbis, write
from mtag.tagfile.fields import GenrePolicy
from tests.plain import plain
from tests.tagged import MAKERS, all_kinds, audio_digest, planned, refused

LINE = "mtag: guitar, slow"
FIELDS = Fields(("techno", "new age"), (LINE,))


OGG_OF_NO_MUSIC = b"OggS\0\2" + bytes(20) + b"\1\x08" + b"\x80theora"


@pytest.fixture(scope="session")
def made() -> Path:
    """A folder with one file of each kind."""
    return all_kinds()


@pytest.mark.parametrize(
    "name", ["full.flac", "full.ogg", "full.opus", "full.m4a", "full.wma", "tag.wav", "full.aiff", "full.wv"]
)
@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".m4a"])
def test_a_file_is_judged_by_its_content_whatever_its_suffix(
    made: Path, tmp_path: Path, name: str, suffix: str
) -> None:
    path = Path(shutil.copy(made / name, tmp_path / f"wrong{suffix}"))
    head, audio, before = path.read_bytes()[:4], audio_digest(path), plain(path)
    write(path, FIELDS, audio_digest)
    assert path.read_bytes()[:4] == head
    assert audio_digest(path) == audio
    assert plain(path)[0] == ["techno", "new age"]
    assert plain(path)[2] == before[2]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"This is a text file, and \xff is in it.\n" * 200,
        b"\xff\xfb\x90\x00" + b"not frames" * 100,
        b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(range(256)) * 100,
        b"RIFF\x10\0\0\0AVI LIST",
        b"FORM\0\0\0\x108SVX",
        b"PK\3\4" + bytes(100),
        b"\x1aE\xdf\xa3" + bytes(100),
        random.Random(1).randbytes(400_000),
        b"TAG" + bytes(125),
        OGG_OF_NO_MUSIC,
    ],
)
def test_what_is_no_audio_is_never_written_to(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(content)
    assert refused(path).kind is FailureKind.UNSUPPORTED


def test_a_missing_file_and_a_folder_are_failures(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mp3", tmp_path):
        with pytest.raises(FileError):
            read_fields(path)
        with pytest.raises(FileError):
            write(path, FIELDS, audio_digest)


def test_a_stream_behind_a_stretch_of_junk_is_found(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(b"junk \xff\xfb\x90" * 900 + (made / "bare.mp3").read_bytes())
    assert read_fields(path) == Fields()


@pytest.mark.parametrize(
    "name", ["full.flac", "full.ogg", "full.m4a", "full.wma", "info.wav", "full.aiff", "silence.dsf", "fake.ape"]
)
def test_a_file_cut_off_inside_its_metadata_is_left_alone(made: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = (made / name).read_bytes()
    cut = {"fake.ape": None, "full.m4a": -2000}.get(name, 70)
    path.write_bytes(data[:cut] if cut else data[:-3000] + data[-(32 + 128) :])
    assert refused(path).kind is FailureKind.TAG_PARSE


def test_two_blocks_of_comments_in_flac_are_left_alone(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "twice.flac"
    data = (made / "bare.flac").read_bytes()
    block = b"\4\0\0\x0c" + struct.pack("<I4sI", 4, b"test", 0)
    path.write_bytes(data[:42] + block * 2 + data[42:])
    assert refused(path).kind is FailureKind.TAG_PARSE


def test_flac_metadata_that_do_not_lead_to_a_frame_are_left_alone(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "shifted.flac"
    data = bytearray((made / "bare.flac").read_bytes())
    data[45] += 1  # the seek table's length
    path.write_bytes(bytes(data))
    assert refused(path).kind is FailureKind.TAG_PARSE


def test_vorbis_comments_that_are_not_utf8_or_have_no_key_stay_byte_for_byte(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "latin.flac"
    entries = [
        b"ARTIST=Bj\xf6rk",
        b"no equals sign",
        b"\xfcml\xe4ut=x",
        b"COMMENT=sch\xf6n",
        b"genre=",
        b"nor here",
        b"=",
    ]
    body = struct.pack("<I", 4) + b"test" + struct.pack("<I", len(entries))
    body += b"".join(struct.pack("<I", len(entry)) + entry for entry in entries)
    data = (made / "bare.flac").read_bytes()
    path.write_bytes(data[:42] + b"\4" + len(body).to_bytes(3, "big") + body + data[42:])
    write(path, FIELDS, audio_digest)
    written = path.read_bytes()
    assert all(struct.pack("<I", len(entry)) + entry in written for entry in entries if entry != b"genre=")
    assert [
        line for line in (b"genre=techno", b"genre=new age", b"COMMENT=" + LINE.encode()) if line not in written
    ] == []


def test_a_copy_with_other_audio_never_replaces_the_file(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(made / "v23.mp3", tmp_path))
    before = path.read_bytes()
    with pytest.raises(FileError, match="audio") as caught:
        write(path, FIELDS, lambda file: str(file))
    assert caught.value.path == path
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_words_that_would_read_as_others_are_not_written(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(made / "v23.mp3", tmp_path))
    before = path.read_bytes()
    with pytest.raises(FileError, match="cannot hold these words"):
        write(path, Fields(("techno; rock",)), audio_digest)  # of several names ID3 2.3 makes just that text
    assert path.read_bytes() == before


def test_a_copy_that_lost_one_of_mtags_own_items_never_replaces_the_file(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(made / "full.flac", tmp_path))
    before, render = path.read_bytes(), vorbis.render
    monkeypatch.setattr(vorbis, "render", lambda vendor, items: render(vendor, items[:-1]))  # the way back
    with pytest.raises(FileError, match="stayed whole"):
        write(path, FIELDS, audio_digest)
    assert path.read_bytes() == before


def test_a_failing_digest_is_told_with_the_files_own_name(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(made / "v23.mp3", tmp_path))

    def fail(file: Path) -> str:
        raise FileError(file, FailureKind.DECODE, "cannot be decoded")

    with pytest.raises(FileError) as caught:
        write(path, FIELDS, fail)
    assert (caught.value.path, caught.value.kind) == (path, FailureKind.DECODE)
    assert list(tmp_path.iterdir()) == [path]


def test_a_second_reader_that_disagrees_stops_the_write(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(made / "full.flac", tmp_path))
    before = path.read_bytes()
    entries = "mtag.tagfile.witness._entries"
    for answers in ([[], []], [[("TITLE", "x")], [("GENRE", "techno"), ("COMMENT", LINE)]]):
        told = iter(answers)
        monkeypatch.setattr(entries, lambda reader, file, told=told: next(told))
        with pytest.raises(FileError, match="another program"):
            write(path, Fields(("techno",), (LINE,)), audio_digest)
    monkeypatch.setattr(entries, lambda reader, file: 1 / 0)
    with pytest.raises(FileError, match="second reader") as caught:
        write(path, FIELDS, audio_digest)
    assert caught.value.kind is FailureKind.TAG_PARSE
    assert path.read_bytes() == before


def test_hard_linked_files_are_left_alone_unless_asked(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(made / "full.ogg", tmp_path / "a.ogg"))
    other = tmp_path / "b.ogg"
    other.hardlink_to(path)
    before = path.read_bytes()
    with pytest.raises(HardLinkedError, match="2 hard links"):
        write(path, FIELDS, audio_digest)
    assert path.read_bytes() == before
    assert write(path, FIELDS, audio_digest, hardlinks=HardLinks.BREAK)
    assert other.read_bytes() == before
    assert OggVorbis(path)["genre"] == ["techno", "new age"]


@pytest.mark.parametrize("name", MAKERS)
def test_mutated_files_are_refused_or_written_without_harm(made: Path, tmp_path: Path, name: str) -> None:
    rng = random.Random(name)
    data = (made / name).read_bytes()
    path = tmp_path / name
    outcomes = set()
    for _ in range(40):
        mutated = mutate(data, rng)
        path.write_bytes(mutated)
        try:
            shown, taken = read_fields(path), snapshot(path)
            wanted = planned(shown, ("techno",), LINE, GenrePolicy.REPLACE)
            if wanted is not None and write(path, wanted, lambda file: ""):
                outcomes.add("written")
                assert read_fields(path) == wanted
                assert restore(path, taken, lambda file: "")
                assert read_fields(path) == shown
        except FileError as error:
            outcomes.add(error.kind.value)
            assert path.read_bytes() == mutated
        assert list(tmp_path.iterdir()) == [path]
    assert "written" in outcomes


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Some damage near the head or the end, where the tags are."""
    mutated = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.choice(
            (rng.randrange(min(400, len(mutated))), rng.randrange(len(mutated)), len(mutated) - 1 - rng.randrange(300))
        )
        kind = rng.randrange(5)
        if kind == 0:
            mutated[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            mutated[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", rng.randbytes(4)))
        elif kind == 2:
            del mutated[at : at + rng.randrange(1, 40)]
        elif kind == 3:
            mutated[at:at] = rng.randbytes(rng.randrange(1, 40))
        else:
            del mutated[max(500, at) :]
    return bytes(mutated)


def test_a_damaged_page_of_comments_is_not_made_to_look_whole(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.ogg"
    data = bytearray((made / "full.ogg").read_bytes())
    data[data.index(b"eHl6") + 1000] ^= 1
    path.write_bytes(bytes(data))
    assert refused(path).kind is FailureKind.TAG_PARSE


def test_an_aiff_file_whose_last_chunk_lacks_a_byte_is_not_given_one(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.aiff"
    path.write_bytes((made / "full.aiff").read_bytes()[:-1])  # of a chunk of even length: no filling byte
    assert refused(path).kind is FailureKind.TAG_PARSE


def test_reserved_bytes_in_an_asf_header_stay_as_they_are(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.wma"
    data = (made / "full.wma").read_bytes()
    reserved = bytes.fromhex("11d2d3abbaa9cf118ee600c00c205365")
    path.write_bytes(data.replace(reserved + b"\6\0", reserved + b"\6\4"))
    write(path, FIELDS, audio_digest)
    assert reserved + b"\6\4" in path.read_bytes()
