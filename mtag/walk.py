"""Which files there are to hear under the paths a person names."""

from __future__ import annotations

import errno
import os
import stat as mode
from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from mtag import atomic
from mtag.errors import FailureKind, FileError
from mtag.tagfile import SUFFIXES

Identity = str | tuple[int, int]  # of what was found: its device and inode, or a name without links in it


# Folders of the system's own, which hold what was deleted, previews and the like; casefolded.
PASSED_OVER = frozenset(
    {"$recycle.bin", "system volume information", "lost+found", "#recycle", "@recycle", "@recently-snapshot", "@eadir"}
)


def find_files(
    paths: Iterable[Path], *, every_name: bool = False, exclude: Collection[str] = ()
) -> Iterator[Path | FileError]:
    """The audio files under some paths, each once however many names lead to it, sorted by name.

    Parameters
    ----------
    paths
        Files are taken as they are; folders are walked. In them hidden names, whatever is no audio file by its
        suffix, links that lead nowhere or back up, and systems' folders for deleted files are passed over; other links
        are followed, and loops end.
    every_name
        Give a file that has several names, as hard links, once under each of them: writing may part them.
    exclude
        Patterns as `fnmatch` has them of what is passed over in folders: of names or, with a slash in them, of paths
        below the folder in `paths`, or absolute ones.

    Yields
    ------
    Files, and a `FileError` for each path that is not there and each folder that cannot be read.
    """
    seen: set[Identity] = set()
    for path in paths:
        yield from _find(path, seen, every_name, exclude)


def _find(given: Path, seen: set[Identity], every_name: bool, exclude: Collection[str]) -> Iterator[Path | FileError]:
    ahead = [given]
    while ahead:
        path = ahead.pop()
        try:
            stat = os.stat(path)
            is_folder = mode.S_ISDIR(stat.st_mode)
            if is_folder and _leads_up(path, given):
                continue  # and may be named itself
            by_name = every_name and stat.st_nlink > 1 and mode.S_ISREG(stat.st_mode)
            if _is_known(os.path.realpath(path) if by_name else (stat.st_dev, stat.st_ino), seen):
                continue
            if is_folder:
                ahead.extend(entry for entry in reversed(_entries(path)) if not _is_excluded(entry, given, exclude))
            elif mode.S_ISREG(stat.st_mode):
                yield path
            elif path == given:
                yield FileError(path, FailureKind.UNSUPPORTED, "is neither a file nor a folder")
        except OSError as error:
            # A link to nowhere, or a file that went away meanwhile, is no failure unless it was asked for.
            if path == given or error.errno not in (errno.ENOENT, errno.ELOOP):
                yield explain(path, error)


def _leads_up(folder: Path, given: Path) -> bool:
    """Whether a folder is a link to one around the folder that was named: what else is in that was not asked for."""
    return os.path.islink(folder) and Path(os.path.realpath(folder)) in Path(os.path.realpath(given)).parents


def _is_excluded(path: Path, given: Path, patterns: Collection[str]) -> bool:
    return any(_matches(path, given, pattern.rstrip("/")) for pattern in patterns)


def _matches(path: Path, given: Path, pattern: str) -> bool:
    if os.path.isabs(pattern):
        return fnmatch(os.path.abspath(path), pattern)
    return fnmatch(path.relative_to(given).as_posix() if "/" in pattern else path.name, pattern)


def _is_known(identity: Identity, seen: set[Identity]) -> bool:
    """Whether another name has led here; notes that one has now."""
    if identity in seen:
        return True
    if identity[1]:  # some network file systems have no inodes
        seen.add(identity)
    return False


def _entries(folder: Path) -> list[Path]:
    """What is worth a look in a folder, by name: its audio files first, then its folders."""
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                if entry.name.casefold() in PASSED_OVER:
                    continue
                folders.append(entry.name)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                files.append(entry.name)
    return [folder / name for name in [*sorted(files), *sorted(folders)]]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def explain(path: Path, error: OSError) -> FileError:
    """The system's refusal of a file as a failure of that file."""
    if isinstance(error, FileNotFoundError):
        return FileError(path, FailureKind.UNSUPPORTED, "there is no such file or folder")
    return atomic.explain(path, error)
