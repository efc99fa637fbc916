"""A file's new content: the old one with patches, copied by the system as far as it can."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

CHUNK_BYTES = 1 << 20  # read and written at a time; longer stretches are left to the system to copy
FICLONE = 0x40049409  # Linux: share all blocks of another file

FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})


class Patch(NamedTuple):
    """Bytes that take the place of others."""

    start: int  # offset in the old file
    stop: int  # offset of the first byte behind those replaced; equal to start for an insertion
    data: bytes  # of any length


def copy_patched(source: BinaryIO, target: BinaryIO, patches: Sequence[Patch], size: int) -> None:
    """Write the old content with the patches applied.

    Parameters
    ----------
    source, target
        The old file, open for reading, and an empty one, open for writing.
    patches
        In the order of their places; none overlaps another.
    size
        Of the old file, in bytes.

    Raises
    ------
    OSError
        The disk is full or fails, or the old file became shorter meanwhile.
    """
    if all(len(patch.data) == patch.stop - patch.start for patch in patches) and _clone(source, target):
        for patch in patches:
            target.seek(patch.start)
            target.write(patch.data)
    else:
        done = 0
        for patch in [*patches, Patch(size, size, b"")]:
            _copy_stretch(source, target, done, patch.start)
            target.write(patch.data)
            done = patch.stop
    target.flush()


def _clone(source: BinaryIO, target: BinaryIO) -> bool:
    """Let the copy share the original's blocks, where the file system can."""
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
    except OSError:
        return False
    return True


def _copy_stretch(source: BinaryIO, target: BinaryIO, start: int, stop: int) -> None:
    """Append the original's bytes from start to stop; the system copies long stretches by itself if it can."""
    if stop - start > CHUNK_BYTES:
        start += _copy_by_system(source, target, start, stop)
    source.seek(start)
    while start < stop:
        block = source.read(min(CHUNK_BYTES, stop - start))
        if not block:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        target.write(block)
        start += len(block)


def _copy_by_system(source: BinaryIO, target: BinaryIO, start: int, stop: int) -> int:
    """Copy on the server or inside the file system, where that is possible; gives the number of bytes copied."""
    if sys.platform != "linux":
        return 0
    target.flush()
    at, done = target.tell(), 0
    try:
        while start + done < stop:
            n = os.copy_file_range(source.fileno(), target.fileno(), stop - start - done, start + done, at + done)
            if n == 0:
                break
            done += n
    except OSError as error:
        if error.errno in FULL:
            raise
    target.seek(at + done)
    return done
