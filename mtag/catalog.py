"""What mtag remembers between runs, in one SQLite file: scores, runs, before-values and failures.

Every row is committed as it comes, so a kill loses at most the file in hand; several processes may use one catalog
at once. The thread that opens a catalog owns it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtag.catalogfile import UnusableError, connect, explained, is_foreign, move_aside, transaction
from mtag.errors import CatalogError, FailureKind


@dataclass(frozen=True, eq=False)
class Heard:
    """What listening to one track gave."""

    scores: NDArray[np.float32]  # (50,) in [0, 1], in the bundle's order of tags
    duration: float  # seconds
    n_windows: int  # windows that were not silent


@dataclass(frozen=True)
class Run:
    """One run that changed files; `finished` is None while it works, and for ever if it was killed."""

    id: int
    started: float  # Unix time
    finished: float | None  # Unix time
    arguments: str  # as typed, or as JSON: the caller's choice
    version: str


@dataclass(frozen=True)
class Change:
    """One file's touched fields before and after; `after` is None until the change is confirmed."""

    id: int
    run: int
    path: Path
    before: str  # JSON
    after: str | None  # JSON


@dataclass(frozen=True)
class Failure:
    """A file that could not be dealt with, as it was then."""

    path: Path
    size: int  # bytes
    mtime_ns: int
    kind: FailureKind
    reason: str
    happened: float  # Unix time


