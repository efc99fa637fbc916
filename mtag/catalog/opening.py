"""Opening the file a catalog lies in, whatever state it is in, and putting a damaged one aside.

A damaged catalog first becomes `NAME.damaged`, and `NAME.corrupt-N` once what can be read of it has been saved. The
fresh catalog gets its tables and those rows in one transaction: a kill, or a full disk, leaves a file without tables
and `NAME.damaged` beside it, and whoever opens that next saves what can be saved.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from mtag.catalog.runlocks import is_held, lock_path, runs_with_locks
from mtag.catalog.salvage import salvage
from mtag.catalog.schema import APPLICATION_ID, BUSY_SECONDS, SCHEMA_VERSION, migrate, transaction, version_of
from mtag.errors import CatalogError
from mtag.filelock import lock, open_lock

CORRUPT, OLDER = "corrupt", "older"  # what a catalog that was put aside is called
LOGS = ("-wal", "-shm")  # what SQLite may keep beside a file

Opened = tuple[sqlite3.Connection, str | None]  # and a sentence for the user where something had to be done


class DamagedError(CatalogError):
    """A catalog that has to give way to a fresh one."""


def open_file(path: Path, *, is_named: bool) -> Opened:
    """Open a catalog, begin one, or bring an older one to the present format; a damaged one gives way.

    Parameters
    ----------
    path
        The file, without symbolic links in it: what is locked or lies beside it must be the same for everybody.
    is_named
        Whether somebody chose the file, who may have mistaken another one for a catalog.

    Raises
    ------
    CatalogError
        It is no catalog, was made by a newer mtag, or is damaged and in use.
    OSError, sqlite3.Error
        It cannot be opened or written.
    """
    # While somebody looks at a damaged file nobody may put it aside: SQLite deletes logs by their names in the end.
    if path.exists() and not path.is_file():
        raise CatalogError(f"the catalog {path} cannot be used (it is no regular file)")
    with _alone(path):
        if is_named and _is_foreign(path):
            raise CatalogError(f"{path} is not a catalog of mtag; choose another file")
        return _open_or_mend(path)


def is_begun(path: Path) -> bool:
    """Whether there is a catalog, be it one that waits for what can be read of it to be saved."""
    return path.exists() or _waiting(path).exists()


def _is_foreign(path: Path) -> bool:
    """Whether a file holds something other than a catalog; a missing or an empty file does not."""
    header = _header(path)
    is_unborn = _waiting(path).exists() and not any(header)
    return bool(header) and not is_unborn and header[68:72] != APPLICATION_ID.to_bytes(4, "big")


def _header(path: Path) -> bytes:
    with suppress(FileNotFoundError), path.open("rb") as file:
        return file.read(72)
    return b""


def _connect(path: Path) -> Opened:
    """Open a file that is whole, or begin one (DamagedError)."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    # One damaged letter is to cost its own row only: whoever reads that finds that it makes no sense.
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    try:
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise DamagedError(f"the catalog {path} is damaged")
        connection.execute("PRAGMA foreign_keys = ON")
        notice = _bring_up_to_date(path, connection)
        # Only now: the application id must reach the file itself, not just the log beside it.
        _write_ahead(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        # The subclasses tell of locks, full disks and permissions; a damaged file is the class itself.
        if type(error) is sqlite3.DatabaseError:
            raise DamagedError(f"the catalog {path} is damaged") from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection, notice


def _bring_up_to_date(path: Path, connection: sqlite3.Connection) -> str | None:
    if version_of(connection) == SCHEMA_VERSION:
        return None
    notice = None
    with transaction(connection):
        version = version_of(connection)  # another process may have been faster
        if version > SCHEMA_VERSION:
            formats = f"its format is {version}, and this one knows {SCHEMA_VERSION}"
            raise CatalogError(
                f"the catalog {path} was made by a newer mtag ({formats}): update mtag, or name another file"
            )
        if 0 < version < SCHEMA_VERSION:
            notice = _back_up(path)
        migrate(connection)
        if version == 0 and _waiting(path).exists():
            saved = salvage(_waiting(path), connection)
            notice = f"with what could be read of it: {saved['tracks']:,} tracks and {saved['changes']:,} changes"
    return notice


def _back_up(path: Path) -> str:
    """Copy an older catalog as it is; gives the sentence for the user."""
    aside = _free_name(path, OLDER)
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(aside)) as target:
            source.backup(target)
    except BaseException:
        for name in (aside, Path(f"{aside}-journal")):
            name.unlink(missing_ok=True)
        raise
    return f"the catalog was upgraded to the format of this mtag; the old one is kept at {aside}."


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers and a writer work side by side where the file system can do it."""
    # Another process that is opening the file may hold it for a moment: then that one makes the switch.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _open_or_mend(path: Path) -> Opened:
    """Open a catalog, even one that is damaged, or was being put aside when a process was killed."""
    waiting = _waiting(path)
    if waiting.exists() and not any(_header(path)):  # a rescue was cut off before its transaction reached the file
        for suffix in ("", "-journal"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        _rename(path, waiting)  # its logs, which may not have followed it yet
    try:
        connection, notice = _connect(path)
    except DamagedError:
        if any(is_held(lock_path(path, run)) for run in runs_with_locks(path)):
            raise CatalogError(f"the catalog {path} is damaged, and another mtag is at work with it") from None
        if waiting.exists():  # one from before, which was read already
            _rename(waiting, _free_name(path, CORRUPT))
        _rename(path, waiting)
        connection, notice = _connect(path)
    if waiting.exists():
        aside = _rename(waiting, _free_name(path, CORRUPT))
        saved = f", {notice}" if notice else ""
        notice = f"the catalog was damaged; it was moved to {aside} and a fresh one was begun{saved}."
    return connection, notice


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Be the only process that opens a catalog at this moment."""
    place = path.with_name(f"{path.name}-lock")
    while True:
        with open_lock(place, "ab") as file:
            lock(file, wait=True)
            if os.fstat(file.fileno()).st_nlink:
                try:
                    yield
                finally:
                    with suppress(OSError):  # Windows deletes no file that is open, and it may stay
                        place.unlink()
                return
            # Another process had it and has deleted it, so that it is no lock any more.


def _waiting(path: Path) -> Path:
    """Where a damaged catalog lies until what can be read of it has been saved."""
    return path.with_name(f"{path.name}.damaged")


def _rename(path: Path, other: Path) -> Path:
    """Rename a catalog and then its logs, as far as they are there; gives the new name."""
    for suffix in ("", *LOGS):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{other}{suffix}")
    return other


def _free_name(path: Path, word: str) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.{word}-{number}")).exists():
        number += 1
    return aside
