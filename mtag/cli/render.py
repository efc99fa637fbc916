"""What people see: tables, lines, the progress bar and the closing sentences. Rich lives here and nowhere else."""

from __future__ import annotations

import io
import os
import re
import shlex
import stat
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.table import Column
from rich.text import Text

from mtag.cli.records import legible
from mtag.errors import FileError
from mtag.results import Restored, ScanResult, Status, Summary, TagScore
from mtag.tagfile import COMMENT_PREFIX
from mtag.vocabulary import Kind

if TYPE_CHECKING:
    from mtag.catalog import Run
    from mtag.catalog.scores import Heard
    from mtag.doctor import Finding

BAR_CELLS = 24  # length of a score of 1
WIDE_CELLS = 100  # of a terminal; one with fewer gets the short bar
PROGRESS_CELLS, SHORT_CELLS = 30, 10  # of the bars
GENRE_CELLS = 22  # the column of genres in a listing
NAME_SHARE = 0.4  # of a terminal's width, at most, for the names in a listing
NAME_CELLS = 60  # at most for the names where there is no terminal

STYLES = {
    Kind.GENRE: "cyan",
    Kind.INSTRUMENT: "green",
    Kind.VOCAL: "magenta",
    Kind.MOOD: "yellow",
    Kind.NEGATIVE: "bright_black",
}
MARKS = {  # status -> sign, the same in ASCII, style
    Status.WRITTEN: ("✓", "w", "green"),
    Status.PREVIEW: ("+", "+", "cyan"),
    Status.UNCHANGED: ("·", ".", "dim"),
    Status.SKIPPED: ("-", "-", "yellow"),
    Status.FAILED: ("✗", "x", "red"),
}
UNTOLD = frozenset({"vocabulary", "jobs", "device", "as_json", "quiet", "catalog", "weights"})  # of a run's arguments
OPTION_NAMES = {"player": "for"}  # where a parameter is not called like its option
NO_FILES = "There are no audio files."

_EIGHTHS = " ▏▎▍▌▋▊▉"
# Controls, line breaks, and what turns the direction of writing.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

Advance = Callable[[float], None]


def console_for_people(as_json: bool = False) -> Console:
    """Standard output, or standard error while programs read the other."""
    stream = sys.stderr if as_json else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # no name may stop a run, whatever the locale
    return Console(stderr=as_json, highlight=False, markup=False, emoji=False, soft_wrap=True)


def printable(text: Path | str) -> str:
    r"""Text that keeps to its line and cannot command the terminal: a line break in a name shows as `\n`."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), legible(text))


def clock(seconds: float) -> str:
    """A track's length: 4:05, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def span(seconds: float) -> str:
    """A length of time in a sentence: 0.4 s, 12 s, 3 m 20 s, 5 h 2 m."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} m"
    return f"{minutes} m {rest} s" if minutes else f"{rest} s"


def count(number: int, noun: str) -> str:
    """A number of things: 1 track, 2 tracks."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size(n_bytes: int) -> str:
    """A file's size: 12 kB, 3.4 MB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:,.1f} {unit}"
    return f"{n_bytes} bytes"


# One track's tags


def print_prediction(console: Console, path: Path, heard: Heard | FileError, tags: Sequence[TagScore]) -> None:
    """A track's name and length, and its best tags with a bar for each score; or why it has none."""
    name = Text(printable(path), "bold")
    if isinstance(heard, FileError):
        console.print(name.append(f"  {printable(heard.reason)}", "red"))
        return
    console.print(name.append(f"  {clock(heard.duration)}", "dim"))
    width = max(cell_len(tag.tag) for tag in tags)
    for tag in tags:
        bar = score_bar(tag.score, console.options.ascii_only)
        label = printable(tag.tag).ljust(width)
        console.print(Text.assemble(f"  {label}  ", (bar, STYLES[tag.kind]), f"  {tag.score:.2f}  ", (tag.kind, "dim")))


def score_bar(score: float, ascii_only: bool = False) -> str:
    """A bar of `BAR_CELLS` cells for a score in [0, 1], exact to an eighth of a cell."""
    eighths = round(score * BAR_CELLS * 8)
    whole, rest = divmod(eighths, 8)
    if ascii_only:
        return ("#" * (whole + (rest >= 4))).ljust(BAR_CELLS)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(BAR_CELLS)


