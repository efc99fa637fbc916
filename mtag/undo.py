"""A run taken back: every field that it touched says again, byte for byte, what it said before."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mtag import tagfile
from mtag.audio.decoders import Decoders
from mtag.catalog import Catalog, Change, Run
from mtag.errors import CatalogError, FailureKind, FileError, SkippedError
from mtag.recorder import Recorder
from mtag.restoring import RestoreOptions, guarded, refuse_if_linked, sorted_fields
from mtag.results import Restored, Status
from mtag.sameness import follow_by_sound, follow_by_state
from mtag.tagfile import Digest, Field, Snapshot
from mtag.walk import find_files

LAST = "last"  # in place of a run's number
OWN = frozenset({Field.PROVENANCE})  # says nothing to people


@dataclass(frozen=True)
class UndoOptions(RestoreOptions):
    """How a run is to be taken back."""

    force: bool = False  # restore even what somebody has changed since


def find_run(catalog: Catalog, name: str) -> Run:
    """The run of a number, or the last one, of those that changed files.

    Raises
    ------
    CatalogError
        There is no such run, or it is still at work.
    """
    runs = catalog.runs()
    if not runs:
        raise CatalogError("there is no run that could be undone")
    run = runs[-1] if name == LAST else next((run for run in runs if str(run.id) == name), None)
    if run is None:
        hint = f"; a run comes first: `mtag undo last {name}`" if Path(name).exists() else "; `mtag undo` lists them"
        raise CatalogError(f"there is no run {name}{hint}")
    if run.finished is None and catalog.is_alive(run.id):
        raise CatalogError(f"run {run.id} is still running")
    return run


def changes_of(catalog: Catalog, run: Run, paths: Sequence[Path] | None = None) -> list[Change]:
    """The changes of a run, latest first: all, or those in files under some paths.

    Files that have moved are looked for under those paths, even if other programs have tagged them since.

    Raises
    ------
    CatalogError
        The run changed no file there.
    """
    changes = catalog.changes(run.id)
    if paths and not all(os.path.lexists(change.place) for change in changes):
        with Decoders() as decoders:
            for file in find_files(paths):
                if isinstance(file, Path):
                    with suppress(FileError, OSError):
                        _follow(catalog, file, decoders.packet_digest)
        changes = catalog.changes(run.id)
    roots = {Path(full(path)) for path in paths or () for full in (os.path.abspath, os.path.realpath)}
    found = [change for change in reversed(changes) if not roots or _is_under(change, roots)]
    if not found:
        raise CatalogError(f"run {run.id} changed no file there")
    return found


def _follow(catalog: Catalog, file: Path, digest: Digest) -> None:
    """Have the catalog know a file that mtag wrote by the name it has now."""
    stat = os.stat(file)
    if follow_by_state(catalog, file, stat) or catalog.knows_sound_at(file):
        return
    if tagfile.read_fields(file).before is not None:  # other files need not be read through
        follow_by_sound(catalog, file, stat, digest(file))


def undo(
    changes: Iterable[Change], catalog: Catalog, options: UndoOptions, stop: threading.Event | None = None
) -> Generator[Restored, None, None]:
    """Take changes back; that is a run of its own, which can be undone in turn.

    Parameters
    ----------
    changes
        From `changes_of`.
    catalog
        Before-values of this run go here. Its thread is the one that takes the results.
    options
        How to go about it.
    stop
        Once it is set no further file is begun, and the results end.

    Yields
    ------
    One result a change. Whatever happens to a file is its result; only trouble with the catalog raises.
    """
    with Recorder(catalog, "undo", options.arguments, options.version) as recorder, Decoders() as decoders:
        for change in changes:
            if stop and stop.is_set():
                break
            yield guarded(change.place, partial(_undo, change, recorder, options, decoders.packet_digest))


def _undo(change: Change, recorder: Recorder, options: UndoOptions, digest: Digest) -> Restored:
    path = change.place
    if options.write:
        recorder.tidy(path)
    stat = _stat(path)
    before, after = _snapshots(change)
    touched = _touched(before, after)
    differing = touched & tagfile.changed_since(path, before)
    theirs = tagfile.changed_since(path, after) if after else differing
    left = frozenset() if options.force else differing & theirs
    if left - OWN and not touched - left - OWN:
        raise SkippedError(path, FailureKind.CHANGED, f"was left alone: its {_named(left)} was changed since")
    told = sorted_fields(differing - left), sorted_fields(left - OWN)
    if not options.write:
        refuse_if_linked(path, stat, options)
        return Restored(path, Status.PREVIEW if differing - left else Status.UNCHANGED, *told)
    is_written = recorder.change(
        path,
        stat,
        lambda announce: tagfile.restore(
            path,
            before,
            digest,
            fields=touched - left,
            mtime=options.mtime,
            hardlinks=options.hardlinks,
            announce=announce,
        ),
    )
    return Restored(path, Status.WRITTEN if is_written else Status.UNCHANGED, *told)


def _named(fields: Collection[Field]) -> str:
    """Fields in a sentence."""
    return " and ".join(field.value for field in sorted_fields(fields) if field not in OWN)


def _stat(path: Path) -> os.stat_result:
    try:
        return os.stat(path)
    except FileNotFoundError:
        reason = "is not there any more; name the folder that it is in now"
        raise FileError(path, FailureKind.MISSING, reason) from None


def _snapshots(change: Change) -> tuple[Snapshot, Snapshot | None]:
    """What the file said before and after."""
    try:
        return Snapshot.from_json(change.before), Snapshot.from_json(change.after) if change.after else None
    except ValueError as error:
        reason = "was left as it is: the catalog's note of what it said cannot be read; a newer mtag may have made it"
        raise FileError(change.place, FailureKind.TAG_PARSE, reason) from error


def _touched(before: Snapshot, after: Snapshot | None) -> frozenset[Field]:
    """The fields that a change has touched, as far as that is known."""
    if after is None or before.spelling != after.spelling:
        return before.fields
    return frozenset(field for field in before.fields if before.items_of(field) != after.items_of(field))


def _is_under(change: Change, roots: Iterable[Path]) -> bool:
    """Whether a file is, or was, under some folders, by whichever of its names."""
    names = (change.place, change.path, Path(os.path.realpath(change.place)))
    return any(root in (name, *name.parents) for name in names for root in roots)
