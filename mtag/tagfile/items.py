"""A tag as a list of stored items, each kept byte for byte, and the few fields of it that mtag edits.

Every container keeps its tag as a row of items: ID3 frames, Vorbis comments, MP4 atoms, ASF attributes, APE items.
Only the items that hold one of mtag's fields are ever spelt anew; all others are put back as they lay.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from mtag.copying import Patch
from mtag.field import Field
from mtag.tagfile.fields import VALUED, Fields, Style, is_ours

PADDING_BYTES = 2048  # spare room that a tag which has to grow gets, so that the next edits fit in place

Keys = Mapping[Field, str]  # what a container calls the fields


def _keys(genre: str, comment: str, mood: str, grouping: str, provenance: str) -> Keys:
    return dict(zip(Field, (genre, comment, mood, grouping, provenance), strict=True))


# The names that Picard and Mp3tag use too. ID3 has no frame for moods before 2.4, and none for what mtag did.
KEYS = {
    "id3v2.2": _keys("TCO", "COM", "TXX:MOOD", "TT1", "TXX:MTAG"),
    "id3v2.3": _keys("TCON", "COMM", "TXXX:MOOD", "TIT1", "TXXX:MTAG"),
    "id3v2.4": _keys("TCON", "COMM", "TMOO", "TIT1", "TXXX:MTAG"),
    "vorbis": _keys("GENRE", "COMMENT", "MOOD", "GROUPING", "MTAG"),  # in any case
    "mp4": _keys("©gen", "©cmt", "----:com.apple.iTunes:MOOD", "©grp", "----:com.apple.iTunes:MTAG"),
    "asf": _keys("WM/Genre", "Description", "WM/Mood", "WM/ContentGroupDescription", "MTAG"),
    "ape": _keys("GENRE", "COMMENT", "MOOD", "GROUPING", "MTAG"),  # in any case
}


class Item(NamedTuple):
    """One stored item."""

    key: str  # as in `KEYS` for the fields' items, anything else for the others
    raw: bytes  # the whole item as it lies in the file
    place: str = ""  # which of several lists it stands in; they are read in this order


Items = tuple[Item, ...]
Room = tuple[int, ...]  # what a tag and its padding take up, in numbers that the container's kind understands


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
        """The container's keys for the fields."""
        return KEYS[self.name]

    @abstractmethod
    def texts(self, item: Item) -> tuple[str, ...]:
        """The texts that an item of one of the fields holds."""

    def values(self, item: Item) -> tuple[str, ...]:
        """What those texts mean: one text may hold several values where the container knows no better way."""
        return self.texts(item)

    @abstractmethod
    def with_values(self, item: Item, values: tuple[str, ...]) -> Item:
        """Spell a comment item anew, with some of its values left out or one added."""

    @abstractmethod
    def spell(self, field: Field, names: tuple[str, ...], style: Style, like: Item | None) -> Items:
        """Spell a field other than the comment, in the manner of an item that it takes the place of."""

    @abstractmethod
    def comment(self, line: str, others: Items) -> Item:
        """Spell mtag's comment so that it stands beside the items that there are."""

    def add_comment(self, items: Items, line: str, at: int) -> Items:
        """Put mtag's comment among the items, at an index or wherever the container wants it."""
        return (*items[:at], self.comment(line, items), *items[at:])

    def adopt(self, item: Item, old: Dialect) -> Item:
        """Respell an item that was taken from another tag of this kind."""
        return item


class Container(ABC):
    """An open file's tag, and how to write another in its place."""

    name: str  # the kind of file, as a person calls it
    dialect: Dialect
    items: Items | None = None  # None when the file has no tag
    shown: Fields = Fields()  # what players show where the tag itself is silent: ID3v1, RIFF's INFO
    copied: tuple[str, ...] = ()  # genres of mtag's that other programs have written there, of which nothing is shown
    room: Room = ()  # what the tag and its padding take up; () where that is nothing that could be chosen

    def begin(self, style: Style) -> None:  # noqa: B027 - only ID3 has a choice
        """Choose how a new tag is going to be spelt."""

    def fresh(self) -> Items:
        """What a new tag has to begin with, so that nothing shown before is hidden by it."""
        return ()

    def disregard_genres(self) -> None:
        """Take no notice of the genres that players show where the tag is silent: they are copies."""
        self.copied, self.shown = self.shown.genres, replace(self.shown, genres=())

    @abstractmethod
    def rewrite(self, items: Items | None, room: Room = ()) -> list[Patch]:
        """Say which bytes of the file are to change for it to have these items; None takes the tag out.

        Parameters
        ----------
        items
            The items.
        room
            What they are to take up with their padding, if they fit: the `room` of the same file before. ():
            what the tag takes up now, or if they do not fit, more.
        """


def shown_in(container: Container, items: Items | None) -> Fields:
    """What a player would show of a container with these items; who wrote them is left open."""
    dialect, shown = container.dialect, container.shown
    found = {field: _texts(dialect.texts, items or (), key) for field, key in dialect.keys.items()}
    values = {field: _texts(dialect.values, items or (), key) for field, key in dialect.keys.items()}
    comments = comments_behind(container, items) + values[Field.COMMENT]
    genres, moods, groupings = (values[field] or shown.of(field) for field in VALUED)
    return Fields(genres, comments, moods, groupings, texts=found)


def comments_behind(container: Container, items: Items | None) -> tuple[str, ...]:
    """The user's comments that players show because these items hold none."""
    dialect = container.dialect
    if not all(map(is_ours, _texts(dialect.values, items or (), dialect.keys[Field.COMMENT]))):
        return ()
    return tuple(comment for comment in container.shown.comments if comment.strip() and not is_ours(comment))


def _texts(read: Callable[[Item], tuple[str, ...]], items: Items, key: str) -> tuple[str, ...]:
    return tuple(text for item in items if item.key == key for text in read(item) if text.strip())


def items_of(dialect: Dialect, items: Items, field: Field) -> Items:
    """The items of one field."""
    return tuple(item for item in items if item.key == dialect.keys[field])


def with_values(dialect: Dialect, items: Items, field: Field, names: tuple[str, ...], style: Style) -> Items:
    """Replace all items of a field; the new ones stand where the first of them stood."""
    key = dialect.keys[field]
    old = [index for index, item in enumerate(items) if item.key == key]
    at = old[0] if old else len(items)
    new = dialect.spell(field, names, style, items[at] if old else None)
    return in_order([*items[:at], *new, *(item for item in items[at:] if item.key != key)])


def with_line(dialect: Dialect, items: Items, line: str | None) -> Items:
    """Replace mtag's comment, or take it out for None; an empty comment gives its place to it."""
    kept: list[Item] = []
    spot = None
    for item in items:
        if item.key == dialect.keys[Field.COMMENT]:
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
