"""Round trips through every container, read back with plain mutagen."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtag.tagfile import (
    COMMENT_PREFIX,
    SUFFIXES,
    Field,
    Fields,
    GenrePolicy,
    Snapshot,
    is_ours,
    read_fields,
    restore,
    snapshot,
    write,
)
from tests.plain import plain
from tests.tagged import MAKERS, all_kinds, audio_digest, planned

NAMES = st.lists(st.text(max_size=40), max_size=4).map(tuple)
LINES = st.none() | st.text(max_size=80).map(lambda text: COMMENT_PREFIX + text)
POLICIES = st.sampled_from(GenrePolicy)
LINE = "mtag: guitar, slow, female vocals"


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


# A new tag brings along what the older ones say; then all else does not stay.
@pytest.mark.parametrize("name", [name for name in MAKERS if name not in ("no-id3.mp3", "info.wav")])
@settings(max_examples=24, deadline=None)
@given(genres=NAMES, line=LINES, policy=POLICIES)
def test_what_is_written_is_read_back_and_all_else_stays(
    files: Path, name: str, genres: tuple[str, ...], line: str | None, policy: GenrePolicy
) -> None:
    with copied(files / name) as path:
        before, shown, audio = plain(path), read_fields(path), audio_digest(path)
        wanted = planned(shown, genres, line, policy)
        if wanted is None:
            return
        assert write(path, wanted, same_audio)
        now = read_fields(path)
        assert now.genres == wanted.genres
        assert sorted(now.comments) == sorted(wanted.comments)
        assert planned(now, genres, line, policy) is None
        after = plain(path)
        if wanted.genres != shown.genres:
            assert after[0] == list(wanted.genres)
        assert set(filter(is_ours, after[1])) == set(filter(is_ours, wanted.comments))
        # A comment that showed from an older tag alone comes along with mtag's, which would hide it.
        beside = [text for text in wanted.comments if not is_ours(text)] if any(map(is_ours, after[1])) else []
        assert [text for text in after[1] if text.strip() and not is_ours(text)] == (before[1] or beside)
        assert after[2] == before[2]
        assert audio_digest(path) == audio


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=12, deadline=None)
@given(runs=st.lists(st.tuples(NAMES, LINES, POLICIES), min_size=1, max_size=3))
def test_restoring_gives_back_what_was_before_any_number_of_writes(
    files: Path, name: str, runs: list[tuple[tuple[str, ...], str | None, GenrePolicy]]
) -> None:
    with copied(files / name) as path:
        before, shown, taken, audio = plain(path), read_fields(path), snapshot(path), audio_digest(path)
        for genres, line, policy in runs:
            wanted = planned(read_fields(path), genres, line, policy)
            if wanted is not None:
                write(path, wanted, same_audio)
        restore(path, Snapshot.from_json(taken.to_json()), same_audio)
        assert snapshot(path) == taken
        assert read_fields(path) == shown
        assert plain(path) == before
        assert not restore(path, taken, same_audio)
        assert audio_digest(path) == audio


@pytest.mark.parametrize("name", MAKERS)
def test_a_second_run_with_the_same_words_writes_nothing(files: Path, name: str) -> None:
    with copied(files / name) as path:
        wanted = planned(read_fields(path), ("techno", "new age"), LINE, GenrePolicy.REPLACE)
        assert wanted is not None
        assert write(path, wanted, audio_digest)
        written, stat = path.read_bytes(), path.stat()
        assert planned(read_fields(path), ("techno", "new age"), LINE, GenrePolicy.REPLACE) is None
        assert not write(path, wanted, audio_digest)
        assert path.read_bytes() == written
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)


@pytest.mark.parametrize("name", MAKERS)
def test_the_line_of_an_earlier_run_is_replaced_and_can_be_taken_out(files: Path, name: str) -> None:
    with copied(files / name) as path:
        theirs = read_fields(path).comments
        for line in ("mtag: guitar", "mtag: slow, piano, and a good deal of what makes the line longer", None):
            wanted = planned(read_fields(path), (), line, GenrePolicy.FILL)
            assert wanted is not None
            write(path, wanted, audio_digest)
            assert sorted(read_fields(path).comments) == sorted([*theirs, *([line] if line else [])])
            assert [text for text in plain(path)[1] if is_ours(text)] == ([line] if line else [])


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"fake.ape", "full.wv", "flac.oga"}))
def test_padding_takes_up_later_changes(files: Path, name: str) -> None:
    with copied(files / name) as path:
        write(path, Fields(("techno",), ("mtag: " + "c" * 400,)), audio_digest)
        size = path.stat().st_size
        for words in ("mtag: a", "mtag: " + "b" * 300, LINE):
            write(path, Fields(("techno", "rock"), (words,)), audio_digest)
            assert path.stat().st_size == size


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("field", [Field.GENRE, Field.COMMENT])
def test_one_field_can_be_restored_and_the_other_left(files: Path, name: str, field: Field) -> None:
    with copied(files / name) as path:
        shown, taken = read_fields(path), snapshot(path)
        write(path, Fields(("techno",), (LINE,)), audio_digest)
        restore(path, taken, audio_digest, fields={field})
        now = read_fields(path)
        assert now.genres == (shown.genres if field is Field.GENRE else ("techno",))
        assert (LINE in now.comments) is (field is Field.GENRE)


def test_suffixes_are_lower_case_and_cover_what_can_be_made_here() -> None:
    assert {Path(name).suffix for name in MAKERS} <= SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)