# A scan's listing


class Listing:
    """Lines of a scan, a track each, under the name of their folder."""

    def __init__(self, console: Console, files: Sequence[Path | FileError], quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._cut = console.is_terminal
        longest = max((cell_len(printable(file.name)) for file in files if isinstance(file, Path)), default=0)
        self._name_cells = min(longest, int(console.width * NAME_SHARE) if self._cut else NAME_CELLS)
        self._folder: Path | None = None
        self.n_shown = 0

    def show(self, result: ScanResult | Restored) -> None:
        """Print a file's line, where it has one: what stays as it is goes without saying."""
        if not self._is_shown(result):
            return
        self.n_shown += 1
        if result.path.parent != self._folder:
            self._folder = result.path.parent
            if self._folder != Path():
                self._console.print(Text(printable(self._folder), "bold"))
        self._console.print(self._line(result))

    def _is_shown(self, result: ScanResult | Restored) -> bool:
        if self._quiet:
            return result.status is Status.FAILED
        if result.status is not Status.UNCHANGED:
            return True
        return isinstance(result, ScanResult) and result.abstained and not result.cached

    def _line(self, result: ScanResult | Restored) -> Text:
        sign, plain, style = MARKS[result.status]
        mark = plain if self._console.options.ascii_only else sign
        line = Text.assemble("  ", (mark, style), " ", self._cell(result.path.name, self._name_cells), "  ")
        if result.error:
            return line.append(printable(result.error.reason), style)
        if isinstance(result, Restored):
            line.append(", ".join(field.value for field in result.fields))
            if result.left:
                left = ", ".join(field.value for field in result.left)
                line.append(f"  left alone, because it was changed since: {left}", "yellow")
            return line
        if result.status is Status.UNCHANGED:
            return line.append("nothing sure enough to write", "dim")
        genres = self._cell(", ".join(result.genres), GENRE_CELLS)
        genres.stylize("cyan" if result.new_genres else "dim")
        line.append_text(genres).append("  ")
        line.append(printable(result.comment or "").removeprefix(COMMENT_PREFIX))
        lost = tuple(genre for genre in result.own_genres if genre not in result.genres)
        for heading, values in (("mood", result.moods), ("grouping", result.groupings), ("genre was", lost)):
            if values:
                line.append(f"  {heading}: ", "dim").append(printable(", ".join(values)))
        if self._cut:
            line.truncate(self._console.width, overflow="ellipsis")
        return line

    def _cell(self, text: str, cells: int) -> Text:
        """Text in a column; it is cut to size only where a line has an end."""
        cell = Text(printable(text))
        if self._cut:
            cell.truncate(cells, overflow="ellipsis")
        cell.pad_right(max(0, cells - cell.cell_len))
        return cell


def print_summary(
    console: Console,
    summary: Summary,
    seconds: float,
    interrupted: bool,
    *,
    noun: str = "track",
    how_to_write: str = "with --write-tags",
) -> None:
    """The closing sentences of a command that went through files."""
    if not summary.n_files and not interrupted:
        console.print(NO_FILES)
        return
    console.print(f"{count(summary.n_files, noun)}: {_told(summary)}.")
    if summary.heard:
        speed = summary.heard_seconds / max(seconds, 1e-3)
        heard = f"Heard {span(summary.heard_seconds)} of music in {span(seconds)}, {speed:,.0f} times real time."
        console.print(Text(heard, "dim"))
    if interrupted:
        console.print(Text("Interrupted; run again to continue.", "yellow"))
    if summary.counts[Status.PREVIEW]:
        console.print(Text.assemble("Nothing was written; run again ", (how_to_write, "bold"), "."))


def print_runs(console: Console, runs: Sequence[Run]) -> None:
    """A table of the runs that changed files, oldest first."""
    if not runs:
        console.print("No run has changed a file.")
        return
    rows = [("run", "when", "files", "what"), *map(_run_row, runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, when, n_files, what in rows:  # long ones may wrap, but are not cut to columns where a program reads
        console.print(f"{number:>{widths[0]}}  {when:<{widths[1]}}  {n_files:>{widths[2]}}  {what}")
    console.print("`mtag undo RUN` takes one back, `mtag undo last` the last.")


def _run_row(run: Run) -> tuple[str, str, str, str]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started)) if run.started else "unknown"
    unfinished = "  (did not finish)" if run.finished is None else ""
    return str(run.id), when, f"{run.n_files:,}", f"{printable(asked_for(run))}{unfinished}"


def asked_for(run: Run) -> str:
    """A run in short, as it might have been typed."""
    asked = dict(run.asked)
    paths = [str(path) for path in asked.pop("paths", None) or ()]
    words = ["mtag", run.command, str(asked.pop("run", ""))]
    for name, value in asked.items():
        if name not in UNTOLD and value not in (False, None):
            option = OPTION_NAMES.get(name, name.replace("_", "-"))
            given = value if isinstance(value, list) else [value]
            words += [f"--{option}" if one is True else f"--{option} {shlex.quote(str(one))}" for one in given]
    shown = [shlex.quote(path) for path in paths[:3]] + ([f"... ({len(paths)} paths)"] if len(paths) > 3 else [])
    return " ".join(filter(None, [*words, *shown]))


def _told(summary: Summary) -> str:
    counts = summary.counts
    parts = [
        (counts[Status.WRITTEN], "written"),
        (counts[Status.PREVIEW], "to write"),
        (counts[Status.UNCHANGED], "unchanged"),
        (summary.abstained, "without a sure tag"),
        (counts[Status.SKIPPED], "skipped"),
        (counts[Status.FAILED], "failed"),
    ]
    told = ", ".join(f"{number:,} {what}" for number, what in parts if number) or "none processed"
    reasons = ", ".join(f"{number:,} {kind}" for kind, number in summary.failures.most_common())
    return f"{told} ({reasons})" if reasons else told


def print_cause(error: FileError) -> None:
    """The traceback behind a file's failure, for those who look for a bug."""
    if error.__cause__:
        traceback.print_exception(error.__cause__)


def print_finding(console: Console, finding: Finding) -> None:
    """A line of what `mtag doctor` found."""
    sign, plain, style = MARKS[Status.WRITTEN if finding.well else Status.FAILED]
    mark = plain if console.options.ascii_only else sign
    message = Text(printable(finding.message), "" if finding.well else style)
    console.print(Text.assemble((mark, style), f" {finding.part:<13}", message))


# Progress


class _Pace(ProgressColumn):
    """How far, how fast and how much longer; after Ctrl-C, what is being waited for."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__(Column(no_wrap=True))
        self._stop = stop

    def render(self, task: Task) -> Text:
        """One line beside the bar."""
        text = Text(f"{task.completed:,.0f} of {task.total or 0:,.0f}")
        if self._stop.is_set():
            return text.append("  finishing tracks; Ctrl-C again abandons them", "yellow")
        if task.speed:
            text.append(f"  {task.speed:.1f} tracks/s", "dim")
        if task.fields["heard_seconds"] and task.elapsed:
            text.append(f"  {task.fields['heard_seconds'] / task.elapsed:,.0f}x real time", "dim")
        if task.time_remaining:
            text.append(f"  {clock(task.time_remaining)} left", "dim")
        return text


@contextmanager
def progress(console: Console, total: int, stop: threading.Event, wanted: bool = True) -> Iterator[Advance]:
    """A progress bar below the lines of a console, gone when it is done.

    Gives a function that counts one more track and the seconds of music that were heard for it.
    """
    shown = wanted and _has_room_for_bar(console)
    cells = PROGRESS_CELLS if console.width >= WIDE_CELLS else SHORT_CELLS
    bar = Progress(BarColumn(cells), _Pace(stop), console=console, transient=True, disable=not shown)
    heard = 0.0
    with bar:
        task = bar.add_task("", total=total, heard_seconds=heard)

        def advance(seconds: float) -> None:
            nonlocal heard
            heard += seconds
            bar.update(task, advance=1, heard_seconds=heard)

        yield advance


def _has_room_for_bar(console: Console) -> bool:
    """Whether a bar disturbs nobody: on a terminal, to which no other program may be writing at the same time."""
    if not console.is_terminal or console.is_dumb_terminal:
        return False
    if not console.stderr:
        return True
    try:
        kind = os.fstat(sys.stdout.fileno()).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(kind) or (stat.S_ISCHR(kind) and not sys.stdout.isatty())
