"""What a file said before mtag survives any number of writes, and comes back whole."""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen import id3
from mutagen.flac import FLAC
from mutagen.wave import WAVE

from mtag.atomic import rewrite
from mtag.tagfile import (
    Field,
    Fields,
    GenrePolicy,
    HardLinkedError,
    HardLinks,
    Mtime,
    Snapshot,
    Style,
    changed_since,
    plan,
    read_fields,
    restore,
    snapshot,
    stamp,
    strip,
    write,
)
from mtag.tagfile.edit import Edit
from mtag.tagfile.items import Container, Items, with_line, with_values
from tests.plain import plain
from tests.tagged import MAKERS, all_kinds, audio_digest, mp3_bare, v1_tag

FILL, APPEND, REPLACE = GenrePolicy
PROVENANCE = Field.PROVENANCE
LINE = "mtag: slow, guitar"
WORDS = {
    Field.GENRE: ("techno", "dub"),
    Field.COMMENT: ("slow", "guitar"),
    Field.MOOD: ("dark",),
    Field.GROUPING: ("set one",),
}
STAMP = stamp("0.2.0", "0123456789abcdef")
NAMES = st.lists(st.text(max_size=40), max_size=4).map(tuple)
ANY_WORDS = st.dictionaries(st.sampled_from([Field.GENRE, Field.COMMENT, Field.MOOD, Field.GROUPING]), NAMES)
STYLES = st.builds(Style, st.sampled_from([3, 4]), st.sampled_from([None, None, "; ", ", ", "/", " / "]))
POLICIES = st.sampled_from(GenrePolicy)


@pytest.fixture(scope="session")
def files() -> Path:
    """A folder with one file of each kind."""
    return all_kinds()


