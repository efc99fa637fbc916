"""An open catalog file: how its tables are asked, and how they spell paths, times and names."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtag.catalog.schema import transaction
from mtag.errors import CatalogError


class Store:
    """An open catalog file, and the few ways in which its tables are asked."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        with explained(path):
            self._file = os.stat(path)

    def close(self) -> None:
        """Close the file; committed rows stay."""
        with explained(self.path):
            self._connection.close()

    def _refuse_if_gone(self) -> None:
        """Refuse to go on in a file that nobody would look into afterwards."""
        try:
            is_there = os.path.samestat(os.stat(self.path), self._file)
        except OSError:
            is_there = False
        if not is_there:
            raise CatalogError(f"the catalog {self.path} was moved or deleted while it was in use")

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


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the troubles of SQLite and the file system into one sentence."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise CatalogError(f"the catalog {path} cannot be used ({error})") from error


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
