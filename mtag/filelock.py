"""A file as a lock between processes: held until it is closed or its process ends, however that comes about."""

from __future__ import annotations

import errno
import sys
import time
from pathlib import Path
from typing import BinaryIO

POLL_SECONDS = 0.1
HELD = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)  # what a system says of a file that somebody has locked


def open_lock(path: Path, mode: str) -> BinaryIO:
    """Open a file to lock it; one that another user has left, for reading, which is enough on most file systems."""
    try:
        return path.open(mode)  # type: ignore[return-value]
    except PermissionError:
        return path.open("rb")


def lock(file: BinaryIO, *, wait: bool = False) -> bool | None:
    """Lock an open file against other processes.

    Parameters
    ----------
    file
        Open for writing. On Windows nobody else can read its first byte meanwhile.
    wait
        Wait for whoever has it.

    Returns
    -------
    Whether it is ours now, False where somebody else has it; None where its file system knows no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        while True:
            file.seek(0)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except OSError as error:
                if error.errno not in HELD:
                    return None
                if not wait:
                    return False
                time.sleep(POLL_SECONDS)
            else:
                return True
    import fcntl

    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return False if error.errno in HELD else None
    return True