@pytest.fixture(scope="module", autouse=True)
def _without_syncing() -> Iterator[None]:
    """These files need not survive a power cut, and thousands of syncs take minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


def same_audio(path: Path) -> str:
    """A digest that takes no time; what it would find is asserted once, after all writes."""
    return ""


@contextmanager
def copied(file: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copy(file, folder))


def tag(path: Path, words: dict[Field, tuple[str, ...]], policy: GenrePolicy = FILL, style: Style = Style()) -> bool:  # noqa: B008
    wanted = plan(read_fields(path), words, policy, STAMP, style)
    return wanted is not None and write(path, wanted, same_audio, style=style)


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=16, deadline=None)
@given(runs=st.lists(st.tuples(ANY_WORDS, POLICIES, STYLES), min_size=1, max_size=3))
def test_strip_gives_back_what_was_before_any_number_of_writes(
    files: Path, name: str, runs: list[tuple[dict[Field, tuple[str, ...]], GenrePolicy, Style]]
) -> None:
    with copied(files / name) as path:
        before, shown, taken, audio = plain(path), read_fields(path), snapshot(path), audio_digest(path)
        for words, policy, style in runs:
            tag(path, words, policy, style)
            assert read_fields(path).untouched == shown
            assert not tag(path, words, policy, style)
        changed = snapshot(path) != taken
        assert strip(path, same_audio) is changed
        assert snapshot(path) == taken
        assert plain(path) == before
        assert audio_digest(path) == audio
        assert not strip(path, same_audio)


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=12, deadline=None)
@given(first=st.tuples(ANY_WORDS, POLICIES, STYLES), second=st.tuples(ANY_WORDS, POLICIES, STYLES))
def test_a_second_run_behaves_as_on_the_original_file(
    files: Path,
    name: str,
    first: tuple[dict[Field, tuple[str, ...]], GenrePolicy, Style],
    second: tuple[dict[Field, tuple[str, ...]], GenrePolicy, Style],
) -> None:
    with copied(files / name) as path, copied(files / name) as fresh:
        tag(path, *first)
        tag(path, *second)
        tag(fresh, *second)
        version = {read.spelling.split()[0] for read in map(snapshot, (path, fresh)) if read.tagged}
        assert read_fields(path).untouched == read_fields(fresh).untouched
        if len(version) < 2:  # a tag that the first run made keeps its version
            assert read_fields(path) == read_fields(fresh)


@pytest.mark.parametrize("name", MAKERS)
def test_hearing_nothing_any_more_takes_everything_out_again(files: Path, name: str) -> None:
    with copied(files / name) as path:
        taken, before = snapshot(path), plain(path)
        assert tag(path, {Field.GENRE: ("techno",), Field.COMMENT: ("slow",), Field.MOOD: ("dark",)}, REPLACE)
        assert read_fields(path).provenance == STAMP
        assert tag(path, {})
        assert (snapshot(path), plain(path)) == (taken, before)
        assert read_fields(path).provenance == ""


@pytest.mark.parametrize("name", MAKERS)
def test_a_comment_of_version_010_is_stripped_and_its_genre_stays(files: Path, name: str) -> None:
    def as_then(container: Container) -> Items:
        items = container.fresh() if container.items is None else container.items
        items = with_values(container.dialect, items, Field.GENRE, ("techno",), Style())
        return with_line(container.dialect, items, LINE)

    with copied(files / name) as path:
        change(path, as_then)
        assert read_fields(path).genres == ("techno",)
        assert LINE in read_fields(path).comments
        assert strip(path, same_audio)
        assert read_fields(path) == Fields(("techno",), read_fields(files / name).comments)


@pytest.mark.parametrize("name", MAKERS)
def test_what_somebody_has_changed_since_is_theirs(files: Path, name: str) -> None:
    with copied(files / name) as path:
        tag(path, {Field.GENRE: ("techno",), Field.COMMENT: ("slow",), Field.MOOD: ("dark",)}, REPLACE)
        by_hand(path, Field.GENRE, ("Zydeco",))
        assert read_fields(path).untouched.genres == ("Zydeco",)
        assert not tag(path, {Field.GENRE: ("techno",), Field.COMMENT: ("slow",), Field.MOOD: ("dark",)}, FILL)
        assert strip(path, same_audio)
        assert read_fields(path) == Fields(("Zydeco",), read_fields(files / name).comments)


def test_a_tag_that_another_program_spelt_anew_is_stripped_all_the_same(files: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(files / "v23.mp3", tmp_path))
    add_frames(path, id3.TCON(encoding=1, text=["Zydeco"]), id3.COMM(encoding=1, lang="deu", desc="", text=["mine"]))
    before = read_fields(path)
    tag(path, WORDS, REPLACE)
    id3.ID3(path).save(path, v1=0)
    assert id3.ID3(path).version == (2, 4, 0)
    assert read_fields(path).untouched == before
    tag(path, WORDS, REPLACE)  # two genres need not be one text any more
    assert not tag(path, WORDS, REPLACE)
    assert strip(path, same_audio)
    tags = id3.ID3(path)
    assert (tags["TCON"].text, tags["COMM::deu"].text) == (["Zydeco"], ["mine"])
    assert not {"TXXX:MTAG", "TMOO", "TXXX:MOOD", "COMM::eng", "COMM:mtag:eng"} & set(tags)


def add_frames(path: Path, *frames: id3.Frame) -> None:
    tags = id3.ID3(path, translate=False, load_v1=False)
    for frame in frames:
        tags.add(frame)
    tags.save(path, v1=0, v2_version=tags.version[1])


@pytest.mark.parametrize("target", ["bare.mp3", "v23.mp3", "full.m4a", "full.wma", "fake.ape", "full.opus"])
def test_a_file_that_was_converted_with_its_tags_keeps_the_way_back(files: Path, tmp_path: Path, target: str) -> None:
    source = Path(shutil.copy(files / "full.flac", tmp_path))
    file = FLAC(source)
    file["genre"] = ["Zydeco", "Cajun"]
    file.save()
    tag(source, WORDS, REPLACE)
    shown, own = read_fields(source), FLAC(source)["mtag"][0]
    path = Path(shutil.copy(files / target, tmp_path))

    def as_converted(container: Container) -> Items:
        dialect, items = container.dialect, container.items or ()
        for field in (Field.GENRE, Field.MOOD):
            items = with_values(dialect, items, field, shown.of(field), Style())
        return with_line(dialect, (*items, *dialect.spell(Field.PROVENANCE, (own,), Style(), None)), LINE)

    change(path, as_converted)
    assert read_fields(path).untouched.genres == ("Zydeco", "Cajun")
    assert read_fields(path).provenance == STAMP
    assert strip(path, same_audio)
    assert read_fields(path) == Fields(("Zydeco", "Cajun"), read_fields(files / target).comments)


@pytest.mark.parametrize("name", ["v24.mp3", "full.flac", "full.m4a", "fake.ape"])
def test_a_field_of_mtags_that_was_cut_short_still_shows_whose_the_line_is(files: Path, name: str) -> None:
    def cut_short(container: Container) -> Items:
        dialect = container.dialect
        (text,) = (dialect.texts(item)[0] for item in container.items or () if item.key == dialect.keys[PROVENANCE])
        rest = tuple(item for item in container.items or () if item.key != dialect.keys[PROVENANCE])
        return (*rest, *dialect.spell(PROVENANCE, (text[:60],), Style(), None))

    with copied(files / name) as path:
        tag(path, WORDS, REPLACE)
        change(path, cut_short)
        shown = read_fields(path)
        assert shown.provenance == "mtag"
        assert shown.untouched.genres == shown.genres
        assert strip(path, same_audio)
        assert read_fields(path) == replace(shown, comments=read_fields(files / name).comments)
        assert read_fields(path).provenance == ""


@pytest.mark.parametrize("name", MAKERS)
def test_a_comment_that_somebody_has_added_to_is_theirs(files: Path, name: str) -> None:
    def add_to(container: Container) -> Items:
        dialect = container.dialect
        return tuple(
            dialect.with_values(item, tuple(f"{value} (played twice)\nyes" for value in dialect.values(item)))
            if item.key == dialect.keys[Field.COMMENT] and LINE in dialect.values(item)
            else item
            for item in container.items or ()
        )

    with copied(files / name) as path:
        tag(path, WORDS)
        change(path, add_to)
        theirs = [comment for comment in read_fields(path).comments if comment.startswith(LINE)]
        assert len(theirs) == 1
        strip(path, same_audio)
        assert [comment for comment in read_fields(path).comments if comment.startswith(LINE)] == theirs


def test_a_tag_that_mtag_made_from_id3v1_keeps_what_that_says_once_somebody_uses_it(
    files: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(files / "bare.mp3", tmp_path))
    path.write_bytes(path.read_bytes() + v1_tag())
    tag(path, WORDS, REPLACE)
    add_frames(path, id3.TIT3(encoding=3, text=["subtitle"]))
    assert strip(path, same_audio)
    tags = id3.ID3(path, load_v1=False)
    assert sorted(tags) == ["COMM::eng", "TALB", "TCON", "TDRC", "TIT2", "TIT3", "TPE1", "TRCK"]
    assert (tags["TCON"].genres, tags["COMM::eng"].text) == (["Rock"], ["old comment"])


@pytest.mark.parametrize("mtime", Mtime)
@pytest.mark.parametrize("hardlinks", [HardLinks.INPLACE, HardLinks.BREAK])
def test_time_stamps_and_hard_links_are_heeded_by_whatever_writes(
    files: Path, tmp_path: Path, mtime: Mtime, hardlinks: HardLinks
) -> None:
    path = Path(shutil.copy(files / "full.flac", tmp_path))
    taken, other, at = snapshot(path), tmp_path / "other.flac", 1_000_000_000_000_000_000
    wanted = plan(read_fields(path), WORDS, FILL, STAMP)
    assert wanted is not None
    options = {"mtime": mtime, "hardlinks": hardlinks}
    for act in (
        lambda: write(path, wanted, audio_digest, **options),
        lambda: restore(path, taken, audio_digest, **options),
        lambda: write(path, wanted, audio_digest, **options),
        lambda: strip(path, audio_digest, **options),
    ):
        other.unlink(missing_ok=True)
        other.hardlink_to(path)
        os.utime(path, ns=(at, at))
        content = path.read_bytes()
        with pytest.raises(HardLinkedError):
            strip(path, audio_digest) or write(path, replace(wanted, moods=("x",)), audio_digest)
        assert act()
        assert path.samefile(other) is (hardlinks is HardLinks.INPLACE)
        assert (other.read_bytes() == content) is (hardlinks is HardLinks.BREAK)
        if mtime is not Mtime.NOW:
            assert path.stat().st_mtime_ns == at + (2_000_000_000 if mtime is Mtime.BUMP else 0)
        else:
            assert path.stat().st_mtime_ns > at


@pytest.mark.parametrize("name", MAKERS)
def test_fields_that_somebody_changes_are_told(files: Path, name: str) -> None:
    with copied(files / name) as path:
        before = snapshot(path)
        assert changed_since(path, before) == frozenset()
        tag(path, WORDS, REPLACE)
        after = Snapshot.from_json(snapshot(path).to_json())
        assert changed_since(path, after) == frozenset()
        assert changed_since(path, before) == frozenset(Field)
        by_hand(path, Field.GENRE, ("Zydeco",))
        assert changed_since(path, after) == {Field.GENRE}
        by_hand(path, Field.MOOD, ())
        assert changed_since(path, after) == {Field.GENRE, Field.MOOD}


def test_spelling_a_tag_anew_changes_no_field(files: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(files / "v23.mp3", tmp_path))
    tag(path, WORDS, REPLACE)
    after = snapshot(path)
    id3.ID3(path).save(path, v1=0)
    assert snapshot(path) != after
    assert changed_since(path, after) == frozenset()
    shutil.copy(files / "full.flac", path)
    assert Field.GENRE in changed_since(path, after)


def test_snapshots_of_version_010_are_read_and_tell_of_genre_and_comment_alone(files: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(files / "v24.mp3", tmp_path))
    add_frames(path, id3.TCON(encoding=3, text=["Zydeco"]), id3.TMOO(encoding=3, text=["mine"]))
    now = json.loads(snapshot(path).to_json())
    items = [item for item in now["items"] if item[1] in ("TCON", "COMM")]
    old = Snapshot.from_json(json.dumps({"spelling": now["spelling"], "tagged": True, "items": items}))
    assert old.fields == {Field.GENRE, Field.COMMENT}
    tag(path, WORDS, REPLACE)
    assert changed_since(path, old) == {Field.GENRE, Field.COMMENT}
    restore(path, old, same_audio)
    assert read_fields(path) == Fields(("Zydeco",), ("mine",), ("mine",), WORDS[Field.GROUPING])


def test_what_mtag_keeps_in_a_file_is_small(files: Path) -> None:
    for name in MAKERS:
        with copied(files / name) as path:
            tag(path, WORDS)
            (item,) = (item for _, item in snapshot(path).items if "MTAG" in item.key)
            assert len(item.raw) < 700


def by_hand(path: Path, field: Field, names: tuple[str, ...]) -> None:
    """Change a field as another program would, leaving mtag's own as it is."""
    change(path, lambda container: with_values(container.dialect, container.items or (), field, names, Style()))


