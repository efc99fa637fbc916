"""What a file said before mtag: kept in a field of its own, so that everything can be taken out again.

A file is never edited on top of an earlier edit. Whatever mtag wrote is first taken out in thought (`stripped`), the
plan is carried out on what is left, and the way back is noted anew. So the first state survives any number of writes,
and what somebody has changed since, which no longer reads as mtag left it, is taken for theirs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mtag.field import Field
from mtag.tagfile.dialects import dialect_of
from mtag.tagfile.fields import SEPARATOR, VALUED, Fields, Style, agree, own_lines
from mtag.tagfile.items import (
    Container,
    Dialect,
    Item,
    Items,
    Room,
    comments_behind,
    in_order,
    items_of,
    shown_in,
    with_line,
    with_values,
)
from mtag.tagfile.reading import Malformed
from mtag.tagfile.snapshot import Snapshot, put_back, readings, said, take

UNNAMED = "mtag"  # stands where no better stamp was given, and begins every one
MAX_BYTES = 1 << 24  # unpacked; far more than anybody's genres and comments take


@dataclass(frozen=True)
class Origin:
    """What stands in mtag's own field."""

    stamp: str  # which mtag wrote
    before: Snapshot  # the fields it changed, as they were
    after: Mapping[Field, str]  # fingerprint of what each of them said afterwards
    shown: tuple[str, ...] = ()  # genres that players showed where the tag was silent
    copied: tuple[str, ...] = ()  # those of mtag's that other programs had written there

    def to_text(self) -> str:
        """The stamp, readable, and everything else packed."""
        before = self.before
        names = {before.key_of(field): field.value for field in before.fields}
        items = [[index, names[item.key], item.place, item.raw.decode("latin-1")] for index, item in before.items]
        after = {field.value: self.after[field] for field in Field if field in self.after}
        data = {"s": before.spelling, "t": int(before.tagged), "r": before.room, "a": after, "i": items}
        data |= {key: genres for key, genres in (("g", self.shown), ("c", self.copied)) if genres}
        packed = zlib.compress(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(), 9)
        return f"{self.stamp} {base64.urlsafe_b64encode(packed).decode().rstrip('=')}"

    @classmethod
    def from_text(cls, text: str) -> Origin | None:
        """Read what `to_text` gave; None for anything else, say a text that another program has cut short."""
        stamp, _, packed = text.rpartition(" ")
        try:
            unpacked = zlib.decompressobj().decompress(base64.urlsafe_b64decode(packed + "==="), MAX_BYTES)
            data = json.loads(unpacked)
            after = {Field(name): str(fingerprint) for name, fingerprint in data["a"].items()}
            room = tuple(n for n in map(int, data.get("r", ())) if 0 <= n <= MAX_BYTES)
            dialect_of(data["s"])
            before = Snapshot(data["s"], bool(data["t"]), (), frozenset(after), room)
            items = tuple(
                (int(index), Item(before.key_of(Field(name)), raw.encode("latin-1"), str(place)))
                for index, name, place, raw in data["i"]
            )
            shown, copied = (tuple(map(str, data.get(key, ()))) for key in "gc")
            return cls(stamp, replace(before, items=items), after, shown, copied)
        except (binascii.Error, zlib.error, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None


def fields_of(container: Container) -> Fields:
    """Read the fields as a player shows them, and as it showed them before mtag."""
    now, original = shown_in(container, container.items), stripped(container)
    if original == container.items:
        return now
    origin = _origin_in(container.dialect, container.items or ())
    return replace(now, provenance=origin.stamp if origin else UNNAMED, before=shown_in(container, original))


def repeats_genres(container: Container) -> bool:
    """Whether ID3v1 or INFO only repeat the genres that mtag wrote, as programs have them do that write both."""
    items, shown = container.items or (), container.shown.genres
    origin = _origin_in(container.dialect, items) if shown else None
    if (
        origin is None
        or shown == origin.shown
        or Field.GENRE not in origin.after
        or origin.before.items_of(Field.GENRE)
    ):
        return False
    ours = _as_left(container.dialect, items, Field.GENRE, origin)
    return ours is not None and _spelt_apart(shown) <= _spelt_apart((*ours, *origin.copied))


def _spelt_apart(genres: Iterable[str]) -> set[str]:
    return {part.strip().casefold() for genre in genres for part in genre.split(SEPARATOR)}


def stripped(container: Container) -> Items | None:
    """The items without anything of mtag's; None where its tag is all of that.

    Of a file that version 0.1.0 wrote only the comment is known to be mtag's.
    """
    items = container.items
    if items is None:
        return None
    rest = _stripped(container, items)
    return None if rest == () != items else rest


def first_room(container: Container) -> Room:
    """What the tag took up before mtag wrote to it."""
    origin = _origin_in(container.dialect, container.items or ())
    return origin.before.room if origin else container.room


def _stripped(container: Container, items: Items) -> Items | None:
    dialect = container.dialect
    origin = _origin_in(dialect, items)
    rest = tuple(item for item in items if not _is_own(dialect, item))
    after = origin.after if origin else {}
    unchanged = {field for field in after if origin and _as_left(dialect, rest, field, origin) is not None}
    if Field.COMMENT not in unchanged:
        rest = with_line(dialect, rest, None)
    return put_back(container, rest, origin.before, unchanged) if origin else rest


def planned(container: Container, fields: Fields, style: Style) -> Items | None:
    """The items of a file that reads as planned, and can be brought back to what it is without mtag."""
    if agree(fields_of(container), fields, style):
        return container.items
    container.begin(style)
    dialect, base = container.dialect, stripped(container)
    start = items = container.fresh() if base is None else base
    shown = shown_in(container, base)
    for field in VALUED:
        if fields.of(field) != shown.of(field):
            items = with_values(dialect, items, field, fields.of(field), style)
    if line := own_lines(fields):
        for text in (*filter(None, [SEPARATOR.join(comments_behind(container, items))]), line[0]):
            items = with_line(dialect, items, text)
    return base if items == start else _with_origin(container, base, items, fields.provenance)


def _with_origin(container: Container, base: Items | None, items: Items, stamp: str) -> Items:
    """Add mtag's field to new items, with as little in it as leads back to the old ones."""
    dialect = container.dialect
    if items_of(dialect, items, Field.PROVENANCE):
        raise Malformed("it has a field named MTAG that mtag did not write")
    stamp = stamp if stamp.split(" ")[0] == UNNAMED else f"{UNNAMED} {stamp}".rstrip()
    start = container.fresh() if base is None else base
    room = first_room(container)
    changed = [field for field in VALUED if items_of(dialect, items, field) != items_of(dialect, start, field)]
    # Without the comments first: their former state is seldom needed, as mtag's line is known by its beginning.
    for fields in (changed, [*changed, Field.COMMENT]):
        after = {field: _fingerprint(said(dialect, items, field)) for field in fields}
        before = replace(take(container, base, fields), room=room)
        text = Origin(stamp, before, after, container.shown.genres, container.copied).to_text()
        new = in_order([*items, *dialect.spell(Field.PROVENANCE, (text,), Style(), None)])
        if _stripped(container, new) == base:
            return new
    raise Malformed("what it says now could not be put back later")


def _origin_in(dialect: Dialect, items: Items) -> Origin | None:
    """What mtag's field says, where it is there and whole."""
    texts = (text for item in items_of(dialect, items, Field.PROVENANCE) for text in dialect.texts(item))
    return next(filter(None, map(Origin.from_text, filter(_is_own_text, texts))), None)


def _is_own(dialect: Dialect, item: Item) -> bool:
    return item.key == dialect.keys[Field.PROVENANCE] and any(map(_is_own_text, dialect.texts(item)))


def _is_own_text(text: str) -> bool:
    return text.split(" ")[0] == UNNAMED


def _as_left(dialect: Dialect, items: Items, field: Field, origin: Origin) -> tuple[str, ...] | None:
    """What a field says, if that is still what it said when mtag had written."""
    said_now = readings(dialect, items, field)
    return next((values for values in said_now if _fingerprint(values) == origin.after[field]), None)


def _fingerprint(values: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(values).encode("utf-8", "replace")).hexdigest()[:12]
