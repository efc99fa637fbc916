"""`mtag catalog`: upkeep of what mtag remembers."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtag.cli.options import CatalogFile, Json, path

if TYPE_CHECKING:
    from mtag.catalog import Catalog, Info, Track
    from mtag.cli.records import Record


class Action(str, Enum):
    """What is to be done with the catalog."""

    INFO = "info"
    VACUUM = "vacuum"
    FORGET = "forget"
    PRUNE = "prune"
    EXPORT = "export"


ActionArgument = Annotated[
    Action,
    typer.Argument(
        help="info: what it holds. vacuum: make its file small. forget: what was heard under the paths, not what can "
        "be undone. prune: the same of files that are not there any more. export: a line of JSON for each track."
    ),
]
Under = Annotated[
    list[Path] | None,
    typer.Argument(metavar="PATH", parser=path, help="Files and folders, for forget, prune, export."),
]


def catalog(action: ActionArgument, paths: Under = None, as_json: Json = False, catalog: CatalogFile = None) -> None:
    """Maintain the catalog: info, vacuum, forget, prune, export.

    It keeps scores, before-values and failures in one SQLite file.
    """
    from mtag.cli.opening import open_catalog

    if action in (Action.FORGET, Action.PRUNE) and not paths:
        raise typer.BadParameter(f"{action.value} needs paths under which to forget", param_hint="PATH")
    if action in (Action.INFO, Action.VACUUM) and paths:
        raise typer.BadParameter(f"{action.value} is of the whole catalog and takes no paths", param_hint="PATH")
    with open_catalog(catalog) as opened:
        if action is Action.EXPORT:
            _export(opened, paths)
            return
        record, sentence = _done(opened, action, paths or [])
    if as_json:
        from mtag.cli import records

        records.print_record(record)
    else:
        from mtag.cli import render

        render.console_for_people().print(sentence)


def _done(catalog: Catalog, action: Action, paths: list[Path]) -> tuple[Record, str]:
    """Do it; gives what is to be told to a program, and to a person."""
    from mtag.cli.render import count, printable, size

    if action in (Action.FORGET, Action.PRUNE):
        forgotten = sum(map(catalog.forget if action is Action.FORGET else catalog.prune, paths))
        return {"forgotten": forgotten}, f"{count(forgotten, 'track')} forgotten."
    if action is Action.VACUUM:
        before = catalog.n_bytes()
        catalog.vacuum()
        after = catalog.n_bytes()
        return {"bytes_before": before, "bytes": after}, f"{size(before)} before, {size(after)} now."
    info = catalog.info()
    return _info_record(catalog.path, info), f"{printable(catalog.path)}, {size(info.n_bytes)}\n{_told(info)}"


def _info_record(path: Path, info: Info) -> Record:
    from mtag.cli.records import legible

    return {
        "path": legible(path),
        "bytes": info.n_bytes,
        "tracks": info.n_tracks,
        "heard_by": info.n_scores,
        "runs": info.n_runs,
        "changes": info.n_changes,
        "failures": info.n_failures,
    }


def _told(info: Info) -> str:
    from mtag.cli.render import count

    heard = ", ".join(f"{number:,} heard by {models}" for models, number in info.n_scores.items())
    return "\n".join(
        [
            count(info.n_tracks, "track") + (f": {heard}" if heard else ""),
            f"{count(info.n_runs, 'run')}, in which {count(info.n_changes, 'file')} changed",
            count(info.n_failures, "failure"),
        ]
    )


def _export(catalog: Catalog, paths: list[Path] | None) -> None:
    from mtag.cli import records

    roots: list[Path] | list[None] = paths or [None]
    for root in roots:
        for track in catalog.tracks(root):
            records.print_record(_track_record(track))


def _track_record(track: Track) -> Record:
    from mtag.cli.records import legible

    scores = [round(float(score), 4) for score in track.heard.scores]
    return {
        "path": legible(track.path),
        "duration": round(track.heard.duration, 3),
        "windows": track.heard.n_windows,
        "model": track.models.name if track.models else None,
        "fingerprint": track.fingerprint,
        "scores": dict(zip(track.models.tags, scores, strict=True)) if track.models else None,
    }
