"""Whether another program has a file open for writing: what it writes would be lost once the file is replaced."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

# Numbers of file systems (statfs(2)) that refuse a lease for one reason alone, that somebody writes. NFS and SMB do so
# also for want of a promise from their server.
LOCAL = frozenset(
    {0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0xCA451A4E, 0x2FC12FC1}  # ext, XFS, Btrfs, F2FS, bcachefs, ZFS
    | {0x4D44, 0x2011BAB0, 0x7366746E, 0x01021994, 0x794C7630}  # FAT, exFAT, NTFS, tmpfs, overlay
)


def is_open_for_writing(path: Path) -> bool:
    """Whether a program has a file open for writing, as far as it can be told: on Linux, of one's own files.

    The kernel gives no lease for reading on such a file (fcntl(2)).
    """
    if sys.platform != "linux":
        return False
    import fcntl
    import signal

    with suppress(OSError), path.open("rb") as file:
        if _file_system(file) not in LOCAL:
            return False
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # to be told of who opens it; the usual signal would end mtag
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _file_system(file: BinaryIO) -> int:
    """The number of the file system's kind, the first word of what fstatfs gives; 0 where it cannot be asked."""
    answer = ctypes.create_string_buffer(512)
    with suppress(AttributeError):
        if ctypes.CDLL(None).fstatfs(file.fileno(), answer) == 0:
            return ctypes.c_long.from_buffer(answer).value & 0xFFFFFFFF
    return 0
