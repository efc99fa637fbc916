"""Each container's own ways: pages, offsets, chunks and lengths stay right around a changed tag."""

from __future__ import annotations

import io
import itertools
import shutil
import struct
from pathlib import Path

import pytest
from mutagen import id3
from mutagen.apev2 import APEv2
from mutagen.asf import ASF
from mutagen.mp4 import MP4
from mutagen.ogg import OggPage
from mutagen.wave import WAVE

from mtag.errors import FailureKind, FileError
from mtag.tagfile import Fields, read_fields, restore, snapshot, strip, write
from mtag.tagfile.fields import GenrePolicy
from mtag.tagfile.ogg import Ogg
from tests.encoding import encode, noise, tone
from tests.gallery import ape_tag
from tests.plain import plain
from tests.tagged import all_kinds, audio_digest, m4a, ogg, planned, refused, v1_tag

LINE = "mtag: guitar, slow"
FIELDS = Fields(("techno", "new age"), (LINE,))


@pytest.fixture(scope="session")
def made() -> Path:
    """A folder with one file of each kind."""
    return all_kinds()


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
    wanted = planned(read_fields(path), ("techno",), None, GenrePolicy.APPEND)
    assert wanted is not None
    write(path, wanted, audio_digest)
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
    assert planned(read_fields(path), ("techno",), None, GenrePolicy.FILL) is None
    write(path, Fields(("Swing", "techno"), ("mine", LINE)), audio_digest)
    assert read_fields(path) == Fields(("Swing", "techno"), ("mine", LINE))


def with_info(path: Path, texts: dict[str, str]) -> bytes:
    """Put an INFO list behind a WAV file's other chunks; gives the whole file."""
    parts = [(name, text.encode() + b"\0" * (2 - len(text.encode()) % 2)) for name, text in texts.items()]
    info = b"INFO" + b"".join(struct.pack("<4sI", name.encode(), len(text)) + text for name, text in parts)
    data = path.read_bytes() + struct.pack("<4sI", b"LIST", len(info)) + info
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    return path.read_bytes()


