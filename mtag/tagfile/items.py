"""A tag as a list of stored items, each kept byte for byte, and the two fields of it that mtag edits.

Every container keeps its tag as a row of items: ID3 frames, Vorbis comments, MP4 atoms, ASF attributes, APE items.
Only the items that hold genre or mtag's own comment are ever spelt anew; all others are put back as they lay.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from mtag.atomic import Patch
from mtag.errors import FailureKind
from mtag.tagfile.fields import Fields, is_ours

TRUSTED_BYTES = 1 << 20  # a length that is read without asking how long the file is
PADDING_BYTES = 2048  # spare room that a tag which has to grow gets, so that the next edits fit in place


class Keys(NamedTuple):
    """What a container calls the two fields."""

    genre: str
    comment: str


KEYS = {
    "id3v2.2": Keys("TCO", "COM"),
    "id3v2.3": Keys("TCON", "COMM"),
    "id3v2.4": Keys("TCON", "COMM"),
    "vorbis": Keys("GENRE", "COMMENT"),  # in any case
    "mp4": Keys("©gen", "©cmt"),
    "asf": Keys("WM/Genre", "Description"),
    "ape": Keys("GENRE", "COMMENT"),  # in any case
}


class Malformed(Exception):  # noqa: N818 - what a parser found, not what a person is told
    """A file does not follow its format; the text goes on from "song.mp3: cannot be tagged: "."""

    kind = FailureKind.TAG_PARSE


class Foreign(Malformed):
    """A container holds something other than music."""

    kind = FailureKind.UNSUPPORTED


class Item(NamedTuple):
    """One stored item."""

    key: str  # as in `KEYS` for the two fields' items, anything else for the others
    raw: bytes  # the whole item as it lies in the file
    place: str = ""  # which of several lists it stands in; they are read in this order


Items = tuple[Item, ...]


class Dialect(ABC):
    """How one kind of tag spells its items."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The row of `KEYS`."""

    @property
    def spelling(self) -> str:
        """Everything that decides how items are spelt; a tag of the same spelling takes them as they are."""
        return self.name

    @property
    def keys(self) -> Keys:
        """The container's keys for the two fields."""
        return KEYS[self.name]

    @abstractmethod
    def values(self, item: Item) -> tuple[str, ...]:
        """The texts that a genre or comment item holds."""

    @abstractmethod
    def with_values(self, item: Item, values: tuple[str, ...]) -> Item:
        """Spell a comment item anew, with some of its values left out or one added."""

    @abstractmethod
    def genres(self, names: tuple[str, ...], like: Item | None) -> Items:
        """Spell genres, in the manner of an item that they take the place of."""

    @abstractmethod
    def comment(self, line: str, others: Items) -> Item:
        """Spell mtag's comment so that it stands beside the items that there are."""

    def add_comment(self, items: Items, line: str, at: int) -> Items:
        """Put mtag's comment among the items, at an index or wherever the container wants it."""
        return (*items[:at], self.comment(line, items), *items[at:])

    def adopt(self, item: Item, spelling: str) -> Item:
        """Respell an item that was taken from a tag of that spelling."""
        if spelling != self.spelling:
            raise Malformed(f"the tag is {self.name} now, and what is to be restored comes from {spelling}")
        return item


class Container(ABC):
    """An open file's tag, and how to write another in its place."""

    name: str  # the kind of file, as a person calls it
    dialect: Dialect
    items: Items | None = None  # None when the file has no tag
    shown: Fields = Fields()  # what players show where the tag itself is silent: ID3v1, RIFF's INFO

    def fresh(self) -> Items:
        """What a new tag has to begin with, so that nothing shown before is hidden by it."""
        return ()

    @abstractmethod
    def rewrite(self, items: Items | None) -> list[Patch]:
        """Say which bytes of the file are to change for it to have these items; None takes the tag out."""


def fields_of(container: Container) -> Fields:
    """Read the two fields as a player shows them."""
    dialect, shown = container.dialect, container.shown
    genres, comments = (_values(dialect, container.items or (), key) for key in dialect.keys)
    if all(is_ours(comment) for comment in comments):
        comments = tuple(comment for comment in shown.comments if comment.strip() and not is_ours(comment)) + comments
    return Fields(genres or shown.genres, comments)


def _values(dialect: Dialect, items: Items, key: str) -> tuple[str, ...]:
    return tuple(value for item in items if item.key == key for value in dialect.values(item) if value.strip())


def with_genres(dialect: Dialect, items: Items, names: tuple[str, ...]) -> Items:
    """Replace all genre items; the new ones stand where the first of them stood."""
    old = [index for index, item in enumerate(items) if item.key == dialect.keys.genre]
    at = old[0] if old else len(items)
    new = dialect.genres(names, items[at] if old else None)
    rest = [item for item in items[at:] if item.key != dialect.keys.genre]
    return in_order([*items[:at], *new, *rest])


def with_line(dialect: Dialect, items: Items, line: str | None) -> Items:
    """Replace mtag's comment, or take it out for None; an empty comment gives its place to it."""
    kept: list[Item] = []
    spot = None
    for item in items:
        if item.key == dialect.keys.comment:
            values = dialect.values(item)
            theirs = tuple(v for v in values if not is_ours(v) and (line is None or v.strip()))
            if theirs != values or (line is not None and not theirs):
                spot = len(kept) if spot is None else spot
                if not theirs:
                    continue
                item = dialect.with_values(item, theirs)
        kept.append(item)
    if line is not None:
        kept = list(dialect.add_comment(tuple(kept), line, len(kept) if spot is None else spot))
    return in_order(kept)


def in_order(items: Sequence[Item]) -> Items:
    """Sort items by the list they stand in; inside one their order stays."""
    return tuple(sorted(items, key=lambda item: item.place))


def size_of(file: BinaryIO) -> int:
    """Length of an open file in bytes."""
    return file.seek(0, 2)


def read_at(file: BinaryIO, start: int, n_bytes: int) -> bytes:
    """Read so many bytes from an offset, exactly.

    Raises
    ------
    Malformed
        The file is shorter than that.
    """
    # Room for the whole answer is taken before anything is read, so a length that a broken file claims is checked.
    if start < 0 or (n_bytes > TRUSTED_BYTES and start + n_bytes > size_of(file)):
        raise Malformed("its structure runs past the end of the file")
    file.seek(start)
    data = file.read(n_bytes)
    if len(data) != n_bytes:
        raise Malformed("its structure runs past the end of the file")
    return data
