"""What a file said before mtag survives any number of writes, and comes back whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtag.atomic import rewrite
from mtag.tagfile import (
    Field,
    Fields,
    GenrePolicy,
    Style,
    plan,
    read_fields,
    snapshot,
    stamp,
    strip,
    write,
)
from mtag.tagfile.edit import Edit
from mtag.tagfile.items import Container, Items, with_line, with_values
from tests.plain import plain
from tests.tagged import MAKERS, all_kinds, audio_digest

FILL, APPEND, REPLACE = GenrePolicy
LINE = "mtag: slow, guitar"
STAMP = stamp("0.2.0", "0123456789abcdef")
NAMES = st.lists(st.text(max_size=40), max_size=4).map(tuple)
WORDS = st.dictionaries(st.sampled_from([Field.GENRE, Field.COMMENT, Field.MOOD, Field.GROUPING]), NAMES)
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
@given(runs=st.lists(st.tuples(WORDS, POLICIES, STYLES), min_size=1, max_size=3))
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
@given(first=st.tuples(WORDS, POLICIES, STYLES), second=st.tuples(WORDS, POLICIES, STYLES))
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


def by_hand(path: Path, field: Field, names: tuple[str, ...]) -> None:
    """Change a field as another program would, leaving mtag's own as it is."""
    change(path, lambda container: with_values(container.dialect, container.items or (), field, names, Style()))


def change(path: Path, items: Callable[[Container], Items]) -> None:
    """Give a file other items, without any of the checks."""
    rewrite(path, Edit(path, items, same_audio).patches, lambda copy: None)
