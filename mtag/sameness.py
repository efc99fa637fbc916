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


def is_known_by_another_name(catalog: Catalog, path: Path, stat: os.stat_result) -> bool:
    """Look for a file in the catalog under the name it had before, or the other names that it has.

    It is the same where device, inode, size and time are; or where size and time are, its old name leads nowhere any
    more, and sampled blocks are equal. From then on the catalog knows it by this name. None of this reads the file
    through, as `follow` has to.
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


def follow(catalog: Catalog, path: Path, stat: os.stat_result, sound: str) -> None:
    """Take the history of a track along to a file of the same sound, where the track's own file is no more.

    So one is known again that another program has renamed and tagged at once. Of a file that the catalog has by this
    name and sound, and of copies that are both there, each has its own history.
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
