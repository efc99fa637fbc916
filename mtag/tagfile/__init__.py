"""Genre and comment in music files: read, planned, written, and put back as they were.

Each container's tag is handled as a row of stored items (`items`), of which only those of the two fields are ever
spelt anew; `containers` tells by its content what kind of file there is. A write is checked on a copy, by re-reading
it here, by mutagen (`witness`) and by a digest of the audio, before the copy takes the file's place (`atomic`).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from mtag.atomic import HardLinkedError, Mtime, is_hard_linked, rewrite
from mtag.errors import FailureKind, FileError
from mtag.tagfile.containers import opened, parsed
from mtag.tagfile.edit import Digest, Edit
from mtag.tagfile.fields import COMMENT_PREFIX, Fields, GenrePolicy, agree, is_ours, own_lines, plan
from mtag.tagfile.items import Container, Item, Items, fields_of, in_order, with_genres, with_line

__all__ = [
    "COMMENT_PREFIX",
    "SUFFIXES",
    "Fields",
    "GenrePolicy",
    "HardLinkedError",
    "Mtime",
    "Snapshot",
    "is_hard_linked",
    "is_ours",
    "plan",
    "read_fields",
    "restore",
    "snapshot",
    "write",
]

# Names that promise a file this package can tag; what a file is, its content decides.
SUFFIXES = frozenset(
    {".aac", ".aif", ".aifc", ".aiff", ".ape", ".dsf", ".flac", ".m4a", ".m4b", ".mp2", ".mp3", ".mpc", ".oga", ".ogg"}
    | {".opus", ".spx", ".wav", ".wma", ".wv"}
)


@dataclass(frozen=True)
class Snapshot:
    """The stored items of the two fields, byte for byte, and where they stood."""

    spelling: str  # of the tag they are from
    tagged: bool  # whether the file had a tag at all
    items: tuple[tuple[int, Item], ...]  # index among all items of the tag, and the item

    def to_json(self) -> str:
        """JSON text without line breaks."""
        items = [[at, item.key, base64.b64encode(item.raw).decode(), item.place] for at, item in self.items]
        return json.dumps({"spelling": self.spelling, "tagged": self.tagged, "items": items})

    @classmethod
    def from_json(cls, text: str) -> Snapshot:
        """Read what `to_json` gave (ValueError, KeyError or TypeError for anything else)."""
        data = json.loads(text)
        items = tuple((index, Item(key, base64.b64decode(raw), place)) for index, key, raw, place in data["items"])
        return cls(data["spelling"], data["tagged"], items)


def read_fields(path: Path) -> Fields:
    """Read genre and comment as a player shows them.

    Raises
    ------
    FileError
        unsupported (not audio of a kind that can be tagged, whatever its suffix), tag-parse, permission.
    """
    with opened(path) as container, parsed(path):
        return fields_of(container)


def snapshot(path: Path) -> Snapshot:
    """Take the two fields' items out of a file byte for byte, so that `restore` can put them back.

    Raises
    ------
    FileError
        As `read_fields`.
    """
    with opened(path) as container:
        return _snapshot(container)


def write(
    path: Path,
    fields: Fields,
    digest: Digest,
    *,
    before: Snapshot | None = None,
    mtime: Mtime = Mtime.NOW,
    break_links: bool = False,
) -> bool:
    """Make a file's genre and comment read as planned, and change nothing else in it.

    Parameters
    ----------
    path
        The file.
    fields
        As `plan` gave them; of the comments only mtag's own is written.
    digest
        Identifies the audio; a copy with another digest never replaces the file.
    before
        What the file is thought to hold; it is left alone when that is no longer so.
    mtime
        The time stamp the file has afterwards.
    break_links
        Write to hard-linked files too, which parts this name from the others.

    Returns
    -------
    Whether anything had to be written.

    Raises
    ------
    FileError
        With the file as it was: `HardLinkedError`, unsupported, tag-parse, permission, no-space.
    """

    def change(container: Container) -> Items | None:
        if before is not None and _snapshot(container) != before:
            raise FileError(path, FailureKind.PERMISSION, "was changed by another program meanwhile")
        return _planned(container, fields)

    edit = Edit(path, change, digest, fields)
    return rewrite(path, edit.patches, edit.check, mtime=mtime, break_links=break_links)


def restore(
    path: Path,
    before: Snapshot,
    digest: Digest,
    *,
    genre: bool = True,
    comment: bool = True,
    mtime: Mtime = Mtime.NOW,
    break_links: bool = False,
) -> bool:
    """Put back what `snapshot` took, byte for byte; a tag that there was not, and holds nothing else, goes.

    Parameters
    ----------
    path
        The file.
    before
        The items to put back.
    digest, mtime, break_links
        As for `write`.
    genre, comment
        Whether this field is to be restored.

    Returns
    -------
    Whether anything had to be written.

    Raises
    ------
    FileError
        As `write`.
    """

    def change(container: Container) -> Items | None:
        genre_key, comment_key = container.dialect.keys
        return _restored(container, before, {genre_key: genre, comment_key: comment})

    edit = Edit(path, change, digest)
    return rewrite(path, edit.patches, edit.check, mtime=mtime, break_links=break_links)


def _snapshot(container: Container) -> Snapshot:
    items = enumerate(container.items or ())
    touched = tuple((index, item) for index, item in items if item.key in container.dialect.keys)
    return Snapshot(container.dialect.spelling, container.items is not None, touched)


def _planned(container: Container, fields: Fields) -> Items | None:
    """The items of a file that reads as planned."""
    now, dialect = fields_of(container), container.dialect
    if agree(now, fields):
        return container.items
    items = container.fresh() if container.items is None else container.items
    if fields.genres != now.genres:
        items = with_genres(dialect, items, fields.genres)
    if own_lines(fields) != own_lines(now):
        items = with_line(dialect, items, next(iter(own_lines(fields)), None))
    return items


def _restored(container: Container, before: Snapshot, wanted: dict[str, bool]) -> Items | None:
    """The items of a file whose wanted fields are as they were."""
    items = [item for item in container.items or () if not wanted.get(item.key)]
    for index, item in before.items:
        adopted = container.dialect.adopt(item, before.spelling)
        if wanted.get(adopted.key):
            items.insert(index, adopted)
    made_by_mtag = not before.tagged and set(items) <= set(container.fresh())
    return None if made_by_mtag else in_order(items)
