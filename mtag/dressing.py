"""What a copy takes over from its original besides the content: owner, permissions, attributes, access list, times."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from enum import Enum
from pathlib import Path

from mtag.errors import FailureKind, FileError

BUMP_NS = 2_000_000_000  # enough for file systems that count in steps of two seconds


class Mtime(str, Enum):
    """The time stamp a changed file gets."""

    NOW = "now"
    KEEP = "keep"  # as if nothing had happened
    BUMP = "bump"  # two seconds later: noticed by servers' quick scans, the order of files stays


def dress(real: Path, copy: Path, stat: os.stat_result) -> None:
    """Give the copy the original's owner, permissions, attributes and access list."""
    if sys.platform != "win32":
        for uid, gid in ((stat.st_uid, stat.st_gid), (-1, stat.st_gid)):
            with contextlib.suppress(OSError):
                os.chown(copy, uid, gid)
                break
    try:
        shutil.copystat(real, copy)
    except PermissionError:
        # FAT and the like, mounted by somebody else, give every file the same permissions, and let nobody set them.
        if not _is_dressed(real, copy):
            raise
    if sys.platform == "darwin":
        import ctypes

        access_list_and_attributes = 1 << 0 | 1 << 2  # copyfile(3)'s COPYFILE_ACL | COPYFILE_XATTR
        ctypes.CDLL(None).copyfile(os.fsencode(real), os.fsencode(copy), None, access_list_and_attributes)


def _is_dressed(real: Path, copy: Path) -> bool:
    return real.stat().st_mode == copy.stat().st_mode and _attributes(real) == _attributes(copy)


def _attributes(path: Path) -> list[str]:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # not every file system has them
            return sorted(os.listxattr(path))
    return []


def set_times(path: Path, copy: Path, times: tuple[int, int], mtime: Mtime) -> None:
    """Set the copy's times; the present one it has already, where none may be set."""
    try:
        os.utime(copy, ns=times)
    except PermissionError as error:
        if mtime is not Mtime.NOW:
            reason = f"was left as it is: time stamps cannot be set here ({error.strerror}); --mtime now needs none"
            raise FileError(path, FailureKind.PERMISSION, reason) from error


def mtime_ns(stat: os.stat_result, mtime: Mtime) -> int:
    """The time stamp that a file of some state gets, ns."""
    if mtime is Mtime.NOW:
        return time.time_ns()
    return stat.st_mtime_ns + (BUMP_NS if mtime is Mtime.BUMP else 0)
