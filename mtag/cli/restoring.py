"""What `mtag undo` and `mtag strip` have in common."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from mtag.cli import records, render
from mtag.cli.codes import ExitCode, code_for
from mtag.cli.interrupt import stop_on_interrupt
from mtag.cli.telling import Manner, tell
from mtag.errors import FileError
from mtag.results import Restored, Status


def restore_files(
    files: Sequence[Path | FileError],
    work: Callable[[threading.Event], Generator[Restored, None, None]],
    manner: Manner,
) -> ExitCode:
    """Restore files, and give the exit code.

    Parameters
    ----------
    files
        Those that are going to be dealt with.
    work
        Deals with them; once the event is set it is to come to an end.
    manner
        How to tell of it.
    """
    began = time.monotonic()
    with stop_on_interrupt() as stop:
        summary = tell(work(stop), files, manner, stop)
        interrupted = stop.is_set()
    seconds = time.monotonic() - began
    if manner.as_json:
        records.print_record(records.tally_record(summary, seconds, interrupted))
    if not (manner.as_json and manner.quiet):
        console = render.console_for_people(manner.as_json)
        render.print_summary(console, summary, seconds, interrupted, noun="file", how_to_write="without --dry-run")
    return code_for(summary.n_files, summary.counts[Status.FAILED], interrupted)
