"""What the commands that change files have in common: tell of each file as it is done, and count them all."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from mtag.cli import records, render
from mtag.errors import FileError
from mtag.results import Restored, ScanResult, Summary


class Manner(NamedTuple):
    """How a command tells what it does."""

    as_json: bool
    quiet: bool
    debug: bool


def tell(
    results: Generator[ScanResult | Restored, None, None],
    files: Sequence[Path | FileError],
    manner: Manner,
    stop: threading.Event,
) -> Summary:
    """Show each of some files' results as it comes, or print its record, and give them in numbers.

    Once `stop` is set, the results have to end by themselves; the progress bar only says so.
    """
    console = render.console_for_people(manner.as_json)
    summary = Summary()
    listing = render.Listing(console, files, manner.quiet)
    # Where nobody reads the output any more, the results end in good order, as a run that can be undone.
    bar = render.progress(console, len(files), stop, wanted=not manner.quiet)
    with closing(results), bar as advance:
        for result in results:
            summary.add(result)
            if manner.as_json:
                records.print_record(
                    records.restored_record(result) if isinstance(result, Restored) else records.result_record(result)
                )
            else:
                listing.show(result)
            if manner.debug and result.error:
                render.print_cause(result.error)
            advance(0.0 if isinstance(result, Restored) or result.cached else result.duration or 0.0)
    if listing.n_shown:
        console.print()
    return summary
