"""A file changed so that a kill at any instant leaves the old file or the new one, never a mixture.

The new file is built beside the old one, compared with it, synced, and renamed over it (or, if the file has other
names that are to change with it, copied over it: `inplace`). What lies outside the patches is copied as it is, so this
module needs to know nothing of music.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from mtag import inplace
from mtag.copying import FULL, Patch, copy_patched
from mtag.dressing import Mtime, dress, mtime_ns, set_times
from mtag.errors import FailureKind, FileError
from mtag.filelock import lock
from mtag.writers import is_open_for_writing

NAME_BYTES = 255  # the longest name that file systems take
LITTER = re.compile(r"\..*\.mtag-[0-9a-f]{8}(\.[^.]*)?", re.DOTALL)
LITTER_SECONDS = 24 * 3600.0  # where locks do not work, a copy this old belongs to nobody

FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class HardLinks(str, Enum):
    """What is done with a file that has other names."""

    SKIP = "skip"  # it is left alone
    INPLACE = "inplace"  # it is changed under all its names
    BREAK = "break"  # it parts from the other names, which keep the old content


class HardLinkedError(FileError):
    """The file has other names that would part from it, or be changed with it, so it was left alone."""

    def __init__(self, path: Path, n_links: int) -> None:
        """Say how many names the file has."""
        reason = f"has {n_links} hard links; --hardlinks says whether to write under all of them or to break it off"
        super().__init__(path, FailureKind.PERMISSION, reason)


def explain(path: Path, error: OSError) -> FileError:
    """What a person is told about an error of the system."""
    if error.errno in FULL:
        return FileError(path, FailureKind.NO_SPACE, "could not be written: no space is left")
    if error.errno in FORBIDDEN:
        return FileError(path, FailureKind.PERMISSION, f"may not be read or written ({error.strerror})")
    return FileError(path, FailureKind.PERMISSION, f"could not be read or written ({error.strerror or error})")


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of the system inside the block into `FileError`."""
    try:
        yield
    except OSError as error:
        raise explain(path, error) from error


def is_same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether nothing has happened to a file between two looks at it."""
    return _identity(one) == _identity(other)


def _identity(stat: os.stat_result) -> tuple[int, ...]:
    # The change time tells of a writer that puts the modification time back; on Windows it is the time of creation.
    changed = stat.st_ctime_ns if os.name != "nt" else 0
    return stat.st_dev, stat.st_ino, stat.st_nlink, stat.st_size, stat.st_mtime_ns, changed


def rewrite(
    path: Path,
    edit: Callable[[BinaryIO], Sequence[Patch]],
    check: Callable[[Path], None],
    *,
    mtime: Mtime = Mtime.NOW,
    hardlinks: HardLinks = HardLinks.SKIP,
) -> bool:
    """Replace a file by an edited copy of itself.

    Permissions, extended attributes, access lists and, where allowed, the owner go with it. A symbolic link stays
    one: the file it leads to is replaced.

    Parameters
    ----------
    path
        The file.
    edit
        Is given the open file and says what is to change; no patches, no writing.
    check
        Is given the finished copy, raises to refuse it.
    mtime
        The time stamp the file has afterwards.
    hardlinks
        What is done with a file that has several names.

    Returns
    -------
    Whether anything was written.

    Raises
    ------
    FileError
        With the file as it was: `HardLinkedError`, permission, no-space; and whatever `edit` and `check` raise.
    """
    with explained(path):
        real = Path(os.path.realpath(path))
        with real.open("rb") as source:
            before = os.fstat(source.fileno())
            patches = sorted(edit(source))
            if not patches:
                return False
            _refuse_if_guarded(path, before, hardlinks)
            in_place = before.st_nlink > 1 and hardlinks is HardLinks.INPLACE
            times = before.st_atime_ns, mtime_ns(before, mtime)
            with _copy_beside(path, real) as copy:
                copy_patched(source, copy.file, patches, before.st_size)
                if not in_place:
                    dress(real, copy.path, before)
                    set_times(path, copy.path, times, mtime)
                _sync(copy.file)
                check(copy.path)
                source.close()  # Windows renames no file that is open
                if in_place:
                    _overwrite(path, real, copy, before, times, mtime)
                else:
                    _replace(path, real, copy, before)
    return True


def _replace(path: Path, real: Path, copy: _Copy, before: os.stat_result) -> None:
    """Let the copy take the file's place."""
    _refuse_if_changed(path, real.stat(), before)
    _refuse_if_open(path, real)
    if os.name == "nt":
        copy.file.close()
    os.replace(copy.path, real)
    _sync_folder(real.parent)


def _overwrite(
    path: Path, real: Path, copy: _Copy, before: os.stat_result, times: tuple[int, int], mtime: Mtime
) -> None:
    """Let the file become what the copy is."""
    _sync_folder(real.parent)  # the copy must still be found there after a power cut
    _refuse_if_open(path, real)
    try:
        with real.open("r+b") as target:
            _refuse_if_changed(path, os.fstat(target.fileno()), before)
            set_times(path, real, (before.st_atime_ns, before.st_mtime_ns), mtime)  # before it is too late to refuse
            inplace.overwrite(target, copy.file, before, times)
    except BaseException as error:
        copy.is_needed = inplace.is_journal(copy.file)
        if not copy.is_needed or not isinstance(error, OSError):
            raise
        why = error.strerror or error
        reason = f"could not be overwritten to its end ({why}); the next run mends it from {copy.path.name}"
        raise FileError(path, explain(path, error).kind, reason) from error


