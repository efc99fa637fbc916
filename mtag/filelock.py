"""A file as a lock between processes: held until it is closed or its process ends, however that comes about."""

from __future__ import annotations

import sys
import time
from typing import BinaryIO

POLL_SECONDS = 0.1


def lock(file: BinaryIO, *, wait: bool = False) -> bool:
    """Lock an open file against other processes.

    Parameters
    ----------
    file
        Open for writing. On Windows nobody else can read its first byte meanwhile.
    wait
        Wait for whoever has it.

    Returns
    -------
    Whether it is ours now: not where somebody else has it, or its file system knows no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        while True:
            file.seek(0)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except OSError:
                if not wait:
                    return False
                time.sleep(POLL_SECONDS)
            else:
                return True
    import fcntl

    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True
