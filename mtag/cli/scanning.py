"""What `mtag scan` and `mtag retag` have in common: go through files, tell of each, and sum up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import typer

from mtag import ledger, library
from mtag.audio.decoders import Decoders
from mtag.bundle import Bundle
from mtag.catalog import Catalog
from mtag.cli import records, render
from mtag.cli.codes import ExitCode, code_for
from mtag.cli.interrupt import stop_on_interrupt
from mtag.cli.options import config_of
from mtag.cli.paths import find_named
from mtag.errors import CatalogError
from mtag.pending import settle
from mtag.tagfile import Style
from mtag.vocabulary import Vocabulary


class Manner(NamedTuple):
    """How a command tells what it does."""

    as_json: bool
    quiet: bool
    debug: bool


class Wording(NamedTuple):
    """How a command says what was heard."""

    vocabulary: Vocabulary
    style: Style
    arguments: str  # for the catalog's list of runs: what was asked for, and the words made of the tags


def wording(context: typer.Context, player: str | None) -> Wording:
    """What the configuration says of words and fields, for a player."""
    config = config_of(context)
    vocabulary = config.vocabulary(player)
    arguments = asked(context, vocabulary=vocabulary.describe())
    return Wording(vocabulary, config.player(player).style, arguments)


def asked(context: typer.Context, **others: object) -> str:
    """What was asked of a command otherwise than by default, on the command line or in the configuration: JSON."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    names = [name for name, source in sources.items() if source and source.name != "DEFAULT"]
    return json.dumps({**{name: context.params[name] for name in names}, **others}, default=str)


@contextmanager
def open_catalog(path: Path | None) -> Iterator[Catalog]:
    """An open catalog; what had to be done to open it is said."""
    with Catalog.open(path) as catalog:
        if catalog.notice:
            typer.echo(f"mtag: {catalog.notice}", err=True)
        settle(catalog)
        yield catalog


@contextmanager
def open_catalog_if_possible(path: Path | None) -> Iterator[Catalog | None]:
    """An open catalog, or none for work that can do without; that is said."""
    with ExitStack() as stack:
        try:
            catalog = stack.enter_context(open_catalog(path))
        except CatalogError as error:
            typer.echo(f"mtag: {error}; this run is not recorded", err=True)
            catalog = None
        yield catalog


def go_through(
    paths: list[Path],
    bundle: Bundle,
    catalog: Catalog,
    options: library.ScanOptions,
    manner: Manner,
    *,
    only_failed: bool = False,
    decoders: Decoders | None = None,
) -> ExitCode:
    """Scan the files under some paths, or only those that failed before, and give the exit code."""
    console = render.console_for_people(manner.as_json)
    summary = library.Summary()
    began = time.monotonic()
    with stop_on_interrupt() as stop:
        files = find_named(paths, stop, every_name=True)
        ledger.forget_gone(paths, catalog)
        n_found = len(files)
        if only_failed:
            files = ledger.only_failed(files, catalog)
        listing = render.Listing(console, files, manner.quiet)
        with render.progress(console, len(files), stop, wanted=not manner.quiet) as advance:
            for result in library.scan(files, bundle, catalog, options, stop=stop, decoders=decoders):
                summary.add(result)
                if manner.as_json:
                    records.print_record(records.result_record(result))
                else:
                    listing.show(result)
                if manner.debug and result.error:
                    render.print_cause(result.error)
                advance(0.0 if result.cached else result.duration or 0.0)
        interrupted = stop.is_set()
    seconds = time.monotonic() - began
    if manner.as_json:
        records.print_record(records.summary_record(summary, seconds, interrupted))
    if listing.n_shown:
        console.print()
    if n_found and not files:
        console.print("None of the files failed before.")
        return ExitCode.OK
    if not (manner.as_json and manner.quiet):
        render.print_summary(console, summary, seconds, interrupted)
    return code_for(summary.n_files, summary.counts[library.Status.FAILED], interrupted)
