"""Overwriting a file that must stay the same file, because it has other names, so that a kill can be mended.

The finished copy that lies beside the file becomes its journal: behind the new content it gets a record of the old one,
and it stays until the file has been overwritten. Whoever finds such a journal can tell by it, block by block, whether
the file is still the old one, was overwritten in part, or has been changed by somebody else; only in the second case
is the rest written.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

BLOCK_BYTES = 4096  # no system stops half-way through such a block
HASH_BYTES = 8  # of each block: told apart are only states of one file
FOOTER = struct.Struct("<QI16s8s")  # length of hashes, length of description, checksum of both, magic
MAGIC = b"mtagREDO"


@dataclass(frozen=True)
class Journal:
    """How to finish overwriting a file."""

    inode: int  # of the file; devices are numbered anew at every start
    old_size: int  # bytes
    new_size: int  # bytes
    times: tuple[int, int]  # access and modification time that the file gets in the end, ns
    hashes: bytes = b""  # of the old blocks, and last of the one that the new end cuts, as far as it is kept

    def is_old(self, index: int, block: bytes) -> bool:
        """Whether a block is as it was, or lies behind the old end and has not been written yet."""
        n_old = min(max(0, self.old_size - index * BLOCK_BYTES), BLOCK_BYTES)
        if len(block) < n_old:  # the old content has been cut already
            return _hash(block) == self.hashes[-HASH_BYTES:]
        is_kept = not n_old or _hash(block[:n_old]) == self.hashes[index * HASH_BYTES :][:HASH_BYTES]
        return is_kept and not any(block[n_old:])


def overwrite(target: BinaryIO, copy: BinaryIO, stat: os.stat_result, times: tuple[int, int]) -> None:
    """Make an open file what a copy is, under all its names.

    Parameters
    ----------
    target
        The file, open for reading and writing.
    copy
        The finished copy, open for reading and writing, which nobody else works on.
    stat
        The file as it is.
    times
        Access and modification time that the file gets, ns.

    Raises
    ------
    OSError
        The file is as it was, unless `is_journal(copy)`: then the copy has to be kept for `finish`.
    """
    copy.seek(0, os.SEEK_END)
    size = copy.tell()
    journal = Journal(stat.st_ino, stat.st_size, size, times, _hashes(target, stat.st_size, size))
    _append(copy, journal)
    try:
        _redo(target, copy, journal)
    except BaseException as error:
        if _has_all_old(target, journal):
            target.truncate(stat.st_size)
            _set_times(target, (stat.st_atime_ns, stat.st_mtime_ns))
        elif isinstance(error, OSError):
            raise
        else:  # an interrupt, which can wait
            _redo(target, copy, journal)
        copy.truncate(size)
        raise


def is_journal(copy: BinaryIO) -> bool:
    """Whether a copy is what a half-written file has to be mended with."""
    return _read(copy) is not None


def finish(copy: Path, file: BinaryIO) -> bool:
    """Mend the file that a journal is for, if a killed process has left it half-written.

    Parameters
    ----------
    copy
        The journal's path.
    file
        The same, open; nobody else works on it.

    Returns
    -------
    Whether the journal is needed no more: the file is whole, old or new. It is needed where the file is gone, or has
    been changed by somebody else and may be damaged.
    """
    journal = _read(file)
    if journal is None:
        return True
    path = _find(copy.parent, journal)
    if path is None:
        return False
    with path.open("r+b") as target:
        if _is_between(target, file, journal):
            if target.seek(0, os.SEEK_END) != journal.old_size or not _has_all_old(target, journal):
                _redo(target, file, journal)
            return True
        return _has_all_old(target, journal)  # then somebody has added to it


def _find(folder: Path, journal: Journal) -> Path | None:
    """The file, by whatever name it goes in the folder now."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.inode() == journal.inode:
                return Path(entry.path)
    return None


