"""Changes to files, each with its before-values in the catalog first, so that it can be undone."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from mtag.atomic import is_same, remove_litter
from mtag.catalog import Catalog
from mtag.errors import CatalogError, FailureKind, FileError
from mtag.sameness import sampled_digest
from mtag.tagfile import Announce, Snapshot


class ChangedError(FileError):
    """A file is not what it was when it was looked at: another program, or another mtag, is at work on it."""

    def __init__(self, path: Path, reason: str = "was changed by another program meanwhile") -> None:
        """Keep the path; the reason tells when it was changed."""
        super().__init__(path, FailureKind.PERMISSION, reason)


class Recorder:
    """One run that changes files, a context manager; it enters the catalog with its first change.

    Parameters
    ----------
    catalog
        None, and nothing is recorded.
    command, arguments, version
        What the catalog's list of runs tells.
    """

    def __init__(self, catalog: Catalog | None, command: str, arguments: str, version: str) -> None:
        self.catalog = catalog
        self.run: int | None = None  # its number, from the first change on
        self._told = arguments, version, command
        self._tidied: set[Path] = set()  # folders without litter of killed runs

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
        elif isinstance(error, GeneratorExit):  # nobody takes the other results
            with suppress(CatalogError):  # the catalog may have been closed before
                self._finish()

    def _finish(self) -> None:
        """Note that the run has come to its end."""
        if self.catalog and self.run is not None:
            self.catalog.finish_run(self.run)

    def tidy(self, path: Path) -> None:
        """Clear away what a killed run may have left beside a file, and mend what it left half-written."""
        folder = Path(os.path.realpath(path)).parent
        if folder not in self._tidied:
            self._tidied.add(folder)
            with suppress(FileError):  # a folder that may be written need not be readable
                remove_litter(folder)

    def change(self, path: Path, stat: os.stat_result, write: Callable[[Announce], bool]) -> bool:
        """Change a file.

        Parameters
        ----------
        path, stat
            The file, and its state when it was decided what to write.
        write
            Does the work, and tells whether anything had to be written. It has to call its argument right before the
            file changes.

        Raises
        ------
        ChangedError
            Where the file is not what it was, or another mtag is changing it. Nothing was written.
        FileError
            As `write`.
        """
        if not is_same(stat, os.stat(path)):
            raise ChangedError(path, "was changed by another program after it had been looked at")
        self.tidy(path)
        change: int | None = None

        def announce(before: Snapshot, after: Snapshot) -> None:
            nonlocal change
            change = self._record(path, before, after)
            # From here on no other mtag touches the file, but one may have been faster.
            if not _is_still(path, stat):
                raise ChangedError(path)

        try:
            written = write(announce)
        except BaseException as error:
            # If the file is no more what it was, what stays pending is settled by the next run.
            if _is_still(path, stat) or isinstance(error, ChangedError):
                self._drop(change)
            elif change is None and isinstance(error, FileError):
                raise ChangedError(path) from error
            raise
        if self.catalog and change is not None:
            self.catalog.confirm_change(change, os.stat(path), sampled_digest(path))
        return written

    def _record(self, path: Path, before: Snapshot, after: Snapshot) -> int | None:
        if self.catalog is None:
            return None
        if self.run is None:
            self.run = self.catalog.begin_run(*self._told)
        change = self.catalog.record_change(self.run, path, before.to_json(), after.to_json())
        if change is None:
            raise ChangedError(path, "is being changed by another mtag")
        return change

    def _drop(self, change: int | None) -> None:
        if self.catalog and change is not None:
            self.catalog.drop_change(change)


def _is_still(path: Path, stat: os.stat_result) -> bool:
    with suppress(OSError):
        return is_same(stat, os.stat(path))
    return False
