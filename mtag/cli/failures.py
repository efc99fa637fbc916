"""`mtag failures`: the ledger of files that could not be dealt with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtag.cli.options import CatalogFile, Json, path

if TYPE_CHECKING:
    from mtag.catalog import Failure

Under = Annotated[
    list[Path] | None,
    typer.Argument(metavar="PATH", parser=path, help="Only these files, and those under these folders."),
]
Clear = Annotated[bool, typer.Option("--clear", help="Forget them: what crashed a decoder is tried again, too.")]


def failures(paths: Under = None, as_json: Json = False, clear: Clear = False, catalog: CatalogFile = None) -> None:
    """List the files that could not be processed, and why.

    A file leaves the list once it has been processed; `mtag scan --only-failed` tries just these.
    """
    from mtag.cli.opening import open_catalog

    roots: list[Path] | list[None] = paths or [None]
    with open_catalog(catalog) as opened:
        found = list({failure.path: failure for root in roots for failure in opened.failures(root)}.values())
        if as_json:
            _print_records(found)
        else:
            _show(found, cleared=clear)
        if clear:
            for root in roots:
                opened.forget_failures(root)


def _print_records(failures: list[Failure]) -> None:
    from mtag.cli import records

    for failure in failures:
        error = {"kind": failure.kind.value, "message": records.legible(failure.reason)}
        records.print_record(
            {"path": records.legible(failure.path), "error": error, "when": records.moment(failure.happened)}
        )


def _show(failures: list[Failure], cleared: bool) -> None:
    from collections import Counter

    from rich.text import Text

    from mtag.cli import render

    console = render.console_for_people()
    for failure in failures:
        line = Text(render.printable(failure.path), "bold")
        console.print(line.append(f"  {failure.kind.value}: {render.printable(failure.reason)}", "red"))
    if not failures:
        console.print("No file has failed.")
        return
    kinds = Counter(failure.kind.value for failure in failures).most_common()
    told = ", ".join(f"{number:,} {kind}" for kind, number in kinds)
    console.print(f"{render.count(len(failures), 'file')} failed ({told}){'; forgotten' if cleared else ''}.")
