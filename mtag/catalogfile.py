"""The file a catalog lies in: its tables, opening it, and moving an unusable one out of the way."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from mtag.errors import CatalogError

APPLICATION_ID = 0x6D746167  # "mtag", in the file's header: tells a catalog from any other file
CORRUPT, NEWER, OLDER = "corrupt", "newer", "older"  # what a catalog that was put aside is called
BUSY_SECONDS = 600.0  # how long to wait for another process's write

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


class Store:
    """An open catalog file, and the few ways in which its tables are asked."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def close(self) -> None:
        """Close the file; committed rows stay."""
        with explained(self.path):
            self._connection.close()

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


def connect(path: Path) -> tuple[sqlite3.Connection, str | None]:
    """Open a catalog, begin an empty one, or bring an older one to the present format.

    Returns
    -------
    The connection, and a sentence for the user where an older catalog was changed.

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
            raise UnusableError(CORRUPT, "was damaged")
        connection.execute("PRAGMA foreign_keys = ON")
        notice = _migrate(path, connection)
        # Only now: the application id must reach the file itself, not just the log beside it.
        _write_ahead(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        # The subclasses tell of locks, full disks and permissions; a damaged file is the class itself.
        if type(error) is sqlite3.DatabaseError:
            raise UnusableError(CORRUPT, "was damaged") from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection, notice


def _migrate(path: Path, connection: sqlite3.Connection) -> str | None:
    if _version(connection) == SCHEMA_VERSION:
        return None
    notice = None
    with transaction(connection):
        version = _version(connection)  # another process may have been faster
        if version > SCHEMA_VERSION:
            raise UnusableError(NEWER, "was made by a newer mtag")
        if 0 < version < SCHEMA_VERSION:
            notice = _back_up(path)
        for statements in _MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return notice


def _back_up(path: Path) -> str:
    """Copy an older catalog as it is; gives the sentence for the user."""
    aside = _free_name(path, OLDER)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(aside)) as target:
        source.backup(target)
    return f"the catalog was brought to the format of this mtag; as it was it lies at {aside}."


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


def move_aside(path: Path, word: str) -> Path:
    """Rename a catalog together with its log; gives its new name."""
    aside = _free_name(path, word)
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")
    return aside


def _free_name(path: Path, word: str) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.{word}-{number}")).exists():
        number += 1
    return aside


def path_key(path: Path) -> bytes:
    """A path as the tables know it: absolute, in the file system's bytes."""
    return os.fsencode(os.path.abspath(path))


def path_of(key: bytes) -> Path:
    """The path behind a key."""
    return Path(os.fsdecode(key))


def state_of(stat: os.stat_result) -> tuple[int, int, int, int]:
    """Size, modification time, device and inode of a file, as SQLite can hold them."""
    return stat.st_size, signed(stat.st_mtime_ns), signed(stat.st_dev), signed(stat.st_ino)


def signed(number: int) -> int:
    """The low 64 bits, as the signed integer that SQLite stores; inodes and far-off times may need all of them."""
    low = number & (2**64 - 1)
    return low - 2**64 if low >= 2**63 else low


def utf8(text: str) -> str:
    """Text that SQLite can store: names in it need not be UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