def _refuse_if_guarded(path: Path, stat: os.stat_result, hardlinks: HardLinks) -> None:
    if stat.st_nlink > 1 and hardlinks is HardLinks.SKIP:
        raise HardLinkedError(path, stat.st_nlink)
    # A rename would get past the file's own write protection, and root past any.
    if not stat.st_mode & 0o222 or not os.access(path, os.W_OK):
        is_disk = hasattr(os, "statvfs") and bool(os.statvfs(path).f_flag & os.ST_RDONLY)
        reason = "lies on a disk that can only be read" if is_disk else "is write-protected"
        raise FileError(path, FailureKind.PERMISSION, reason)


def _refuse_if_changed(path: Path, now: os.stat_result, before: os.stat_result) -> None:
    if not is_same(now, before):
        raise FileError(path, FailureKind.PERMISSION, "was changed by another program meanwhile and is left as it is")


def _refuse_if_open(path: Path, real: Path) -> None:
    """Leave a file to the program that writes it, say to a download that has come to a stop."""
    if is_open_for_writing(real):
        raise FileError(path, FailureKind.PERMISSION, "is open for writing in another program")


@dataclass
class _Copy:
    """A new file beside another."""

    path: Path
    file: BinaryIO
    is_needed: bool = False  # by the next run, which deletes it then


@contextlib.contextmanager
def _copy_beside(path: Path, real: Path) -> Iterator[_Copy]:
    """Open a new file in the same folder; whatever happens, nothing is left of it but what was renamed or is needed."""
    copy = _new_copy(path, real)
    try:
        yield copy
    finally:
        # A full disk fails once more when the buffer is flushed; the first error is the one to tell.
        with contextlib.suppress(OSError):
            copy.file.close()
        if not copy.is_needed:
            with contextlib.suppress(FileNotFoundError):
                copy.path.unlink()


def _new_copy(path: Path, real: Path) -> _Copy:
    while True:
        copy = real.with_name(litter_name(real.name))
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            file = os.fdopen(os.open(copy, flags, 0o600), "w+b")
        except OSError as error:
            if error.errno not in FORBIDDEN:
                raise
            reason = f"could not be written: no file can be created in its folder ({error.strerror})"
            raise FileError(path, FailureKind.PERMISSION, reason) from error
        _lock(file, wait=True)
        if os.fstat(file.fileno()).st_nlink:
            return _Copy(copy, file)
        file.close()  # taken for litter by another process in the moment before it was locked


def _sync(file: BinaryIO) -> None:
    """Have a file's content on the disk."""
    if sys.platform == "darwin":
        import fcntl

        with contextlib.suppress(OSError):  # fsync leaves it in the drive's cache there
            fcntl.fcntl(file.fileno(), fcntl.F_FULLFSYNC)
            return
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make names durable, on systems where folders can be synced; one that may be written need not be readable."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def litter_name(name: str) -> str:
    """A hidden name for a copy, at most 255 bytes long, ending like the original's for those who go by suffixes."""
    stem, suffix = os.path.splitext(name)
    end = f".mtag-{secrets.token_hex(4)}{suffix if len(os.fsencode(suffix)) < 16 else ''}"
    room = NAME_BYTES - len(os.fsencode(f".{end}"))
    while len(os.fsencode(stem)) > room:
        stem = stem[:-1]
    return f".{stem}{end}"


def is_litter(name: str) -> bool:
    """Whether a file name is that of a copy, in use or left behind by a killed process."""
    return LITTER.fullmatch(name) is not None


def remove_litter(folder: Path) -> int:
    """Clear away what killed processes left in a folder, and nothing that a living one works on.

    A file that was left half-written, which only those with other names can be, is mended first, so this is to be
    done before the folder's files are read. What may be the only whole copy of a file is never deleted.

    Returns
    -------
    How many copies were deleted.

    Raises
    ------
    FileError
        permission, where the folder cannot be read.
    """
    with explained(folder), os.scandir(folder) as entries:
        names = [entry.path for entry in entries if is_litter(entry.name) and entry.is_file(follow_symlinks=False)]
    return sum(_remove_if_abandoned(Path(name)) for name in names)


def _remove_if_abandoned(copy: Path) -> bool:
    try:
        if sys.platform == "win32":
            copy.rename(copy)  # fails where another process has the file open
        with copy.open("r+b") as file:
            is_ours = _lock(file)
            if is_ours is False:
                return False
            # Its modification time may be that of the file it is to replace.
            if is_ours is None and time.time() - copy.stat().st_ctime < LITTER_SECONDS:
                return False
            if not inplace.finish(copy, file):
                return False
            if sys.platform != "win32":
                copy.unlink()
        if sys.platform == "win32":
            copy.unlink()
    except OSError:
        return False
    return True


def _lock(file: BinaryIO, *, wait: bool = False) -> bool | None:
    """Mark a copy as in use until it is closed; on Windows, where a lock would keep readers out, being open does it."""
    return sys.platform == "win32" or lock(file, wait=wait)
