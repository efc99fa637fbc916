"""What `mtag scan` and `mtag retag` have in common."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import typer

from mtag import ledger
from mtag.audio.decoders import Decoders
from mtag.bundle import Bundle
from mtag.catalog import Catalog
from mtag.cli import records, render
from mtag.cli.codes import ExitCode, code_for
from mtag.cli.interrupt import stop_on_interrupt
from mtag.cli.options import asked, config_of
from mtag.cli.paths import find_named
from mtag.cli.telling import Manner, tell
from mtag.library import ScanOptions, scan
from mtag.results import Status


def worded_options(context: typer.Context, player: str | None) -> ScanOptions:
    """Options that tell how what was heard is put into words for a player, and what the list of runs says of the run.

    All others are left for the command to choose.
    """
    config = config_of(context)
    vocabulary = config.vocabulary(player)
    arguments = asked(context, vocabulary=vocabulary.describe())
    return ScanOptions(vocabulary=vocabulary, style=config.player(player).style, arguments=arguments)


class Search(NamedTuple):
    """Which files a command is to go through."""

    paths: list[Path]  # as they were named
    exclude: Collection[str]  # as for `find_files`
    only_failed: bool = False  # those alone that failed when they were last dealt with


def go_through(
    search: Search,
    bundle: Bundle,
    catalog: Catalog,
    options: ScanOptions,
    manner: Manner,
    decoders: Decoders | None = None,
) -> ExitCode:
    """Scan the files that a search finds, and give the exit code."""
    began = time.monotonic()
    with stop_on_interrupt() as stop:
        files = find_named(search.paths, stop, every_name=True, exclude=search.exclude)
        ledger.forget_gone(search.paths, catalog)
        n_found = len(files)
        if search.only_failed:
            files = ledger.only_failed(files, catalog)
        results = scan(files, bundle, catalog, options, stop=stop, decoders=decoders)
        summary = tell(results, files, manner, stop)
        interrupted = stop.is_set()
    seconds = time.monotonic() - began
    if manner.as_json:
        records.print_record(records.summary_record(summary, seconds, interrupted))
    console = render.console_for_people(manner.as_json)
    if n_found and not files:
        console.print("None of the files failed before.")
        return ExitCode.OK
    if not (manner.as_json and manner.quiet):
        render.print_summary(console, summary, seconds, interrupted)
    return code_for(summary.n_files, summary.counts[Status.FAILED], interrupted)
