"""`mtag strip`: files as if mtag had never been there."""

from __future__ import annotations

import typer

from mtag.cli.command import DEBUG
from mtag.cli.options import CatalogFile, DryRun, HardLinksOption, Json, MtimeOption, Paths, Quiet, asked
from mtag.tagfile import HardLinks, Mtime


def strip(
    context: typer.Context,
    paths: Paths,
    dry_run: DryRun = False,
    mtime: MtimeOption = Mtime.NOW,
    hardlinks: HardLinksOption = HardLinks.SKIP,
    as_json: Json = False,
    quiet: Quiet = False,
    catalog: CatalogFile = None,
) -> None:
    """Remove everything that mtag has written from files.

    Each file records what it said before, so this works even without a catalog. With one, it is a run like any other,
    and can be undone.
    """
    from mtag import strip as work
    from mtag.cli.opening import open_catalog_if_possible
    from mtag.cli.paths import find_named
    from mtag.cli.restoring import restore_files
    from mtag.cli.telling import Manner
    from mtag.restoring import RestoreOptions

    options = RestoreOptions(not dry_run, mtime, hardlinks, asked(context))
    with open_catalog_if_possible(catalog) as opened:
        files = find_named(paths, every_name=True)
        raise typer.Exit(
            restore_files(
                files,
                lambda stop: work.strip(files, opened, options, stop),
                Manner(as_json, quiet, context.meta[DEBUG]),
            )
        )