def test_a_comment_in_an_info_list_alone_is_not_hidden_by_mtags(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.wav", tone(1.2))
    tags = WAVE(path)
    tags.add_tags()
    tags["TPE2"] = id3.TPE2(encoding=3, text=["Band"])
    tags.save()
    before = with_info(path, {"ICMT": "mine"})
    assert write(path, Fields((), ("mine", LINE)), audio_digest)
    comments = {frame.desc: frame.text for frame in WAVE(path).tags.getall("COMM")}
    assert comments == {"": ["mine"], "mtag": [LINE]}
    assert strip(path, audio_digest)
    assert path.read_bytes() == before


def test_a_new_tag_brings_along_what_an_info_list_says_and_goes_again(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.wav", tone(1.2))
    texts = {"INAM": "Titel", "IART": "Künstler", "IPRD": "Album", "ICRD": "2001-02-03", "IPRT": "7", "IGNR": "Jazz"}
    before = with_info(path, texts)
    assert read_fields(path).genres == ("Jazz",)
    write(path, Fields(("Jazz",), (LINE,)), audio_digest)
    tag = WAVE(path).tags
    read = {name: str(tag[name]) for name in ("TIT2", "TPE1", "TALB", "TDRC", "TRCK", "TCON")}
    assert list(read.values()) == [texts[name] for name in ("INAM", "IART", "IPRD", "ICRD", "IPRT", "IGNR")]
    strip(path, audio_digest)
    assert path.read_bytes() == before


OTHER_HEADS = {
    "RF64": b"RF64\xff\xff\xff\xffWAVE",
    "W64": b"riff\x2e\x91\xcf\x11\xa5\xd6",
    "CAF": b"caff\0\1\0\0desc",
    "Matroska": b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0\x23",
    "mdat": b"\0\0\x10\0mdat",
    "wide": b"\0\0\0\x08wide\0\0\x10\0mdat",
}


@pytest.mark.parametrize("kind", OTHER_HEADS)
def test_an_mpeg_stream_in_another_container_gets_no_tag_in_front(made: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(OTHER_HEADS[kind] + (made / "bare.mp3").read_bytes())
    assert refused(path).kind is FailureKind.UNSUPPORTED


def test_an_own_line_copied_into_an_info_list_does_not_make_the_next_run_write(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes((made / "info.wav").read_bytes().replace(b"INAM\6\0\0\0Titel\0", b"ICMT\6\0\0\0mtag: "))
    write(path, FIELDS, audio_digest)
    assert planned(read_fields(path), FIELDS.genres, LINE, GenrePolicy.REPLACE) is None


def test_a_description_of_ones_own_stays_the_only_one_in_a_wma_file(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(made / "full.wma", tmp_path))
    before = path.read_bytes()
    assert write(path, FIELDS, audio_digest)
    tags = ASF(path).tags
    assert (tags["Description"], tags["mtag comment"]) == (["mine"], [LINE])
    assert read_fields(path).comments == ("mine", LINE)
    other = Fields(FIELDS.genres, ("mtag: piano",))
    assert write(path, other, audio_digest)
    assert [str(text) for text in ASF(path).tags["mtag comment"]] == ["mtag: piano"]
    assert strip(path, audio_digest)
    assert path.read_bytes() == before


def test_a_second_value_is_added_to_an_ape_comment_and_its_key_and_flags_stay(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(made / "fake.ape", tmp_path))
    write(path, FIELDS, audio_digest)
    assert struct.pack("<II", 4 + 1 + len(LINE), 0) + b"comment\0mine\0" + LINE.encode() in path.read_bytes()
    assert path.read_bytes().endswith(v1_tag())


def test_a_new_ape_tag_brings_along_what_id3v1_says_and_goes_with_the_undoing(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.wv", tone(1.2))
    APEv2(path).delete()  # it names the encoder
    path.write_bytes(path.read_bytes() + v1_tag(title="Über allen".encode("cp1252")))
    before, taken = path.read_bytes(), snapshot(path)
    assert read_fields(path) == Fields(("Rock",), ("old comment",))
    wanted = planned(read_fields(path), ("techno",), LINE, GenrePolicy.FILL)
    assert wanted == Fields(("Rock",), ("old comment", LINE))  # it has a genre
    assert write(path, wanted, audio_digest)
    tags = {key: [*value] for key, value in APEv2(path).items() if key != "MTAG"}
    assert tags == {
        "Title": ["Über allen"], "Artist": ["Old artist"], "Album": ["Old album"], "Year": ["1999"], "Track": ["7"],
        "Genre": ["Rock"], "Comment": ["old comment", LINE],
    }  # fmt: skip
    assert restore(path, taken, audio_digest)
    assert path.read_bytes() == before


def test_a_genre_that_another_program_has_copied_behind_an_ape_tag_is_still_mtags(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.wv", tone(1.2))
    before = path.read_bytes()
    write(path, planned(read_fields(path), ("Techno",), LINE, GenrePolicy.FILL), audio_digest)
    path.write_bytes(path.read_bytes() + v1_tag(title=b"", comment=LINE.encode(), genre=18))
    assert read_fields(path).untouched == Fields()
    assert strip(path, audio_digest)
    assert path.read_bytes()[:-128] == before


def test_beside_an_ape_comment_that_is_no_text_none_is_written(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(made / "fake.ape", tmp_path))
    content = path.read_bytes().replace(b"\4\0\0\0\0\0\0\0comment\0mine", b"\4\0\0\0\2\0\0\0comment\0mine")
    path.write_bytes(content)
    with pytest.raises(FileError, match="field named COMMENT that holds no text") as caught:
        write(path, FIELDS, audio_digest)
    assert caught.value.kind is FailureKind.TAG_PARSE
    assert path.read_bytes() == content
    assert write(path, Fields(FIELDS.genres), audio_digest)
    assert read_fields(path).genres == FIELDS.genres


def test_an_ape_tag_that_looks_like_an_id3v1_tag_from_behind_is_found(tmp_path: Path) -> None:
    song = encode(tmp_path / "song.wv", tone(1.2)).read_bytes()
    tag = ape_tag(Genre="Jazz", Title="x" * (131 - len(ape_tag(Genre="Jazz", Title=""))))
    assert tag[-128:].startswith(b"TAG")
    path = tmp_path / "tagged.wv"
    path.write_bytes(song + tag)
    assert read_fields(path).genres == ("Jazz",)
    assert audio_digest(path) == audio_digest(tmp_path / "song.wv")
    before = snapshot(path)
    assert write(path, FIELDS, audio_digest)
    assert read_fields(path).genres == FIELDS.genres
    assert restore(path, before, audio_digest)
    assert path.read_bytes() == song + tag


@pytest.mark.parametrize("n_bytes", [10, 3000])
def test_the_block_of_comments_in_ogg_flac_bears_its_own_length(tmp_path: Path, n_bytes: int) -> None:
    path = Path(shutil.copy(all_kinds() / "flac.oga", tmp_path))
    write(path, Fields(("techno",), ("mtag: " + "x" * n_bytes,)), audio_digest)
    with path.open("rb") as file:
        packet = Ogg(file).packet
    assert int.from_bytes(packet[1:4], "big") == len(packet) - 4