def _append(copy: BinaryIO, journal: Journal) -> None:
    """Make a copy a journal, on disk when this returns."""
    described = {name: value for name, value in asdict(journal).items() if name != "hashes"}
    text = json.dumps(described).encode()
    body = journal.hashes + text
    copy.seek(0, os.SEEK_END)
    copy.write(body + FOOTER.pack(len(journal.hashes), len(text), _checksum(body), MAGIC))
    copy.flush()
    os.fsync(copy.fileno())


def _read(copy: BinaryIO) -> Journal | None:
    """What stands at the end of a journal; None for anything else."""
    size = copy.seek(0, os.SEEK_END)
    if size < FOOTER.size:
        return None
    copy.seek(size - FOOTER.size)
    n_hashes, n_text, checksum, magic = FOOTER.unpack(copy.read(FOOTER.size))
    start = size - FOOTER.size - n_hashes - n_text
    if magic != MAGIC or start < 0:
        return None
    copy.seek(start)
    body = copy.read(n_hashes + n_text)
    if _checksum(body) != checksum:
        return None
    described = json.loads(body[n_hashes:])
    return Journal(**{**described, "times": tuple(described["times"])}, hashes=body[:n_hashes])


def _redo(target: BinaryIO, copy: BinaryIO, journal: Journal) -> None:
    """Write the new content over the old.

    What lies behind the old end comes first: where there is no room for it, nothing has been overwritten yet.
    """
    tail = -(-journal.old_size // BLOCK_BYTES) * BLOCK_BYTES
    _transfer(copy, target, tail, journal.new_size)
    if journal.new_size < journal.old_size:
        target.truncate(journal.new_size)
    _transfer(copy, target, 0, min(tail, journal.new_size))
    os.fsync(target.fileno())
    if any(new != old for _, new, old in _pairs(copy, target, journal.new_size)):
        raise OSError("what was written does not read back")
    _set_times(target, journal.times)
    os.fsync(target.fileno())


def _transfer(copy: BinaryIO, target: BinaryIO, start: int, stop: int) -> None:
    """Copy a stretch, block by block, into the same place."""
    copy.seek(start)
    while start < stop:
        block = copy.read(min(BLOCK_BYTES, stop - start))
        target.seek(start)
        target.write(block)
        target.flush()
        start += len(block)


def _set_times(target: BinaryIO, times: tuple[int, int]) -> None:
    """Set a file's times; who may write it but does not own it leaves it with those of the writing."""
    with suppress(PermissionError):
        os.utime(target.fileno() if os.utime in os.supports_fd else target.name, ns=times)


def _has_all_old(target: BinaryIO, journal: Journal) -> bool:
    """Whether everything old is still there, whatever stands behind it."""
    if target.seek(0, os.SEEK_END) < journal.old_size:
        return False
    blocks = _blocks(target, journal.old_size)
    return all(journal.is_old(index, block) for index, block in enumerate(blocks))


def _is_between(target: BinaryIO, copy: BinaryIO, journal: Journal) -> bool:
    """Whether each block of the file is an old one or a new one."""
    sizes = sorted((journal.old_size, journal.new_size))
    size = target.seek(0, os.SEEK_END)
    if not sizes[0] <= size <= sizes[1]:
        return False
    return all(new == old or journal.is_old(index, old) for index, new, old in _pairs(copy, target, size))


def _pairs(copy: BinaryIO, target: BinaryIO, size: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Index of each block, and what stands in a copy and in its file there."""
    pairs = zip(_blocks(copy, size), _blocks(target, size), strict=False)
    return ((index, new, old) for index, (new, old) in enumerate(pairs))


def _blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    for start in range(0, size, BLOCK_BYTES):
        file.seek(start)
        yield file.read(min(BLOCK_BYTES, size - start))


def _hashes(target: BinaryIO, old_size: int, new_size: int) -> bytes:
    hashes = b"".join(map(_hash, _blocks(target, old_size)))
    target.seek(new_size - new_size % BLOCK_BYTES)
    return hashes + _hash(target.read(new_size % BLOCK_BYTES))


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=HASH_BYTES).digest()


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
