"""The catalog's tables, and how an older format becomes the present one."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

BUSY_SECONDS = 600.0  # how long to wait for another process's write
STEP_SECONDS = 0.5  # of it at a time
APPLICATION_ID = 0x6D746167  # "mtag", in the file's header: tells a catalog from any other file

_MIGRATIONS = (
    (
        """CREATE TABLE tracks (
            id INTEGER PRIMARY KEY,
            path BLOB NOT NULL UNIQUE,
            size INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL,
            device INTEGER NOT NULL,
            inode INTEGER NOT NULL,
            duration REAL NOT NULL,
            windows INTEGER NOT NULL
        )""",
        """CREATE TABLE scores (
            track INTEGER NOT NULL REFERENCES tracks (id) ON DELETE CASCADE,
            fingerprint TEXT NOT NULL,
            scores BLOB NOT NULL,
            PRIMARY KEY (track, fingerprint)
        ) WITHOUT ROWID""",
        """CREATE TABLE runs (
            id INTEGER PRIMARY KEY,
            started REAL NOT NULL,
            finished REAL,
            arguments TEXT NOT NULL,
            version TEXT NOT NULL
        )""",
        """CREATE TABLE changes (
            id INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES runs (id),
            path BLOB NOT NULL,
            before TEXT NOT NULL,
            after TEXT,
            state TEXT NOT NULL CHECK (state IN ('pending', 'done'))
        )""",
        "CREATE INDEX changes_of_run ON changes (run)",
        """CREATE TABLE failures (
            path BLOB PRIMARY KEY,
            size INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL,
            kind TEXT NOT NULL,
            reason TEXT NOT NULL,
            happened REAL NOT NULL
        ) WITHOUT ROWID""",
        f"PRAGMA application_id = {APPLICATION_ID}",
    ),
    (
        """CREATE TABLE models (
            fingerprint TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            tags TEXT NOT NULL
        ) WITHOUT ROWID""",
        "ALTER TABLE tracks ADD COLUMN digest BLOB",  # of a few sampled blocks
        "CREATE INDEX tracks_by_state ON tracks (size, mtime_ns)",
        """CREATE TABLE outcomes (
            track INTEGER PRIMARY KEY REFERENCES tracks (id) ON DELETE CASCADE,
            inode INTEGER NOT NULL,
            ctime_ns INTEGER NOT NULL,
            options TEXT NOT NULL,
            outcome TEXT NOT NULL
        )""",
        "ALTER TABLE runs ADD COLUMN command TEXT NOT NULL DEFAULT 'scan'",
        "ALTER TABLE changes ADD COLUMN track INTEGER REFERENCES tracks (id) ON DELETE SET NULL",
        "UPDATE changes SET track = (SELECT id FROM tracks WHERE tracks.path = changes.path)",
        "CREATE INDEX changes_of_track ON changes (track)",
        "CREATE INDEX pending_changes ON changes (path) WHERE state = 'pending'",
    ),
    (
        "ALTER TABLE tracks ADD COLUMN sound TEXT",  # digest of the audio's packets
        "CREATE INDEX tracks_by_sound ON tracks (sound)",
    ),
)
SCHEMA_VERSION = len(_MIGRATIONS)  # SQLite's user_version


def version_of(connection: sqlite3.Connection) -> int:
    """The format of a catalog, 0 of an empty file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection) -> None:
    """Bring an empty file or an older format to the present one; to be called inside a transaction."""
    for statements in _MIGRATIONS[version_of(connection) :]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _begin(connection: sqlite3.Connection) -> None:
    """Begin to write once no other process does; in steps, as Python hears no Ctrl-C while SQLite waits."""
    deadline = time.monotonic() + BUSY_SECONDS
    connection.execute(f"PRAGMA busy_timeout = {STEP_SECONDS * 1000:.0f}")
    try:
        while not _has_begun(connection, deadline):
            pass
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")


def _has_begun(connection: sqlite3.Connection, deadline: float) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error) or time.monotonic() > deadline:
            raise
        return False
    return True


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the body's statements, or none of them."""
    _begin(connection)
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
