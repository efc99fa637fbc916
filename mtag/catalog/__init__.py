"""What mtag remembers between runs, in one SQLite file.

Scores and outcomes are in `scores`, runs and changes in `runs`; failures and upkeep are here. Every row is committed
as it comes, so a kill loses at most the file in hand; several processes may use one catalog at once. The thread that
opens a catalog owns it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mtag.catalog.opening import is_begun, open_file
from mtag.catalog.runs import Change, Run, Runs
from mtag.catalog.scores import Heard, Models, Scores, heard_of
from mtag.catalog.store import explained, path_key, path_of, signed, utf8
from mtag.errors import FailureKind

__all__ = ["Catalog", "Change", "Failure", "Info", "Run", "Track", "default_path", "has_content", "is_begun"]

VARIABLE = "MTAG_CATALOG"  # of the environment, names the file
KINDS = {kind.value for kind in FailureKind}


@dataclass(frozen=True)
class Failure:
    """A file that could not be dealt with, as it was then."""

    path: Path
    size: int  # bytes
    mtime_ns: int
    kind: FailureKind
    reason: str
    happened: float  # Unix time

    def is_of(self, stat: os.stat_result) -> bool:
        """Whether the file is still the one that failed."""
        return (self.size, self.mtime_ns) == (stat.st_size, signed(stat.st_mtime_ns))


@dataclass(frozen=True)
class Track:
    """A track as it is exported."""

    path: Path
    heard: Heard
    fingerprint: str  # of the models that gave the scores
    models: Models | None  # None where the scores are older than the catalog's knowledge of models


@dataclass(frozen=True)
class Info:
    """A catalog in numbers."""

    n_bytes: int  # on disk
    n_tracks: int
    n_scores: dict[str, int]  # tracks by the models that heard them: a combination's name, else a fingerprint
    n_runs: int
    n_changes: int
    n_failures: int


class Catalog(Runs, Scores):
    """An open catalog; use `Catalog.open`, as a context manager.

    Attributes
    ----------
    path
        The SQLite file.
    notice
        One sentence for the user where a damaged or an older catalog was dealt with on opening, else None.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, notice: str | None = None) -> None:
        super().__init__(path, connection)
        self.notice = notice

    @classmethod
    def open(cls, path: Path | None = None) -> Catalog:
        """Open a catalog, or begin one.

        A damaged catalog is moved aside to `NAME.corrupt-N` and a fresh one is begun with what can be read of it; one
        in an older format is copied to `NAME.older-N` and brought to the present one. `notice` says so.

        Parameters
        ----------
        path
            The file; by default the environment's MTAG_CATALOG, else `catalog.db` in the user's data folder.

        Raises
        ------
        CatalogError
            Where the file cannot be opened or written, is of a newer mtag, or `path` or MTAG_CATALOG names one that is
            no catalog.
        """
        place = Path(os.path.realpath(path or default_path()))
        with explained(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            connection, notice = open_file(place, is_named=bool(path or os.environ.get(VARIABLE)))
        return cls(place, connection, notice)

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Failures

    def record_failure(self, path: Path, stat: os.stat_result, kind: FailureKind, reason: str) -> None:
        """Keep why a file could not be dealt with; a later failure of the same file takes its place."""
        row = (path_key(path), stat.st_size, signed(stat.st_mtime_ns), kind.value, utf8(reason), time.time())
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?)", row)

    def forget_failure(self, path: Path) -> None:
        """Note that a file which had failed is well now."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM failures WHERE path = ?", (path_key(path),))

    def failures(self, under: Path | None = None) -> list[Failure]:
        """Every file that failed when it was last dealt with, by path; only those under a path, if one is given."""
        where, values = _under(under)
        rows = self._rows(
            f"SELECT path, size, mtime_ns, kind, reason, happened FROM failures WHERE {where} ORDER BY path", values
        )
        # Another kind is damage, and its file is dealt with as if it had not failed yet.
        return [
            Failure(path_of(path), size, mtime_ns, FailureKind(kind), *rest)
            for path, size, mtime_ns, kind, *rest in rows
            if kind in KINDS
        ]

    def forget_failures(self, under: Path | None = None) -> int:
        """Forget the failures of files under a path, or all; gives their number."""
        where, values = _under(under)
        with self._transaction() as connection:
            return connection.execute(f"DELETE FROM failures WHERE {where}", values).rowcount

    # Upkeep

    def info(self) -> Info:
        """Count what the catalog holds."""
        tables = ("tracks", "runs", "changes", "failures")
        tracks, runs, changes, failures = (self._rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables)
        scores = dict(
            self._rows(
                "SELECT coalesce(name, scores.fingerprint) AS who, count(*) FROM scores LEFT JOIN models"
                " ON models.fingerprint = scores.fingerprint GROUP BY who ORDER BY who"
            )
        )
        return Info(self.n_bytes(), tracks, scores, runs, changes, failures)

    def n_bytes(self) -> int:
        """Bytes that the file and its log take on disk."""
        with explained(self.path):
            files = [self.path, self.path.with_name(f"{self.path.name}-wal")]
            return sum(file.stat().st_size for file in files if file.exists())

    def vacuum(self) -> None:
        """Give the space of forgotten rows back to the system."""
        self._row("VACUUM")
        self._row("PRAGMA wal_checkpoint(TRUNCATE)")

    def forget(self, under: Path) -> int:
        """Forget what was heard in the files under a path, and their failures; gives the number of tracks.

        Before-values stay: runs can still be undone.
        """
        where, values = _under(under)
        with self._transaction() as connection:
            connection.execute(f"DELETE FROM failures WHERE {where}", values)
            return connection.execute(f"DELETE FROM tracks WHERE {where}", values).rowcount

    def prune(self, under: Path) -> int:
        """Forget what was heard in files that are not under a path any more; gives the number of tracks.

        Nothing is forgotten where the path itself is not there or an empty folder: its disk may be away.
        """
        if not has_content(under):
            return 0
        where, values = _under(under)
        paths = " UNION ".join(f"SELECT path FROM {table} WHERE {where}" for table in ("tracks", "failures"))
        rows = self._rows(paths, values * 2)
        gone = [key for key in rows if not os.path.lexists(path_of(key[0]))]
        with self._transaction() as connection:
            connection.executemany("DELETE FROM failures WHERE path = ?", gone)
            return connection.executemany("DELETE FROM tracks WHERE path = ?", gone).rowcount

    def tracks(self, under: Path | None = None) -> Iterator[Track]:
        """Every track with its scores, by path; one for each of the models that heard it."""
        where, values = _under(under)
        with explained(self.path):
            rows = self._connection.execute(
                "SELECT path, scores.fingerprint, name, tags, scores, duration, windows FROM tracks"
                " JOIN scores ON track = id LEFT JOIN models ON models.fingerprint = scores.fingerprint"
                f" WHERE {where} ORDER BY path, scores.fingerprint",
                values,
            )
            for path, fingerprint, name, tags, *heard in rows:
                models = Models(name, tuple(json.loads(tags))) if name else None
                yield Track(path_of(path), heard_of(*heard), fingerprint, models)


def default_path() -> Path:
    """Where the catalog lies: the environment's MTAG_CATALOG, else `catalog.db` in the user's data folder."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    from platformdirs import user_data_path

    return user_data_path("mtag", appauthor=False) / "catalog.db"


def has_content(folder: Path) -> bool:
    """Whether a folder is there and not empty, as that in the place of a disk that is away would be."""
    try:
        with os.scandir(folder) as entries:
            return any(entries)
    except OSError:
        return False


def _under(path: Path | None) -> tuple[str, tuple[bytes, ...]]:
    """A condition for the rows of a path and everything below it, and its values."""
    if path is None:
        return "1", ()
    key = path_key(path)
    separator = os.fsencode(os.sep)
    folder = key if key.endswith(separator) else key + separator
    return "(path = ? OR (path >= ? AND path < ?))", (key, folder, folder[:-1] + bytes([folder[-1] + 1]))
