"""Whether a file is one that mtag knows already, under whatever name."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from mtag.catalog import Catalog
from mtag.catalog.scores import Relative

N_BLOCKS = 8  # read from a file, evenly spread from its first byte to its last
BLOCK_BYTES = 4096


def sampled_digest(path: Path) -> bytes | None:
    """Digest of a few blocks of a file, enough to tell music of one size from another; None if it cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb", buffering=0) as file:
            last = max(0, os.fstat(file.fileno()).st_size - BLOCK_BYTES)
            for number in range(N_BLOCKS):
                file.seek(last * number // (N_BLOCKS - 1))
                digest.update(file.read(BLOCK_BYTES))
    except OSError:
        return None
    return digest.digest()


def follow_by_state(catalog: Catalog, path: Path, stat: os.stat_result) -> bool:
    """Have the catalog know a file by its present name, if it has it under a former or another one; tells whether.

    It is the same file if device, inode, size and time are the same; or if size and time are, its old name is gone, and
    sampled blocks are equal. None of this reads the whole file, as `follow_by_sound` has to.
    """
    digest: bytes | None = None
    for relative in catalog.relatives(path, stat):
        if os.path.lexists(relative.path):
            if relative.is_same_inode and _is_same_file(relative.path, stat):
                catalog.copy_track(relative.id, path, stat)
                return True
            continue
        if not relative.is_same_inode:
            digest = digest or sampled_digest(path)
        if relative.is_same_inode or _agrees(relative, digest):
            catalog.move_track(relative.id, path, stat)
            return True
    return False


def follow_by_sound(catalog: Catalog, path: Path, stat: os.stat_result, sound: str) -> None:
    """Give a file the history of a track of the same sound whose own file is gone.

    So a file is known again that another program has both renamed and tagged. A file that the catalog already has under
    this name and sound keeps its own history, and so does each of several copies.
    """
    namesakes = catalog.namesakes(sound)
    if Path(os.path.abspath(path)) in [place for _, place in namesakes]:
        return
    gone = next((track for track, place in namesakes if not os.path.lexists(place)), None)
    if gone is not None:
        catalog.move_track(gone, path, stat)


def _is_same_file(path: Path, stat: os.stat_result) -> bool:
    with suppress(OSError):
        other = os.stat(path)
        return (other.st_dev, other.st_ino) == (stat.st_dev, stat.st_ino)
    return False


def _agrees(relative: Relative, digest: bytes | None) -> bool:
    return digest is not None and relative.digest == digest
