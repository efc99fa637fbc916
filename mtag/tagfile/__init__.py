"""What mtag writes into music files: read, planned, written, put back as it was, and taken out again.

Each container's tag is handled as a row of stored items (`items`), of which only those of mtag's fields are ever
spelt anew; `containers` tells by its content what kind of file there is, `origin` keeps what a file said before mtag.
A write is checked on a copy, by re-reading it here, by mutagen (`witness`) and by a digest of the audio, before the
copy takes the file's place (`atomic`).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from mtag.atomic import HardLinkedError, HardLinks, rewrite
from mtag.dressing import Mtime
from mtag.field import Field
from mtag.tagfile.containers import opened, parsed
from mtag.tagfile.edit import Announce, Digest, Edit
from mtag.tagfile.fields import COMMENT_PREFIX, Fields, GenrePolicy, Style, is_ours, plan, stamp
from mtag.tagfile.items import Container, Items, Room
from mtag.tagfile.origin import fields_of, first_room, planned, stripped
from mtag.tagfile.snapshot import Snapshot, differing, put_back, take

__all__ = [
    "COMMENT_PREFIX",
    "SUFFIXES",
    "Announce",
    "Digest",
    "Field",
    "Fields",
    "GenrePolicy",
    "HardLinkedError",
    "HardLinks",
    "Mtime",
    "Snapshot",
    "Style",
    "changed_since",
    "is_ours",
    "plan",
    "read_fields",
    "restore",
    "snapshot",
    "stamp",
    "strip",
    "write",
]

# Names that promise a file this package can tag; what a file is, its content decides.
SUFFIXES = frozenset(
    {".aac", ".aif", ".aifc", ".aiff", ".ape", ".dsf", ".flac", ".m4a", ".m4b", ".mp2", ".mp3", ".mpc", ".oga", ".ogg"}
    | {".opus", ".spx", ".wav", ".wma", ".wv"}
)


def read_fields(path: Path) -> Fields:
    """Read the fields as a player shows them, and as it showed them before mtag wrote to the file.

    Raises
    ------
    FileError
        unsupported (not audio of a kind that can be tagged, whatever its suffix), tag-parse, permission.
    """
    with opened(path) as container, parsed(path):
        return fields_of(container)


def snapshot(path: Path) -> Snapshot:
    """Take the fields' items out of a file byte for byte, so that `restore` can put them back.

    Raises
    ------
    FileError
        As `read_fields`.
    """
    with opened(path) as container:
        return take(container, container.items)


def changed_since(path: Path, after: Snapshot) -> frozenset[Field]:
    """Tell which fields no longer say what they said when a snapshot was taken.

    A tag that another program has only spelt anew, say in another version of ID3, counts as unchanged.

    Parameters
    ----------
    path
        The file.
    after
        From `snapshot`, right after a write. Fields it does not tell of are never among those given.

    Raises
    ------
    FileError
        As `read_fields`.
    """
    with opened(path) as container, parsed(path):
        return differing(container, after)


def write(
    path: Path,
    fields: Fields,
    digest: Digest,
    *,
    mtime: Mtime = Mtime.NOW,
    hardlinks: HardLinks = HardLinks.SKIP,
    style: Style = Style(),  # noqa: B008 - it is frozen
    announce: Announce | None = None,
) -> bool:
    """Make a file's fields read as planned, and change nothing else in it.

    The file bears afterwards, in a field of mtag's own, which mtag wrote and the way back to what the file said
    before; a plan that leaves nothing of mtag's in the file takes that field out too.

    Parameters
    ----------
    path
        The file.
    fields
        As `plan` gave them; of the comments only mtag's own is written.
    digest
        Identifies the audio; a copy with another digest never replaces the file.
    mtime
        The time stamp the file has afterwards.
    hardlinks
        What is done with a file that has several names.
    style
        How several values are spelt, and the version of a new ID3 tag; as `plan` was told.
    announce
        Called with what the file said, and with what it is going to say, right before it changes. What it raises is
        raised, and the file stays as it is.

    Returns
    -------
    Whether anything had to be written.

    Raises
    ------
    FileError
        With the file as it was: `HardLinkedError`, unsupported, tag-parse, permission, no-space.
    """

    def change(container: Container) -> tuple[Items | None, Room]:
        return planned(container, fields, style), ()

    edit = Edit(path, change, digest, fields, style, announce)
    return rewrite(path, edit.patches, edit.check, mtime=mtime, hardlinks=hardlinks)


def restore(
    path: Path,
    before: Snapshot,
    digest: Digest,
    *,
    fields: Collection[Field] = frozenset(Field),
    mtime: Mtime = Mtime.NOW,
    hardlinks: HardLinks = HardLinks.SKIP,
    announce: Announce | None = None,
) -> bool:
    """Put back what `snapshot` took, byte for byte; a tag that there was not, and holds nothing else, goes.

    Parameters
    ----------
    path
        The file.
    before
        The items to put back.
    digest, mtime, hardlinks, announce
        As for `write`.
    fields
        Which fields are to be restored, as far as the snapshot tells of them.

    Returns
    -------
    Whether anything had to be written.

    Raises
    ------
    FileError
        As `write`.
    """

    def change(container: Container) -> tuple[Items | None, Room]:
        return put_back(container, container.items or (), before, fields), before.room

    edit = Edit(path, change, digest, announce=announce)
    return rewrite(path, edit.patches, edit.check, mtime=mtime, hardlinks=hardlinks)


def strip(
    path: Path,
    digest: Digest,
    *,
    mtime: Mtime = Mtime.NOW,
    hardlinks: HardLinks = HardLinks.SKIP,
    announce: Announce | None = None,
) -> bool:
    """Take everything out of a file that mtag has written, whatever wrote it and wherever the file has been since.

    Each field gets back what it held before mtag, byte for byte, unless somebody has changed it after mtag did; a tag
    that mtag made goes. Of a file that version 0.1.0 wrote, which kept no record in the file, the comment goes.

    Parameters
    ----------
    path
        The file.
    digest, mtime, hardlinks, announce
        As for `write`.

    Returns
    -------
    Whether there was anything of mtag's.

    Raises
    ------
    FileError
        As `write`.
    """
    edit = Edit(path, lambda container: (stripped(container), first_room(container)), digest, announce=announce)
    return rewrite(path, edit.patches, edit.check, mtime=mtime, hardlinks=hardlinks)
