"""What undoing a run and stripping files have in common."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from mtag.errors import SkippedError
from mtag.hearing import failure_of
from mtag.release import version
from mtag.results import Restored, Status
from mtag.tagfile import Field, HardLinkedError, HardLinks, Mtime


@dataclass(frozen=True)
class RestoreOptions:
    """How files are to be restored to what they said before."""

    write: bool = True  # else say only what would be written
    mtime: Mtime = Mtime.NOW  # the time stamp a written file gets
    hardlinks: HardLinks = HardLinks.SKIP  # what is done with a file that has several names
    arguments: str = ""  # how it was asked for, for the catalog's list of runs
    version: str = field(default_factory=version)  # of mtag, likewise


def guarded(path: Path, deal: Callable[[], Restored]) -> Restored:
    """Deal with a file; whatever goes wrong is its result."""
    try:
        return deal()
    except Exception as error:
        failure = failure_of(path, error)
        is_skipped = isinstance(failure, (HardLinkedError, SkippedError))
        return Restored(path, Status.SKIPPED if is_skipped else Status.FAILED, error=failure)


def refuse_if_linked(path: Path, stat: os.stat_result, options: RestoreOptions) -> None:
    """Promise in a preview what writing does with a file of several names."""
    if stat.st_nlink > 1 and options.hardlinks is HardLinks.SKIP:
        raise HardLinkedError(path, stat.st_nlink)


def sorted_fields(fields: Collection[Field]) -> tuple[Field, ...]:
    """Fields as they are told: the one that only mtag reads comes last."""
    return tuple(field for field in Field if field in fields)
