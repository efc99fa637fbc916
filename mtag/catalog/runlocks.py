"""Files beside a catalog that its runs keep locked as long as they live, `NAME-run-N`."""

from __future__ import annotations

import os
from pathlib import Path

from mtag.filelock import lock, open_lock

INFIX = "-run-"


def lock_path(catalog: Path, run: int | str) -> Path:
    """Where the lock of a run lies."""
    return catalog.with_name(f"{catalog.name}{INFIX}{run}")


def is_held(place: Path) -> bool:
    """Whether the process that locked a file is alive; where that cannot be told, it may be."""
    try:
        with open_lock(place, "rb+") as file:
            return not lock(file)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def runs_with_locks(catalog: Path) -> set[str]:
    """Numbers of the runs that have a lock, alive or not.

    Raises
    ------
    OSError
        The folder cannot be read.
    """
    prefix = f"{catalog.name}{INFIX}"
    return {name.removeprefix(prefix) for name in os.listdir(catalog.parent) if name.startswith(prefix)}
