"""What can still be read of a damaged catalog: above all the before-values, which nobody could make again."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np

from mtag.catalogfile import APPLICATION_ID, SCHEMA_VERSION, transaction

TABLES = ("models", "tracks", "scores", "runs", "changes", "failures")  # those that others refer to come first

Row = dict[str, Any]


def salvage(damaged: Path, target: sqlite3.Connection) -> dict[str, int]:
    """Copy the rows that can be read into a fresh catalog.

    Parameters
    ----------
    damaged
        The damaged file; it and its log stay as they are.
    target
        The fresh catalog.

    Returns
    -------
    Number of rows by table.
    """
    saved = dict.fromkeys(TABLES, 0)
    with tempfile.TemporaryDirectory(prefix="mtag-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / "catalog.db"
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{damaged}{suffix}", f"{copy}{suffix}")
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(copy)) as source, transaction(target):
            source.row_factory = sqlite3.Row
            if _is_catalog(source):
                for table in TABLES:
                    saved[table] = _copy_rows(table, source, target)
    return saved


def _is_catalog(source: sqlite3.Connection) -> bool:
    (application,) = source.execute("PRAGMA application_id").fetchone()
    (version,) = source.execute("PRAGMA user_version").fetchone()
    return bool(application == APPLICATION_ID and 0 < version <= SCHEMA_VERSION)


def _copy_rows(table: str, source: sqlite3.Connection, target: sqlite3.Connection) -> int:
    columns = {row[1] for row in target.execute(f"PRAGMA table_info({table})")}
    n_before = target.total_changes
    for row in _readable(table, source):
        kept = {name: value for name, value in row.items() if name in columns}
        names, marks = ", ".join(kept), ", ".join("?" * len(kept))
        if _makes_sense(row):
            with suppress(sqlite3.IntegrityError):
                target.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", tuple(kept.values()))
    return target.total_changes - n_before


def _readable(table: str, source: sqlite3.Connection) -> Iterator[Row]:
    """The rows before the damage, and those behind it."""
    for order in ("ASC", "DESC"):
        try:
            for row in source.execute(f"SELECT * FROM {table} ORDER BY 1 {order}"):
                yield dict(row)
        except sqlite3.DatabaseError:
            continue
        return


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
