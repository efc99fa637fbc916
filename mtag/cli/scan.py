"""`mtag scan`: hear a library and write what was heard."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from mtag.cli.command import DEBUG
from mtag.cli.early import start_decoders
from mtag.cli.options import (
    CatalogFile,
    Device,
    DeviceOption,
    Exclude,
    Fast,
    For,
    Genre,
    HardLinksOption,
    Json,
    MinScore,
    MtimeOption,
    Nice,
    Paths,
    Precision,
    PrecisionOption,
    Quiet,
    Top,
    Weights,
    Windows,
    WriteTags,
)
from mtag.cores import all_cores
from mtag.tagfile import GenrePolicy, HardLinks, Mtime

N_STARTED = 4  # decoders that start before it is known whether there is anything to hear; others, when there is

Jobs = Annotated[
    int | None, typer.Option("--jobs", metavar="N", min=1, help="Tracks heard at once; by default one per core.")
]
OnlyFailed = Annotated[bool, typer.Option("--only-failed", help="Only try files that failed the last time.")]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Try again even files that crashed or hung a decoder.")
]


def scan(
    context: typer.Context,
    paths: Paths,
    exclude: Exclude = None,
    write_tags: WriteTags = False,
    fast: Fast = False,
    genre: Genre = GenrePolicy.FILL,
    player: For = None,
    top: Top = None,
    min_score: MinScore = None,
    mtime: MtimeOption = Mtime.NOW,
    hardlinks: HardLinksOption = HardLinks.SKIP,
    windows: Windows = None,
    jobs: Jobs = None,
    nice: Nice = 0,
    only_failed: OnlyFailed = False,
    retry_failed: RetryFailed = False,
    as_json: Json = False,
    quiet: Quiet = False,
    weights: Weights = None,
    device: DeviceOption = Device.AUTO,
    precision: PrecisionOption = Precision.AUTO,
    catalog: CatalogFile = None,
) -> None:
    """Hear a music library, and write genre and comment into its files.

    Nothing is written without --write-tags. Files that have not changed since are not heard again.
    """
    n_jobs = jobs or all_cores()
    decoders = start_decoders(context, n_jobs, min(n_jobs, N_STARTED), nice=nice)
    from mtag.bundle import load_bundle
    from mtag.cli.opening import open_catalog
    from mtag.cli.scanning import Search, go_through, worded_options
    from mtag.cli.telling import Manner

    options = replace(
        worded_options(context, player),
        write=write_tags,
        fast=fast,
        policy=genre,
        top=top,
        min_score=min_score,
        mtime=mtime,
        hardlinks=hardlinks,
        windows=windows,
        jobs=n_jobs,
        device=device.value,
        precision=precision.value,
        retry_failed=retry_failed,
    )
    bundle = load_bundle(weights)
    manner = Manner(as_json, quiet, context.meta[DEBUG])
    search = Search(paths, exclude or (), only_failed)
    with open_catalog(catalog) as opened:
        raise typer.Exit(go_through(search, bundle, opened, options, manner, decoders))
