"""The file a catalog lies in: its tables, opening it, and moving an unusable one out of the way."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mtag.errors import CatalogError

APPLICATION_ID = 0x6D746167  # "mtag", in the file's header: tells a catalog from any other file
BUSY_SECONDS = 30.0  # how long to wait for another process's write

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
)
SCHEMA_VERSION = len(_MIGRATIONS)  # SQLite's user_version


class UnusableError(CatalogError):
    """A catalog that has to give way to a fresh one.

    Attributes
    ----------
    word
        Stands in the name it is given: corrupt or newer.
    """

    def __init__(self, word: str, sentence: str) -> None:
        """Keep the parts; the sentence is the predicate to "the catalog"."""
        super().__init__(sentence)
        self.word = word


def connect(path: Path) -> sqlite3.Connection:
    """Open a catalog, begin an empty one, or bring an older one to the present format.

    Raises
    ------
    UnusableError
        Where the file is damaged or in a newer format.
    sqlite3.OperationalError
        Where it cannot be opened or written.
    """
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise UnusableError("corrupt", "was damaged")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection)
        # Only now: the application id must reach the file itself, not just the log beside it.
        _write_ahead(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        # The subclasses tell of locks, full disks and permissions; a damaged file is the class itself.
        if type(error) is sqlite3.DatabaseError:
            raise UnusableError("corrupt", "was damaged") from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    if _version(connection) == SCHEMA_VERSION:
        return
    with transaction(connection):
        version = _version(connection)  # another process may have been faster
        if version > SCHEMA_VERSION:
            raise UnusableError("newer", "was made by a newer mtag")
        for statements in _MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers and a writer work side by side where the file system can do it."""
    # Another process that is opening the file may hold it for a moment: then that one makes the switch.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the body's statements, or none of them."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the troubles of SQLite and the file system into one sentence."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise CatalogError(f"the catalog {path} cannot be used ({error})") from error


def is_foreign(path: Path) -> bool:
    """Whether a file holds something other than a catalog; a missing or an empty file does not."""
    try:
        with path.open("rb") as file:
            header = file.read(72)
    except OSError:
        return False  # opening the catalog gives the better sentence
    return bool(header) and header[68:72] != APPLICATION_ID.to_bytes(4, "big")


def move_aside(path: Path, error: UnusableError) -> str:
    """Rename a catalog together with its log; gives the sentence for the user."""
    number = 1
    while (aside := path.with_name(f"{path.name}.{error.word}-{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")
    return f"the catalog {error}; it lies at {aside} now and a fresh one was begun."
