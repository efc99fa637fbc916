"""What can still be read of a damaged catalog: above all the before-values, which nobody could make again."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from mtag.catalog.schema import APPLICATION_ID, SCHEMA_VERSION

TABLES = ("models", "tracks", "scores", "runs", "changes", "failures")  # those that others refer to come first
NUMBERED = {"tracks": "id", "scores": "track", "runs": "id", "changes": "id"}  # tables by the column that counts
ROW_BYTES = 32  # no row of theirs is smaller

Row = dict[str, Any]


def salvage(damaged: Path, target: sqlite3.Connection) -> dict[str, int]:
    """Copy the rows that can be read into a fresh catalog.

    Parameters
    ----------
    damaged
        The damaged file; it and its log stay as they are.
    target
        The fresh catalog, in a transaction.

    Returns
    -------
    Number of rows by table.

    Raises
    ------
    OSError, sqlite3.OperationalError
        Where there is no room for it.
    """
    saved = dict.fromkeys(TABLES, 0)
    with _copied(damaged) as copy, closing(sqlite3.connect(copy)) as source:
        source.row_factory = sqlite3.Row
        if _is_catalog(source):
            for table in TABLES:
                saved[table] = _copy_rows(table, source, target)
    return saved


@contextmanager
def _copied(damaged: Path) -> Iterator[Path]:
    """A copy of a file and its log: SQLite would work the log in on opening."""
    copy = damaged.with_name(f"{damaged.name}-copy")
    try:
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{damaged}{suffix}", f"{copy}{suffix}")
        yield copy
    finally:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{copy}{suffix}").unlink(missing_ok=True)


def _is_catalog(source: sqlite3.Connection) -> bool:
    try:
        (application,) = source.execute("PRAGMA application_id").fetchone()
        (version,) = source.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError:
        return False
    return bool(application == APPLICATION_ID and 0 < version <= SCHEMA_VERSION)


def _copy_rows(table: str, source: sqlite3.Connection, target: sqlite3.Connection) -> int:
    columns = {row[1] for row in target.execute(f"PRAGMA table_info({table})")}
    rows = ({name: value for name, value in row.items() if name in columns} for row in _readable(table, source))
    return sum(_insert(table, row, target) for row in rows if _makes_sense(row))


def _insert(table: str, row: Row, target: sqlite3.Connection) -> int:
    """Insert a row, if damage has not made it one that cannot be; gives the number of rows that came of it."""
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    try:
        if table == "changes":
            _give_run_and_track(row, target)
        return target.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", tuple(row.values())).rowcount
    except sqlite3.IntegrityError:
        return 0


def _give_run_and_track(change: Row, target: sqlite3.Connection) -> None:
    """Let a change refer to rows that are there: its run's may be lost, when it began is 0 then, or its track's."""
    target.execute(
        "INSERT OR IGNORE INTO runs (id, started, finished, arguments, version) VALUES (?, 0, 0, '{}', '')",
        (change["run"],),
    )
    track = change.get("track")
    if track is not None and not target.execute("SELECT 1 FROM tracks WHERE id = ?", (track,)).fetchone():
        change["track"] = None


def _readable(table: str, source: sqlite3.Connection) -> Iterator[Row]:
    """The rows before the first damage, those behind the last, and, where they are numbered, those between."""
    ends: list[Any] = [None, None]  # first column of the last row that was read from either side
    for end, order in enumerate(("ASC", "DESC")):
        try:
            for row in source.execute(f"SELECT * FROM {table} ORDER BY 1 {order}"):
                yield dict(row)
                ends[end] = row[0]
        except sqlite3.DatabaseError:
            continue
        return
    if key := NUMBERED.get(table):
        first, last = ends
        for number in range(first or 0, last or _most_rows(source)):
            with suppress(sqlite3.DatabaseError):
                yield from map(dict, source.execute(f"SELECT * FROM {table} WHERE {key} = ?", (number,)).fetchall())


def _most_rows(source: sqlite3.Connection) -> int:
    """How many rows a file could hold."""
    try:
        (n_pages,), (page_size,) = (source.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    except sqlite3.DatabaseError:  # the tables themselves are not known any more
        return 0
    return int(n_pages * page_size // ROW_BYTES)


def _makes_sense(row: Row) -> bool:
    """Whether damage has spared what a row says, as far as that can be told."""
    try:
        if "scores" in row:
            scores = np.frombuffer(row["scores"], "<f4")
            return bool(len(scores)) and bool(((scores >= 0) & (scores <= 1)).all())
        for name in ("before", "after"):
            if row.get(name) is not None:
                json.loads(row[name])
    except (TypeError, ValueError):
        return False
    return True
