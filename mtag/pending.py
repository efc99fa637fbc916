"""What became of the changes that killed runs left behind."""

from __future__ import annotations

import os
from contextlib import suppress

from mtag.atomic import remove_litter
from mtag.catalog import Catalog, Change
from mtag.errors import FileError
from mtag.sameness import sampled_digest
from mtag.tagfile import Snapshot, changed_since


def settle(catalog: Catalog) -> int:
    """Look at each file that a killed run was about to change, and note whether it did.

    A file that is not there, or cannot be read now, stays for another time; so does what only a newer mtag can read.

    Returns
    -------
    How many changes were settled.
    """
    settled = 0
    for change in catalog.left_pending():
        with suppress(FileError, OSError, ValueError):
            _settle(catalog, change)
            settled += 1
    catalog.sweep()
    return settled


def _settle(catalog: Catalog, change: Change) -> None:
    path = change.place
    remove_litter(path.parent)  # mends a file that was left half-written
    stat = os.stat(path)
    if not changed_since(path, Snapshot.from_json(change.before)):
        catalog.drop_change(change.id)
        return
    as_written = change.after is not None and not changed_since(path, Snapshot.from_json(change.after))
    catalog.confirm_change(change.id, stat if as_written else None, sampled_digest(path))