class Catalog:
    """An open catalog; use `Catalog.open`, as a context manager.

    Attributes
    ----------
    path
        The SQLite file.
    notice
        One sentence for the user where an unusable catalog was moved aside on opening, else None.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, notice: str | None = None) -> None:
        self.path = path
        self.notice = notice
        self._connection = connection

    @classmethod
    def open(cls, path: Path | None = None) -> Catalog:
        """Open a catalog, or begin one.

        A damaged catalog, or one in a newer format, is moved aside to `NAME.corrupt-N` or `NAME.newer-N` and a fresh
        one is begun; `notice` says so.

        Parameters
        ----------
        path
            The file; by default the environment's MTAG_CATALOG, else `catalog.db` in the user's data folder.

        Raises
        ------
        CatalogError
            Where the file cannot be opened or written, or `path` names a file that is no catalog.
        """
        place = path or default_path()
        if path and is_foreign(path):
            raise CatalogError(f"{path} is not a catalog of mtag; name another file")
        notice = None
        with explained(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                connection = connect(place)
            except UnusableError as error:
                notice = move_aside(place, error)
                connection = connect(place)
        return cls(place, connection, notice)

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; committed rows stay."""
        with explained(self.path):
            self._connection.close()

    # Scores

    def recall(self, path: Path, stat: os.stat_result, fingerprint: str) -> Heard | None:
        """What was heard in a file that has not changed since, or None.

        Parameters
        ----------
        path, stat
            The file and its present size and modification time.
        fingerprint
            Identifies the models that gave the scores.
        """
        row = self._row(
            "SELECT scores, duration, windows FROM tracks JOIN scores ON track = id"
            " WHERE path = ? AND size = ? AND mtime_ns = ? AND fingerprint = ?",
            (_key(path), stat.st_size, _signed(stat.st_mtime_ns), fingerprint),
        )
        return Heard(np.frombuffer(row[0], "<f4").astype(np.float32), row[1], row[2]) if row else None

    def remember(self, path: Path, stat: os.stat_result, fingerprint: str, heard: Heard) -> None:
        """Keep what was heard in a file; what was heard before the file changed is forgotten."""
        key = _key(path)
        state = _state(stat)
        with self._transaction() as connection:
            connection.execute(
                "DELETE FROM scores WHERE track ="
                " (SELECT id FROM tracks WHERE path = ? AND (size <> ? OR mtime_ns <> ?))",
                (key, *state[:2]),
            )
            connection.execute(
                "INSERT INTO tracks (path, size, mtime_ns, device, inode, duration, windows)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET size = excluded.size,"
                " mtime_ns = excluded.mtime_ns, device = excluded.device, inode = excluded.inode,"
                " duration = excluded.duration, windows = excluded.windows",
                (key, *state, heard.duration, heard.n_windows),
            )
            connection.execute(
                "INSERT OR REPLACE INTO scores SELECT id, ?, ? FROM tracks WHERE path = ?",
                (fingerprint, heard.scores.astype("<f4").tobytes(), key),
            )

    # Runs and changes

    def begin_run(self, arguments: str, version: str) -> int:
        """Note that a run begins to change files; gives its number."""
        with self._transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO runs (started, arguments, version) VALUES (?, ?, ?)", (time.time(), arguments, version)
            )
        return int(cursor.lastrowid or 0)

    def finish_run(self, run: int) -> None:
        """Note that a run has come to its end."""
        with self._transaction() as connection:
            connection.execute("UPDATE runs SET finished = ? WHERE id = ?", (time.time(), run))

    def record_change(self, run: int, path: Path, before: str) -> int:
        """Keep a file's before-values, on disk when this returns; gives the change's number.

        To be followed, once the file has been dealt with, by `confirm_change` or `drop_change`.
        """
        # A power cut after the file is renamed must still find the before-values.
        self._row("PRAGMA synchronous = FULL")
        try:
            with self._transaction() as connection:
                cursor = connection.execute(
                    "INSERT INTO changes (run, path, before, state) VALUES (?, ?, ?, 'pending')",
                    (run, _key(path), before),
                )
        finally:
            self._row("PRAGMA synchronous = NORMAL")
        return int(cursor.lastrowid or 0)

    def confirm_change(self, change: int, after: str, stat: os.stat_result) -> None:
        """Note that the file was written; its scores stay valid under its new size and time.

        Parameters
        ----------
        change
            From `record_change`.
        after
            The touched fields as they are now, JSON.
        stat
            The file as it is now.
        """
        with self._transaction() as connection:
            connection.execute("UPDATE changes SET after = ?, state = 'done' WHERE id = ?", (after, change))
            connection.execute(
                "UPDATE tracks SET size = ?, mtime_ns = ?, device = ?, inode = ?"
                " WHERE path = (SELECT path FROM changes WHERE id = ?)",
                (*_state(stat), change),
            )

    def drop_change(self, change: int) -> None:
        """Forget a pending change: the file could not be written and is as it was."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM changes WHERE id = ? AND state = 'pending'", (change,))

    def runs(self) -> list[Run]:
        """Every run that changed files, oldest first."""
        rows = self._rows("SELECT id, started, finished, arguments, version FROM runs ORDER BY id")
        return [Run(*row) for row in rows]

    def changes(self, run: int) -> list[Change]:
        """The changes of a run, in the order they were made."""
        rows = self._rows("SELECT id, run, path, before, after FROM changes WHERE run = ? ORDER BY id", (run,))
        return [Change(number, of, Path(os.fsdecode(path)), *values) for number, of, path, *values in rows]

    # Failures

    def record_failure(self, path: Path, stat: os.stat_result, kind: FailureKind, reason: str) -> None:
        """Keep why a file could not be dealt with; a later failure of the same file takes its place."""
        row = (_key(path), stat.st_size, _signed(stat.st_mtime_ns), kind.value, _utf8(reason), time.time())
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?)", row)

    def forget_failure(self, path: Path) -> None:
        """Note that a file which had failed is well now."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM failures WHERE path = ?", (_key(path),))

    def failures(self) -> list[Failure]:
        """Every file that failed when it was last dealt with, by path."""
        rows = self._rows("SELECT path, size, mtime_ns, kind, reason, happened FROM failures ORDER BY path")
        return [Failure(Path(os.fsdecode(row[0])), row[1], row[2], FailureKind(row[3]), *row[4:]) for row in rows]

    # SQLite

    def _row(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        with explained(self.path):
            row: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
        return row

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with explained(self.path):
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with explained(self.path), transaction(self._connection):
            yield self._connection


def default_path() -> Path:
    """Where the catalog lies: the environment's MTAG_CATALOG, else `catalog.db` in the user's data folder."""
    chosen = os.environ.get("MTAG_CATALOG")
    if chosen:
        return Path(chosen)
    from platformdirs import user_data_path

    return user_data_path("mtag", appauthor=False) / "catalog.db"


def _key(path: Path) -> bytes:
    """A path as the tables know it: absolute, in the file system's bytes."""
    return os.fsencode(os.path.abspath(path))


def _state(stat: os.stat_result) -> tuple[int, int, int, int]:
    """Size, modification time, device and inode of a file, as SQLite can hold them."""
    return stat.st_size, _signed(stat.st_mtime_ns), _signed(stat.st_dev), _signed(stat.st_ino)


def _signed(number: int) -> int:
    """The low 64 bits, as the signed integer that SQLite stores; inodes and far-off times may need all of them."""
    low = number & (2**64 - 1)
    return low - 2**64 if low >= 2**63 else low


def _utf8(text: str) -> str:
    """Text that SQLite can store: names in it need not be UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