def change(path: Path, items: Callable[[Container], Items]) -> None:
    """Give a file other items, without any of the checks."""
    rewrite(path, Edit(path, lambda container: (items(container), ()), same_audio).patches, lambda copy: None)


# Programs that copy a tag into an older one beside it

COPIED = {**WORDS, Field.GENRE: ("Techno", "Dub")}  # of which ID3v1 knows the first


def written_with_v1(path: Path, **frames: str) -> None:
    """What Picard, Mp3tag or TagLib make of an MP3: a new tag, and the same once more in ID3v1."""
    tags = id3.ID3(path, load_v1=False)
    for name, text in frames.items():
        tags.add(getattr(id3, name)(3, [text]))
    tags.save(path, v1=2)


def add_info(path: Path, genre: bytes) -> None:
    """The same in a WAV file's INFO list."""
    info = b"INFO" + struct.pack("<4sI", b"IGNR", len(genre)) + genre + bytes(len(genre) % 2)
    data = path.read_bytes()
    data += bytes(len(data) % 2) + struct.pack("<4sI", b"LIST", len(info)) + info
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])


@pytest.mark.parametrize("title_first", [True, False])
def test_a_genre_that_another_program_has_copied_into_id3v1_is_still_mtags(tmp_path: Path, title_first: bool) -> None:
    path = mp3_bare(tmp_path / "song.mp3")
    if title_first:
        written = id3.ID3()
        written.add(id3.TIT2(3, ["Title"]))
        written.save(path)
    tag(path, COPIED)
    done = snapshot(path)
    written_with_v1(path, TPE1="Artist")
    assert path.read_bytes()[-128:].startswith(b"TAG")
    assert path.read_bytes()[-1] == 18  # Techno
    assert read_fields(path).untouched == Fields()
    assert not tag(path, COPIED)
    for genres in (("House",), ("House", "Techno")):
        other = {**COPIED, Field.GENRE: genres}
        assert tag(path, other)
        assert not tag(path, other)
        assert read_fields(path).genres == genres
        assert read_fields(path).untouched == Fields()
    assert tag(path, COPIED)
    assert changed_since(path, done) <= {Field.PROVENANCE}
    assert strip(path, same_audio)
    assert set(id3.ID3(path, load_v1=False)) == {"TPE1", "TIT2"} if title_first else {"TPE1"}


