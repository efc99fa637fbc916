"""`mtag scan`: hear a library and write what was heard."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mtag.cli import version
from mtag.cli.codes import ExitCode, code_for
from mtag.cli.options import Device, DeviceOption, Fast, Json, Paths, Weights, all_cores
from mtag.tagfile import GenrePolicy

if TYPE_CHECKING:
    from mtag.catalog import Catalog
    from mtag.ensemble import Bundle
    from mtag.library import ScanOptions

WriteTags = Annotated[bool, typer.Option("--write-tags", help="Write; without it, only say what would be written.")]
Genre = Annotated[
    GenrePolicy, typer.Option("--genre", help="What becomes of a file's own genres; fill keeps all that say something.")
]
Top = Annotated[int | None, typer.Option("--top", metavar="N", min=1, help="At most so many words in the comment.")]
MinScore = Annotated[
    float | None, typer.Option("--min-score", metavar="X", min=0, max=1, help="Believe every tag from this score on.")
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", metavar="N", min=1, help="Tracks heard at once; by default one a core.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show only what failed, and the summary.")]
CatalogFile = Annotated[
    Path | None, typer.Option("--catalog", metavar="FILE", help="Where scores and before-values are kept.")
]


def scan(
    context: typer.Context,
    paths: Paths,
    write_tags: WriteTags = False,
    fast: Fast = False,
    genre: Genre = GenrePolicy.FILL,
    top: Top = None,
    min_score: MinScore = None,
    jobs: Jobs = None,
    as_json: Json = False,
    quiet: Quiet = False,
    weights: Weights = None,
    device: DeviceOption = Device.AUTO,
    catalog: CatalogFile = None,
) -> None:
    """Hear a music library, and write genre and comment into its files.

    Nothing is written without --write-tags. A file that is as it was when it was heard is not heard again.
    """
    from mtag.catalog import Catalog
    from mtag.ensemble import load_bundle
    from mtag.library import ScanOptions

    bundle = load_bundle(weights)
    options = ScanOptions(
        write=write_tags,
        fast=fast,
        policy=genre,
        top=top,
        min_score=min_score,
        jobs=jobs or all_cores(),
        device=device.value,
        arguments=json.dumps(context.params, default=str),
        version=version(),
    )
    manner = _Manner(as_json, quiet, debug=bool(context.obj))
    with Catalog.open(catalog) as opened:
        if opened.notice:
            typer.echo(f"mtag: {opened.notice}", err=True)
        raise typer.Exit(_scan(paths, bundle, opened, options, manner))


class _Manner(NamedTuple):
    """How a scan tells what it does."""

    as_json: bool
    quiet: bool
    debug: bool


def _scan(paths: list[Path], bundle: Bundle, catalog: Catalog, options: ScanOptions, manner: _Manner) -> ExitCode:
    from mtag import library
    from mtag.cli import records, render
    from mtag.cli.interrupt import stop_on_interrupt
    from mtag.cli.paths import find_named

    console = render.console_for_people(manner.as_json)
    summary = library.Summary()
    began = time.monotonic()
    with stop_on_interrupt() as stop:
        files = find_named(paths, stop)
        listing = render.Listing(console, files, manner.quiet)
        with render.progress(console, len(files), stop, wanted=not manner.quiet) as advance:
            for result in library.scan(files, bundle, catalog, options, stop=stop):
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
    if not (manner.as_json and manner.quiet):
        render.print_summary(console, summary, seconds, interrupted)
    return code_for(summary.n_files, summary.counts[library.Status.FAILED], interrupted)
