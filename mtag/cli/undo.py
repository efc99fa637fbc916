"""`mtag undo`: the runs that changed files, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtag.cli.command import DEBUG
from mtag.cli.options import CatalogFile, DryRun, HardLinksOption, Json, MtimeOption, Quiet, asked, path
from mtag.tagfile import HardLinks, Mtime

if TYPE_CHECKING:
    from mtag.catalog import Catalog

RunArgument = Annotated[
    str | None, typer.Argument(metavar="RUN", help="The run's number, or last; without it the runs are listed.")
]
Under = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH",
        parser=path,
        help="Only these files, and those under these folders; moved files are found.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Restore even fields that were changed since.")]


def undo(
    context: typer.Context,
    run: RunArgument = None,
    paths: Under = None,
    dry_run: DryRun = False,
    force: Force = False,
    mtime: MtimeOption = Mtime.NOW,
    hardlinks: HardLinksOption = HardLinks.SKIP,
    as_json: Json = False,
    quiet: Quiet = False,
    catalog: CatalogFile = None,
) -> None:
    """List the runs that changed files, or take one back.

    Every field that the run touched gets back its former value, unless it has been changed since. An undo is itself a
    run, and can be undone.
    """
    from mtag import undo as work
    from mtag.cli.opening import open_catalog
    from mtag.cli.restoring import restore_files
    from mtag.cli.telling import Manner

    with open_catalog(catalog) as opened:
        if run is None:
            _list(opened, as_json)
            return
        found = work.find_run(opened, run)
        changes = work.changes_of(opened, found, paths)
        options = work.UndoOptions(not dry_run, mtime, hardlinks, asked(context), force=force)
        raise typer.Exit(
            restore_files(
                [change.place for change in changes],
                lambda stop: work.undo(changes, opened, options, stop),
                Manner(as_json, quiet, context.meta[DEBUG]),
            )
        )


def _list(catalog: Catalog, as_json: bool) -> None:
    from mtag.cli import records, render

    runs = catalog.runs()
    if as_json:
        for run in runs:
            records.print_record(records.run_record(run))
    else:
        render.print_runs(render.console_for_people(), runs)