def test_a_genre_that_has_been_copied_can_be_undone(tmp_path: Path) -> None:
    path = mp3_bare(tmp_path / "song.mp3")
    before = snapshot(path)
    tag(path, COPIED)
    written_with_v1(path, TPE1="Artist")
    assert restore(path, before, same_audio)
    assert set(id3.ID3(path, load_v1=False)) == {"TPE1"}


def test_where_only_the_copy_was_added_nothing_of_mtags_stays_in_the_tag(tmp_path: Path) -> None:
    path = mp3_bare(tmp_path / "song.mp3")
    audio = path.read_bytes()
    tag(path, COPIED)
    written_with_v1(path)
    assert not tag(path, COPIED)
    assert tag(path, {Field.GENRE: ("Techno",)})
    assert read_fields(path).untouched == Fields()
    assert strip(path, same_audio)
    assert path.read_bytes()[:-128] == audio


def test_a_genre_of_somebodys_own_in_id3v1_stays_theirs(tmp_path: Path) -> None:
    path = mp3_bare(tmp_path / "song.mp3")
    path.write_bytes(path.read_bytes() + v1_tag(genre=18))
    tag(path, COPIED)
    assert read_fields(path).genres == ("Techno",)
    written_with_v1(path, TPE2="Band")
    assert read_fields(path).untouched.genres == ("Techno",)
    assert not tag(path, COPIED)
    assert tag(path, COPIED, REPLACE)
    assert read_fields(path).untouched.genres == ("Techno",)
    assert strip(path, same_audio)
    assert read_fields(path).genres == ("Techno",)


