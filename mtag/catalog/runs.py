"""Runs and the changes they made: what a file said before it was touched, so that it can be undone.

A change is *pending* from the moment it is on disk, right before the file changes, until that has been done. The run
that makes it holds a lock as long as it lives, so that what a killed run left pending can be told from work in hand.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mtag.catalog.runlocks import is_held, lock_path, runs_with_locks
from mtag.catalog.store import Store, explained, path_key, path_of, state_of
from mtag.filelock import lock


@dataclass(frozen=True)
class Run:
    """One run that changed files; `finished` is None while it works, and for ever if it was killed."""

    id: int
    started: float  # Unix time
    finished: float | None  # Unix time
    arguments: str  # JSON or as typed: the caller's choice
    version: str
    command: str  # scan, retag, undo or strip
    n_files: int  # files it changed

    @property
    def asked(self) -> dict[str, Any]:
        """The arguments where they are JSON; else none are known."""
        try:
            asked = json.loads(self.arguments)
        except ValueError:
            return {}
        return asked if isinstance(asked, dict) else {}


@dataclass(frozen=True)
class Change:
    """One file's fields before and after."""

    id: int
    run: int
    path: Path  # where the file was
    before: str  # JSON
    after: str | None  # JSON; None where version 0.1.0 was killed before it knew
    is_pending: bool  # it is not known whether it happened
    place: Path  # where the file is now, as far as the catalog knows


_CHANGES = (
    "SELECT changes.id, run, changes.path, before, after, state = 'pending', coalesce(tracks.path, changes.path)"
    " FROM changes LEFT JOIN tracks ON tracks.id = changes.track"
)


class Runs(Store):
    """The catalog's tables of runs and changes."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        super().__init__(path, connection)
        self._locks: dict[int, BinaryIO] = {}  # of the runs that this object began

    def begin_run(self, arguments: str, version: str, command: str = "scan") -> int:
        """Note that a run begins to change files; gives its number."""
        self._refuse_if_gone()
        with self._transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO runs (started, arguments, version, command) VALUES (?, ?, ?, ?)",
                (time.time(), arguments, version, command),
            )
            run = int(cursor.lastrowid or 0)
            self._locks[run] = lock_path(self.path, run).open("ab")
            lock(self._locks[run])
        return run

    def finish_run(self, run: int) -> None:
        """Note that a run has come to its end."""
        with self._transaction() as connection:
            connection.execute("UPDATE runs SET finished = ? WHERE id = ?", (time.time(), run))
        self._unlock(run)

    def record_change(self, run: int, path: Path, before: str, after: str) -> int | None:
        """Keep what a file says and what it is going to say, on disk when this returns; gives the change's number.

        To be followed, once the file has been dealt with, by `confirm_change` or `drop_change`. None, and nothing is
        kept, where another run is changing the same file at this moment.
        """
        self._refuse_if_gone()
        key = path_key(path)
        # A power cut after the file is renamed must still find the before-values.
        self._row("PRAGMA synchronous = FULL")
        try:
            with self._transaction() as connection:
                others = connection.execute(
                    "SELECT run FROM changes WHERE path = ? AND state = 'pending' AND run <> ?", (key, run)
                ).fetchall()
                if any(self.is_alive(other) for (other,) in others):
                    return None
                cursor = connection.execute(
                    "INSERT INTO changes (run, path, track, before, after, state)"
                    " VALUES (?, ?, (SELECT id FROM tracks WHERE path = ?), ?, ?, 'pending')",
                    (run, key, key, before, after),
                )
        finally:
            self._row("PRAGMA synchronous = NORMAL")
        return int(cursor.lastrowid or 0)

    def confirm_change(self, change: int, stat: os.stat_result | None, digest: bytes | None = None) -> None:
        """Note that the file was written; its scores stay valid under its new size and time.

        Parameters
        ----------
        change
            From `record_change`.
        stat
            The file as it is now; None where somebody else may have changed it since.
        digest
            Of the file's sampled blocks as they are now.
        """
        with self._transaction() as connection:
            connection.execute("UPDATE changes SET state = 'done' WHERE id = ?", (change,))
            track = "(SELECT track FROM changes WHERE id = ?)"
            connection.execute(f"DELETE FROM outcomes WHERE track = {track}", (change,))
            if stat:
                connection.execute(
                    f"UPDATE tracks SET size = ?, mtime_ns = ?, device = ?, inode = ?, digest = ? WHERE id = {track}",
                    (*state_of(stat), digest, change),
                )

    def drop_change(self, change: int) -> None:
        """Forget a pending change: the file could not be written and is as it was."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM changes WHERE id = ? AND state = 'pending'", (change,))

    def runs(self) -> list[Run]:
        """Every run that changed files, oldest first."""
        rows = self._rows(
            "SELECT runs.id, started, finished, arguments, version, command, count(*)"
            " FROM runs JOIN changes ON run = runs.id GROUP BY runs.id ORDER BY runs.id"
        )
        return [Run(*row) for row in rows]

    def changes(self, run: int) -> list[Change]:
        """The changes of a run, in the order they were made."""
        return self._changes(f"{_CHANGES} WHERE run = ? ORDER BY changes.id", (run,))

    def left_pending(self) -> list[Change]:
        """Pending changes of runs that are no longer alive: nobody knows whether they happened."""
        changes = self._changes(f"{_CHANGES} WHERE state = 'pending' ORDER BY changes.id")
        alive = {run: self.is_alive(run) for run in {change.run for change in changes}}
        return [change for change in changes if not alive[change.run]]

    def is_being_changed(self, path: Path) -> bool:
        """Whether some run that is alive, this one or another, is changing a file at this moment."""
        rows = self._rows("SELECT run FROM changes WHERE path = ? AND state = 'pending'", (path_key(path),))
        return any(self.is_alive(run) for (run,) in rows)

    def is_alive(self, run: int) -> bool:
        """Whether the process that began a run still works on it."""
        return run in self._locks or is_held(lock_path(self.path, run))

    def close(self) -> None:
        """Close the file; committed rows stay."""
        for run in list(self._locks):
            self._unlock(run)
        super().close()

    def _changes(self, sql: str, values: Sequence[Any] = ()) -> list[Change]:
        return [
            Change(number, run, path_of(path), before, after, bool(pending), path_of(place))
            for number, run, path, before, after, pending, place in self._rows(sql, values)
        ]

    def _unlock(self, run: int) -> None:
        if held := self._locks.pop(run, None):
            held.close()
            with explained(self.path), suppress(FileNotFoundError):
                lock_path(self.path, run).unlink()

    def sweep(self) -> None:
        """Delete the lock files of dead runs, among them finished ones that were killed before they could do so."""
        with explained(self.path):
            left = runs_with_locks(self.path)
        if not left:
            return
        # A run that is not in the table yet is about to begin, and may not have locked its file so far: leave that.
        for (run,) in self._rows("SELECT id FROM runs"):
            if str(run) in left and not self.is_alive(run):
                with suppress(OSError):
                    lock_path(self.path, run).unlink()
