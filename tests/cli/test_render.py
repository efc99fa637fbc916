from __future__ import annotations

import io
import json
import threading
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mtag.cli import render
from mtag.cli.codes import ExitCode, code_for
from mtag.cli.records import legible, result_record
from mtag.errors import FailureKind, FileError
from mtag.results import ScanResult, Status, Summary

# Any text, names of files that are not UTF-8 included: Python holds their odd bytes as lone surrogates.
any_text = st.text(st.characters(codec=None, exclude_characters="\0"), min_size=1)


def terminal(width: int = 60) -> Console:
    """A console that believes it writes to a terminal."""
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, soft_wrap=True)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@given(any_text)
def test_legible_text_is_always_utf_8_and_good_text_stays_as_it_is(text):
    legible(text).encode("utf-8")
    if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text):
        assert legible(text) == text


def test_an_odd_byte_of_a_name_shows_as_its_number():
    assert legible("caf\udce9.mp3") == "caf\\xe9.mp3"


TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}  # directions that reach beyond a letter


@given(any_text | st.text(st.characters(categories=["Cf"]), min_size=1))
def test_printable_text_keeps_to_its_line_and_cannot_command_the_terminal(text):
    shown = render.printable(text)
    assert len(shown.splitlines()) == 1
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)
    assert not any(unicodedata.bidirectional(character) in TURNING for character in shown)


@given(path=any_text, genre=any_text, comment=any_text, reason=any_text)
def test_any_result_is_json_in_utf_8(path, genre, comment, reason):
    error = FileError(Path(path), FailureKind.DECODE, reason)
    result = ScanResult(Path(path), Status.FAILED, genres=(genre,), comment=comment, error=error)
    line = json.dumps(result_record(result), ensure_ascii=False).encode("utf-8")
    assert json.loads(line)["genre"] == [legible(genre)]


@given(score=st.floats(0, 1))
def test_a_bar_has_one_length_and_grows_with_the_score(score):
    for ascii_only in (False, True):
        bar = render.score_bar(score, ascii_only)
        assert len(bar) == render.BAR_CELLS
        assert bar.isascii() or not ascii_only
        assert abs(len(bar.rstrip()) - score * render.BAR_CELLS) <= 1


def test_bars_of_nought_and_one():
    assert render.score_bar(0.0).strip() == ""
    assert render.score_bar(1.0) == "█" * render.BAR_CELLS
    assert render.score_bar(1 / 48) == "▌".ljust(render.BAR_CELLS)


@pytest.mark.parametrize(
    ("seconds", "clock", "span"),
    [
        (0.44, "0:00", "0.4 s"),
        (9.99, "0:10", "10 s"),
        (65, "1:05", "1 m 5 s"),
        (3599.7, "1:00:00", "1 h 0 m"),
        (7325, "2:02:05", "2 h 2 m"),
    ],
)
def test_times_read_as_people_say_them(seconds, clock, span):
    assert render.clock(seconds) == clock
    assert render.span(seconds) == span


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_line_of_a_listing_is_wider_than_the_terminal(width):
    console = terminal(width)
    paths = [Path("music") / f"{'日本語 ' * 12}{number}.mp3" for number in range(3)]
    listing = render.Listing(console, paths, quiet=False)
    for path in paths:
        listing.show(ScanResult(path, Status.PREVIEW, genres=("Rock", "New Age", "Electronic"), comment="mtag: " * 20))
    lines = written(console).splitlines()
    assert len(lines) == 4
    assert max(render.cell_len(line) for line in lines) <= width


def test_a_name_is_never_cut_where_a_line_has_no_end():
    console = Console(file=io.StringIO(), width=40, soft_wrap=True)
    path = Path("music") / f"{'long ' * 40}.mp3"
    render.Listing(console, [path], quiet=False).show(ScanResult(path, Status.WRITTEN, comment="mtag: " + "x" * 200))
    assert path.name in written(console)
    assert "x" * 200 in written(console)


def test_a_listing_says_nothing_of_what_stays_as_it_is():
    console = terminal()
    listing = render.Listing(console, [], quiet=False)
    listing.show(ScanResult(Path("a.mp3"), Status.UNCHANGED, genres=("Rock",), cached=True))
    listing.show(ScanResult(Path("a.mp3"), Status.UNCHANGED, abstained=True, cached=True))
    assert written(console) == ""
    listing.show(ScanResult(Path("a.mp3"), Status.UNCHANGED, abstained=True))
    assert "nothing sure enough" in written(console)
    assert listing.n_shown == 1


def test_a_summary_names_only_what_there_was():
    console = terminal(200)
    summary = Summary()
    summary.add(ScanResult(Path("a"), Status.WRITTEN, duration=7200.0))
    render.print_summary(console, summary, 60.0, interrupted=False)
    assert written(console).splitlines() == [
        "1 track: 1 written.",
        "Heard 2 h 0 m of music in 1 m 0 s, 120 times real time.",
    ]


def test_a_bar_shows_pace_and_time_left_and_is_gone_in_the_end():
    console = terminal(120)
    stop = threading.Event()
    with render.progress(console, 4, stop) as advance:
        advance(100.0)
        advance(0.0)
        bar = console.file.getvalue()
    assert "of 4" in bar
    assert written(console).endswith("\x1b[2K")


@pytest.mark.parametrize("settings", [{"wanted": False}, {}])
def test_there_is_no_bar_outside_a_terminal_or_when_it_is_not_wanted(settings):
    console = terminal() if settings else Console(file=io.StringIO())
    with render.progress(console, 2, threading.Event(), **settings) as advance:
        advance(1.0)
        advance(1.0)
    assert written(console).strip() == ""


@pytest.mark.parametrize(
    ("n_files", "n_failed", "interrupted", "code"),
    [
        (0, 0, False, ExitCode.NOTHING_DONE),
        (3, 0, False, ExitCode.OK),
        (3, 1, False, ExitCode.SOME_FAILED),
        (3, 3, False, ExitCode.NOTHING_DONE),
        (3, 1, True, ExitCode.INTERRUPTED),
        (0, 0, True, ExitCode.INTERRUPTED),
    ],
)
def test_the_exit_code_tells_success_partial_and_failure_apart(n_files, n_failed, interrupted, code):
    assert code_for(n_files, n_failed, interrupted) is code
