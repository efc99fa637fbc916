"""`mtag retag`: other options for tracks that were heard before."""

from __future__ import annotations

from dataclasses import replace

import typer

from mtag.cli.command import DEBUG
from mtag.cli.options import (
    CatalogFile,
    Exclude,
    Fast,
    For,
    Genre,
    HardLinksOption,
    Json,
    MinScore,
    MtimeOption,
    Paths,
    Precision,
    PrecisionOption,
    Quiet,
    Top,
    Weights,
    Windows,
    WriteTags,
)
from mtag.tagfile import GenrePolicy, HardLinks, Mtime


def retag(
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
    as_json: Json = False,
    quiet: Quiet = False,
    weights: Weights = None,
    precision: PrecisionOption = Precision.AUTO,
    catalog: CatalogFile = None,
) -> None:
    """Rewrite tags from what was heard before, without listening again.

    The options are applied to the scores in the catalog. A file that was never heard, or has changed since, is skipped.
    """
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
        precision=precision.value,
        mtime=mtime,
        hardlinks=hardlinks,
        windows=windows,
        listen=False,
        command="retag",
    )
    bundle = load_bundle(weights)
    manner = Manner(as_json, quiet, context.meta[DEBUG])
    with open_catalog(catalog) as opened:
        raise typer.Exit(go_through(Search(paths, exclude or ()), bundle, opened, options, manner))
