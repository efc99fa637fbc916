"""What a file's fields were, byte for byte, so that they can be put back."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from mtag.field import Field
from mtag.tagfile.dialects import dialect_of, translated
from mtag.tagfile.fields import SEPARATOR
from mtag.tagfile.items import KEYS, Container, Dialect, Item, Items, Room, in_order

JOINTS = "/;,"  # Picard's in ID3 2.3, FFmpeg's, and a common one
FIRST_FIELDS = frozenset({Field.GENRE, Field.COMMENT})  # all that version 0.1.0 knew


@dataclass(frozen=True)
class Snapshot:
    """The stored items of some fields, byte for byte, and where they stood."""

    spelling: str  # of the tag they are from
    tagged: bool  # whether the file had a tag at all
    items: tuple[tuple[int, Item], ...]  # index among all items of the tag, and the item
    fields: frozenset[Field] = frozenset(Field)  # those it tells of; the absence of their items is told too
    room: Room = field(default=(), compare=False)  # what the tag took up with its padding

    def to_json(self) -> str:
        """JSON text without line breaks."""
        items = [[at, item.key, base64.b64encode(item.raw).decode(), item.place] for at, item in self.items]
        fields = sorted(field.value for field in self.fields)
        tag = {"spelling": self.spelling, "tagged": self.tagged, "room": self.room}
        return json.dumps({**tag, "items": items, "fields": fields})

    @classmethod
    def from_json(cls, text: str) -> Snapshot:
        """Read what `to_json` gave, now or in version 0.1.0 (ValueError for anything else)."""
        try:
            data = json.loads(text)
            dialect_of(data["spelling"])
            items = tuple(
                (index, Item(key, base64.b64decode(raw, validate=True), place))
                for index, key, raw, place in data["items"]
            )
            fields = frozenset(map(Field, data["fields"])) if "fields" in data else FIRST_FIELDS
            return cls(data["spelling"], data["tagged"], items, fields, tuple(data.get("room", ())))
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(f"{text!r} is no snapshot") from error

    def items_of(self, field: Field) -> Items:
        """The items of one field."""
        key = self.key_of(field)
        return tuple(item for _, item in self.items if item.key == key)

    def key_of(self, field: Field) -> str:
        """What the tag calls a field."""
        return KEYS[self.spelling.split()[0]][field]


def take(container: Container, items: Items | None, fields: Collection[Field] = frozenset(Field)) -> Snapshot:
    """Keep the items of some fields; for no tag at all, those that say what the file shows without one."""
    dialect = container.dialect
    keys = {dialect.keys[field] for field in fields}
    source = container.fresh() if items is None else items
    kept = tuple((index, item) for index, item in enumerate(source) if item.key in keys)
    return Snapshot(dialect.spelling, items is not None, kept, frozenset(fields), container.room)


def put_back(container: Container, items: Items, before: Snapshot, fields: Collection[Field]) -> Items | None:
    """Give some fields the items that they had before; None where all that is left is a tag that there was not.

    Parameters
    ----------
    container
        The file.
    items
        Its items now, or what is to be kept of them.
    before
        The items to put back.
    fields
        Which fields; those that the snapshot does not tell of stay as they are.
    """
    dialect, wanted = container.dialect, [field for field in Field if field in before.fields and field in fields]
    keys = {dialect.keys[field] for field in wanted}
    rest = [item for item in items if item.key not in keys]
    for index, item in _originals(container, before, wanted):
        rest.insert(index, item)
    made_by_mtag = not before.tagged and set(rest) <= set(container.fresh())
    is_needless = not rest and container.items is None
    return None if made_by_mtag or is_needless else in_order(rest)


def _originals(container: Container, before: Snapshot, fields: Collection[Field]) -> list[tuple[int, Item]]:
    """The items to put back, and where."""
    if not before.tagged and container.fresh():  # what showed is still there
        keys = {container.dialect.keys[field] for field in fields if before.items_of(field)}
        return [(index, item) for index, item in enumerate(container.fresh()) if item.key in keys]
    items = translated(tuple(item for _, item in before.items), before.spelling, container.dialect, fields)
    places = [index for index, item in before.items if item.key in map(before.key_of, fields)]
    if len(places) != len(items):  # from another kind of file
        places = [len(container.items or ()) + len(items)] * len(items)
    return list(zip(places, items, strict=True))


def differing(container: Container, after: Snapshot) -> frozenset[Field]:
    """The fields that do not say any more what a snapshot says; how it is spelt does not matter."""
    dialect, old = container.dialect, dialect_of(after.spelling)
    items = container.fresh() if container.items is None else container.items
    then = tuple(item for _, item in after.items)
    return frozenset(field for field in after.fields if said(old, then, field) not in readings(dialect, items, field))


def said(dialect: Dialect, items: Items, field: Field) -> tuple[str, ...]:
    """All that the items of a field say, however many values each of them holds."""
    texts = (text for item in items if item.key == dialect.keys[field] for text in dialect.values(item))
    parts = (part.strip() for text in texts for part in text.split(SEPARATOR))
    return tuple(filter(None, parts))


def readings(dialect: Dialect, items: Items, field: Field) -> Iterator[tuple[str, ...]]:
    """What the items of a field may say, first as they stand, then if another program has joined several values."""
    values = said(dialect, items, field)
    yield values
    for joint in JOINTS:
        yield tuple(filter(None, (part.strip() for value in values for part in value.split(joint))))
