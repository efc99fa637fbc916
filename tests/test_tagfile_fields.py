"""What ought to be written, without any file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtag.tagfile import COMMENT_PREFIX, Fields, GenrePolicy, is_ours
from mtag.tagfile.fields import clean_genres, genre_names, genre_text, one_line
from tests.tagged import planned

FILL, APPEND, REPLACE = GenrePolicy
LINE = "mtag: guitar, slow"
FIELDS = st.builds(Fields, st.lists(st.text(), max_size=3).map(tuple), st.lists(st.text(), max_size=3).map(tuple))
NAMES = st.lists(st.text(), max_size=4).map(tuple)
LINES = st.none() | st.text().map(lambda text: COMMENT_PREFIX + text)


@pytest.mark.parametrize("generic", ["", "Other", "unknown", "MISC", "Unknown Genre", "none", " Other "])
def test_fill_takes_the_place_of_genres_that_say_nothing(generic: str) -> None:
    assert planned(Fields((generic,)), ("techno",), None, FILL) == Fields(("techno",))


def test_fill_leaves_a_genre_that_says_something() -> None:
    assert planned(Fields(("Zydeco",)), ("techno",), None, FILL) is None
    assert planned(Fields(("Other", "Zydeco")), ("techno",), None, FILL) is None


def test_append_adds_only_what_is_missing_whatever_its_case() -> None:
    assert planned(Fields(("Techno", "Dub")), ("techno", "rock"), None, APPEND) == Fields(("Techno", "Dub", "rock"))
    assert planned(Fields(("Techno", "Dub")), ("techno",), None, APPEND) is None


def test_replace_replaces() -> None:
    assert planned(Fields(("Zydeco",)), ("techno",), None, REPLACE) == Fields(("techno",))


@given(current=FIELDS, line=LINES, policy=st.sampled_from(GenrePolicy))
def test_hearing_no_genre_never_takes_one_away(current: Fields, line: str | None, policy: GenrePolicy) -> None:
    wanted = planned(current, (), line, policy)
    assert wanted is None or wanted.genres == current.genres


@given(current=FIELDS, genres=NAMES, line=LINES, policy=st.sampled_from(GenrePolicy))
def test_users_comments_stay_and_a_plan_carried_out_leaves_nothing_to_do(
    current: Fields, genres: tuple[str, ...], line: str | None, policy: GenrePolicy
) -> None:
    wanted = planned(current, genres, line, policy)
    if wanted is not None:
        theirs = [comment for comment in current.comments if not is_ours(comment)]
        assert [comment for comment in wanted.comments if not is_ours(comment)] == theirs
        assert planned(wanted, genres, line, policy) is None


def test_an_own_line_is_replaced_and_a_users_comment_stands_beside_it() -> None:
    assert planned(Fields((), ("mine",)), (), LINE, FILL) == Fields((), ("mine", LINE))
    assert planned(Fields((), ("mtag: old", "mine")), (), LINE, FILL) == Fields((), ("mine", LINE))
    assert planned(Fields((), (LINE, "mine")), (), LINE, FILL) is None
    assert planned(Fields((), ("mtag: old", "mine")), (), None, FILL) == Fields((), ("mine",))
    assert planned(Fields((), ("mine",)), (), None, FILL) is None


def test_an_own_line_that_somebody_has_added_to_is_theirs() -> None:
    comment = "mtag: guitar\nplay this at the party"
    assert not is_ours(comment)
    assert planned(Fields((), (comment,)), (), LINE, FILL) == Fields((), (comment, LINE))


def test_doubled_own_lines_become_one() -> None:
    assert planned(Fields((), (LINE, LINE)), (), LINE, FILL) == Fields((), (LINE,))


def test_a_line_with_nothing_behind_the_prefix_is_none() -> None:
    assert planned(Fields(), (), "mtag: ", FILL) is None
    assert planned(Fields(), (), "mtag: \0 ", FILL) is None


def test_control_characters_and_lone_surrogates_never_reach_a_file() -> None:
    assert one_line("a\0b\r\nc\ud800d\ufeff  e\x85") == "a b c d e"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("17", ("Rock",)),
        ("(17)", ("Rock",)),
        ("(17)(18)", ("Rock", "Techno")),
        ("(17)Rock", ("Rock",)),
        ("(4)Eurodisco", ("Disco", "Eurodisco")),
        ("80", ("Folk",)),
        ("RX", ("Remix",)),
        ("(CR)", ("Cover",)),
        ("((I think) it's rock", ("(I think) it's rock",)),
        ("(I think) it's rock", ("(I think) it's rock",)),
        ("1980", ("1980",)),
        ("Drum & Bass", ("Drum & Bass",)),
    ],
)
def test_id3_codes_are_spelt_out(text: str, names: tuple[str, ...]) -> None:
    assert genre_names(text) == names


@given(NAMES)
def test_cleaned_genres_are_read_back_as_they_were_written(names: tuple[str, ...]) -> None:
    cleaned = clean_genres(names)
    assert all(genre_names(genre_text(genre)) == (genre,) for genre in cleaned)
    assert tuple("; ".join(cleaned).split("; ") if cleaned else ()) == cleaned
    assert clean_genres(cleaned) == cleaned