@pytest.mark.parametrize("genre", [b"Techno", b"techno; dub"])
def test_a_genre_that_another_program_has_copied_into_info_is_still_mtags(files: Path, genre: bytes) -> None:
    with copied(files / "info.wav") as path:
        tag(path, COPIED)
        add_info(path, genre)
        assert read_fields(path).untouched.genres == ()
        assert not tag(path, COPIED)
        assert strip(path, same_audio)
        assert WAVE(path).tags is None


def test_another_genre_in_info_is_theirs(files: Path) -> None:
    with copied(files / "info.wav") as path:
        tag(path, COPIED)
        add_info(path, b"Swing")
        assert read_fields(path).untouched.genres == ("Swing",)


@pytest.mark.parametrize("joint", ["/", ";", ", ", " / ", "; "])
def test_genres_that_another_program_has_joined_are_still_mtags(tmp_path: Path, joint: str) -> None:
    path = mp3_bare(tmp_path / "song.mp3")
    words = {field: COPIED[field] for field in (Field.GENRE, Field.COMMENT)}  # ID3 2.3 has no moods
    audio = path.read_bytes()
    tag(path, words)
    done = snapshot(path)
    tags = id3.ID3(path)
    tags.update_to_v23()
    tags.save(path, v2_version=3, v23_sep=joint, v1=2)
    assert path.read_bytes()[-128:].startswith(b"TAG")
    assert id3.ID3(path, translate=False)["TCON"].text == [f"Techno{joint}Dub"]
    assert changed_since(path, done) == frozenset()
    assert read_fields(path).untouched == Fields()
    tag(path, words)
    assert read_fields(path).genres == ("Techno", "Dub")
    tags.save(path, v2_version=3, v23_sep=joint)
    assert strip(path, same_audio)
    assert path.read_bytes()[:-128] == audio


def test_genres_that_somebody_has_added_one_to_are_theirs(tmp_path: Path) -> None:
    path = mp3_bare(tmp_path / "song.mp3")
    tag(path, COPIED)
    tags = id3.ID3(path)
    tags["TCON"] = id3.TCON(3, ["Techno/Dub/Minimal"])
    tags.save(path)
    assert read_fields(path).untouched.genres == ("Techno/Dub/Minimal",)
