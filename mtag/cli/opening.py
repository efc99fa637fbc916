"""The catalog that a command works with; what had to be done to open it is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import typer

from mtag.catalog import Catalog
from mtag.errors import CatalogError
from mtag.pending import settle


@contextmanager
def open_catalog(path: Path | None) -> Iterator[Catalog]:
    """An open catalog, in which the changes that killed runs left behind are settled."""
    with Catalog.open(path) as catalog:
        if catalog.notice:
            typer.echo(f"mtag: {catalog.notice}", err=True)
        settle(catalog)
        yield catalog


@contextmanager
def open_catalog_if_possible(path: Path | None) -> Iterator[Catalog | None]:
    """An open catalog, or none for work that can do without."""
    with ExitStack() as stack:
        try:
            catalog = stack.enter_context(open_catalog(path))
        except CatalogError as error:
            typer.echo(f"mtag: {error}; this run is not recorded", err=True)
            catalog = None
        yield catalog
