"""What `mtag undo` and `mtag strip` have in common: go through files, tell of each, and sum up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mtag.cli import records, render
from mtag.cli.codes import ExitCode, code_for
from mtag.cli.interrupt import stop_on_interrupt
from mtag.cli.scanning import Manner
from mtag.errors import FileError
from mtag.results import Restored, Status, Summary


def restore_files(
    files: Sequence[Path | FileError],
    work: Callable[[threading.Event], Iterable[Restored]],
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
    console = render.console_for_people(manner.as_json)
    summary = Summary()
    began = time.monotonic()
    listing = render.Listing(console, files, manner.quiet)
    with stop_on_interrupt() as stop:
        with render.progress(console, len(files), stop, wanted=not manner.quiet) as advance:
            for result in work(stop):
                summary.add(result)
                if manner.as_json:
                    records.print_record(records.restored_record(result))
                else:
                    listing.show(result)
                if manner.debug and result.error:
                    render.print_cause(result.error)
                advance(0.0)
        interrupted = stop.is_set()
    if manner.as_json:
        records.print_record(records.tally_record(summary, time.monotonic() - began, interrupted))
    if listing.n_shown:
        console.print()
    if not (manner.as_json and manner.quiet):
        render.print_tally(console, summary, interrupted)
    return code_for(summary.n_files, summary.counts[Status.FAILED], interrupted)
