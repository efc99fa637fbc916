"""What must never happen: a file judged by its name, a damaged tag replaced, audio or other data touched."""

from __future__ import annotations

import io
import itertools
import os
import random
import shutil
import struct
from pathlib import Path

import pytest
from mutagen.mp4 import MP4
from mutagen.ogg import OggPage
from mutagen.oggvorbis import OggVorbis

from mtag.errors import FailureKind, FileError
from mtag.tagfile import Fields, HardLinkedError, is_hard_linked, plan, read_fields, restore, snapshot, write
from mtag.tagfile.fields import GenrePolicy
from tests.encoding import encode, noise, tone
from tests.tagged import MAKERS, audio_digest, m4a, ogg, plain, v1_tag

LINE = "mtag: guitar, slow"
FIELDS = Fields(("techno", "new age"), (LINE,))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one file of each kind."""
    folder = tmp_path_factory.mktemp("made")
    for name, make in MAKERS.items():
        make(folder / name)
    return folder


def refused(path: Path) -> FileError:
    """The failure that reading and writing share; the file and its folder stay as they are."""
    before, names = path.read_bytes(), sorted(os.listdir(path.parent))
    kinds = []
    for act in (read_fields, snapshot, lambda file: write(file, FIELDS, audio_digest)):
        with pytest.raises(FileError) as caught:
            act(path)
        kinds.append(caught.value.kind)
    assert len(set(kinds)) == 1
    assert caught.value.path == path
    assert path.read_bytes() == before
    assert sorted(os.listdir(path.parent)) == names
    return caught.value


@pytest.mark.parametrize(
    "name", ["full.flac", "full.ogg", "full.opus", "full.m4a", "full.wma", "info.wav", "full.aiff", "full.wv"]
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


def pages_of(path: Path) -> list[OggPage]:
    pages = []
    with path.open("rb") as file:
        while True:
            try:
                pages.append(OggPage(file))
            except EOFError:
                return pages


@pytest.mark.parametrize("name", ["full.ogg", "full.opus", "flac.oga"])
@pytest.mark.parametrize("n_bytes", [10, 3_000, 70_000, 500_000])
def test_ogg_pages_stay_in_order_when_comments_need_more_or_fewer_of_them(
    made: Path, tmp_path: Path, name: str, n_bytes: int
) -> None:
    path = Path(shutil.copy(made / name, tmp_path))
    taken, n_pages, before = snapshot(path), len(pages_of(path)), plain(path)
    write(path, Fields((), ("mtag: " + "x" * n_bytes,)), audio_digest)
    data, pages = path.read_bytes(), pages_of(path)
    assert [page.sequence for page in pages] == list(range(len(pages)))
    assert b"".join(page.write() for page in pages) == data  # the checksums hold
    assert n_bytes < 70_000 or len(pages) != n_pages
    for old, new in itertools.pairwise(pages):
        assert new.continued is not old.complete
        assert (old.position == -1) is (not old.complete and len(old.packets) == 1)
    restore(path, taken, audio_digest)
    assert plain(path) == before


def test_ogg_pages_behind_a_damaged_stretch_are_renumbered_too(tmp_path: Path) -> None:
    path = ogg(tmp_path / "long.ogg")
    encode(path, noise(5.0))
    data = path.read_bytes()
    third = data.rindex(b"OggS", 0, len(data) - 5000)
    path.write_bytes(data[:third] + b"damage" + data[third:])
    audio = audio_digest(path)
    write(path, Fields((), ("mtag: " + "x" * 200_000,)), audio_digest)
    assert audio_digest(path) == audio
    last = path.read_bytes()[path.read_bytes().rindex(b"OggS") :]
    shift = (
        len(last) and OggPage(io.BytesIO(last)).sequence - OggPage(io.BytesIO(data[data.rindex(b"OggS") :])).sequence
    )
    assert shift > 0


def test_data_behind_opus_comments_stays(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(made / "full.opus", tmp_path))
    from mutagen.oggopus import OggOpus

    file = OggOpus(path)
    file.tags._pad_data = b"\1 binary data of unknown use"
    file.save()
    write(path, FIELDS, audio_digest)
    assert OggOpus(path).tags._pad_data == b"\1 binary data of unknown use"


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov", ""])
def test_file_offsets_in_mp4_follow_when_the_tag_grows(tmp_path: Path, flags: str) -> None:
    import av

    plain_file = encode(tmp_path / "plain.m4a", noise(4.0))
    path = tmp_path / "moved.m4a"
    options = {"movflags": flags, "frag_duration": "500000"} if flags else {}
    with av.open(str(plain_file)) as source, av.open(str(path), "w", format="mp4", options=options) as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    audio, decoded = audio_digest(path), decode(path)
    write(path, Fields(("techno",), ("mtag: " + "x" * 30_000,)), audio_digest)
    assert audio_digest(path) == audio
    assert decode(path) == decoded
    assert MP4(path)["\xa9gen"] == ["techno"]


def decode(path: Path) -> bytes:
    import av

    with av.open(str(path)) as container:
        return b"".join(frame.to_ndarray().tobytes() for frame in container.decode(audio=0))


def test_absolute_offsets_of_fragments_follow(made: Path) -> None:
    from mtag.tagfile.mp4 import _shifted

    tfhd = struct.pack(">IIQI", 1, 1, 5000, 7)
    assert _shifted(b"tfhd", tfhd, 1000, 24) == struct.pack(">IIQI", 1, 1, 5024, 7)
    assert _shifted(b"tfhd", struct.pack(">III", 0, 1, 7), 0, 24) == struct.pack(">III", 0, 1, 7)
    tfra = (
        struct.pack(">IIII", 0, 1, 0, 2)
        + struct.pack(">IIBBB", 0, 900, 1, 1, 1)
        + struct.pack(">IIBBB", 9, 5000, 1, 1, 1)
    )
    assert _shifted(b"tfra", tfra, 1000, 24) == tfra[:-7] + struct.pack(">IBBB", 5024, 1, 1, 1)
    co64 = struct.pack(">IIQQ", 0, 2, 999, 1 << 33)
    assert _shifted(b"co64", co64, 1000, -8) == struct.pack(">IIQQ", 0, 2, 999, (1 << 33) - 8)


def test_a_comment_of_somebody_else_in_mp4_is_joined_by_a_freeform_atom(tmp_path: Path) -> None:
    path = m4a(tmp_path / "song.m4a")
    write(path, FIELDS, audio_digest)
    tags = MP4(path)
    assert tags["\xa9cmt"] == ["mine"]
    assert tags["----:com.apple.iTunes:mtag comment"] == [LINE.encode()]
    assert b"gnre" not in path.read_bytes()  # its genre would go on contradicting the new one


def test_a_number_for_a_genre_in_mp4_is_kept_as_its_name_when_genres_are_added(tmp_path: Path) -> None:
    path = m4a(tmp_path / "song.m4a")
    planned = plan(read_fields(path), ("techno",), None, GenrePolicy.APPEND)
    assert planned is not None
    write(path, planned, audio_digest)
    assert MP4(path)["\xa9gen"] == ["Other", "techno"]


def test_mp4_tags_of_another_kind_are_left_alone(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    path.write_bytes((made / "full.m4a").read_bytes().replace(b"mdirappl", b"mdtaappl"))
    assert refused(path).kind is FailureKind.TAG_PARSE


def test_the_file_length_noted_in_asf_follows(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.wma", tone(1.0))
    for words in ("mtag: " + "x" * 9_000, "mtag: y"):
        write(path, Fields((), (words,)), audio_digest)
        data = path.read_bytes()
        at = data.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
        assert int.from_bytes(data[at + 40 : at + 48], "little") == len(data)


def test_chunks_of_wav_and_aiff_stay_and_the_length_in_the_head_is_right(made: Path, tmp_path: Path) -> None:
    for name, order in (("info.wav", "little"), ("tag.wav", "little"), ("full.aiff", "big")):
        path = Path(shutil.copy(made / name, tmp_path))
        before = path.read_bytes()
        taken = snapshot(path)
        write(path, Fields(("techno",), ("mtag: " + "x" * 3_001,)), audio_digest)
        data = path.read_bytes()
        assert int.from_bytes(data[4:8], order) == len(data) - 8
        assert len(data) % 2 == 0
        for chunk in (
            b"bext" + struct.pack("<I", 602) + b"b" * 602,
            b"ICMT\4\0\0\0mine",
            b"odd \3\0\0\0odd",
            b"ANNO\0\0\0\4note",
        ):
            assert (chunk in data) is (chunk in before)
        restore(path, taken, audio_digest)
        if name != "tag.wav":
            assert path.read_bytes()[8:] in (before[8:], before[8:] + b"\0")


def test_a_wav_file_without_a_length_is_left_alone(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "stream.wav"
    data = (made / "info.wav").read_bytes()
    path.write_bytes(data[:4] + b"\xff\xff\xff\xff" + data[8:])
    assert refused(path).kind is FailureKind.TAG_PARSE


def test_an_info_list_counts_as_shown_and_stays(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    data = (made / "info.wav").read_bytes().replace(b"INAM\6\0\0\0Titel\0", b"IGNR\6\0\0\0Swing\0")
    path.write_bytes(data)
    assert read_fields(path) == Fields(("Swing",), ("mine",))
    assert plan(read_fields(path), ("techno",), None, GenrePolicy.FILL) is None
    write(path, Fields(("Swing", "techno"), ("mine", LINE)), audio_digest)
    assert read_fields(path) == Fields(("Swing", "techno"), ("mine", LINE))


def test_an_own_line_copied_into_an_info_list_does_not_make_the_next_run_write(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes((made / "info.wav").read_bytes().replace(b"INAM\6\0\0\0Titel\0", b"ICMT\6\0\0\0mtag: "))
    write(path, FIELDS, audio_digest)
    assert plan(read_fields(path), FIELDS.genres, LINE, GenrePolicy.REPLACE) is None


def test_a_second_value_is_added_to_an_ape_comment_and_its_key_and_flags_stay(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(made / "fake.ape", tmp_path))
    write(path, FIELDS, audio_digest)
    assert struct.pack("<II", 4 + 1 + len(LINE), 0) + b"comment\0mine\0" + LINE.encode() in path.read_bytes()
    assert path.read_bytes().endswith(v1_tag())


def test_a_copy_with_other_audio_never_replaces_the_file(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(made / "v23.mp3", tmp_path))
    before = path.read_bytes()
    with pytest.raises(FileError, match="audio") as caught:
        write(path, FIELDS, lambda file: str(file))
    assert caught.value.path == path
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


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
    assert not is_hard_linked(path)
    other = tmp_path / "b.ogg"
    other.hardlink_to(path)
    before = path.read_bytes()
    assert is_hard_linked(path)
    with pytest.raises(HardLinkedError, match="2 hard links"):
        write(path, FIELDS, audio_digest)
    assert path.read_bytes() == before
    assert write(path, FIELDS, audio_digest, break_links=True)
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
            shown = read_fields(path)
            planned = plan(shown, ("techno",), LINE, GenrePolicy.REPLACE)
            outcomes.add(planned is not None and write(path, planned, lambda file: ""))
        except FileError as error:
            outcomes.add(error.kind.value)
            assert path.read_bytes() == mutated
        assert list(tmp_path.iterdir()) == [path]
    assert outcomes


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
