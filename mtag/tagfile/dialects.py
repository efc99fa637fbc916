"""From one kind of tag into another: a file may have been converted since its items were noted."""

from __future__ import annotations

from collections.abc import Callable, Collection

from mtag.field import Field
from mtag.tagfile.ape import ApeItems
from mtag.tagfile.asf import Attributes
from mtag.tagfile.fields import Style
from mtag.tagfile.id3 import ID3
from mtag.tagfile.items import Dialect, Item, Items
from mtag.tagfile.mp4 import MP4Tag
from mtag.tagfile.vorbis import Vorbis

OTHERS: dict[str, Callable[[], Dialect]] = {"vorbis": Vorbis, "mp4": MP4Tag, "asf": Attributes, "ape": ApeItems}


def dialect_of(spelling: str) -> Dialect:
    """The dialect that has a spelling (KeyError or ValueError for none)."""
    name = spelling.split()[0]
    return ID3.of(spelling) if name.startswith("id3v2.") else OTHERS[name]()


def translated(items: Items, spelling: str, dialect: Dialect, fields: Collection[Field]) -> list[Item]:
    """Say in one dialect what items of another say.

    Parameters
    ----------
    items, spelling
        The items, and the spelling of the tag they are from.
    dialect
        The one to say it in; a tag of the same kind keeps as much of each item as it can.
    fields
        Which fields are wanted.
    """
    old = dialect_of(spelling)
    wanted = [item for item in items if item.key in {old.keys[field] for field in fields}]
    if isinstance(dialect, type(old)):
        return [dialect.adopt(item, old) for item in wanted]
    new: Items = ()
    for field in fields:
        values = tuple(value for item in wanted if item.key == old.keys[field] for value in old.values(item))
        if field is Field.COMMENT:
            for value in values:
                new = dialect.add_comment(new, value, len(new))
        else:
            new += dialect.spell(field, values, Style(), None)
    return list(new)
