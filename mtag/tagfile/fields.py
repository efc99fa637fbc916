"""What a file's fields say, and what they ought to say: no file is touched here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from enum import Enum

from mtag.field import Field

COMMENT_PREFIX = "mtag: "  # begins the one comment that is mtag's own
SEPARATOR = "; "  # between values where a container has room for one text only
# Genres that say nothing, casefolded; 255 is ID3v1's number for none.
GENERIC = frozenset({"", "other", "unknown", "misc", "unknown genre", "none", "255"})
VALUED = (Field.GENRE, Field.MOOD, Field.GROUPING)  # fields that hold names; all of a field's names are written at once

# ID3's codes: "(17)", "(17)(3)Refinement", "17", and RX and CR for remix and cover; "((" stands for a plain "(".
_CODES = re.compile(r"((?:\((?:\d{1,3}|RX|CR)\))*)(.*)", re.DOTALL)
_WORD_CODES = {"RX": "Remix", "CR": "Cover"}
_ATTRIBUTES = {Field.GENRE: "genres", Field.COMMENT: "comments", Field.MOOD: "moods", Field.GROUPING: "groupings"}


class GenrePolicy(str, Enum):
    """What becomes of the genres that a file has already."""

    FILL = "fill"  # write only where the genre is empty or generic
    APPEND = "append"  # keep them and add the missing ones
    REPLACE = "replace"


@dataclass(frozen=True)
class Style:
    """How a player wants to find the fields."""

    id3_version: int = 4  # of a new ID3 tag, 3 or 4; a tag that is there keeps its own
    separator: str | None = None  # joins a field's values to one text; None: as many values as the container takes

    def __post_init__(self) -> None:
        """Refuse what no file could hold."""
        if self.id3_version not in (3, 4):
            raise ValueError(f"new ID3 tags are of version 2.3 or 2.4, not 2.{self.id3_version}")
        if self.separator is not None and not one_line(self.separator):
            raise ValueError(f"values cannot be told apart by {self.separator!r}")

    def joined(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """The texts that stand for some values."""
        return values if self.separator is None or not values else (self.separator.join(values),)


@dataclass(frozen=True)
class Fields:
    """What a player shows for a file."""

    genres: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()  # those meant for people; blank ones and programs' own notes are not among them
    moods: tuple[str, ...] = ()
    groupings: tuple[str, ...] = ()
    # No player shows the rest.
    provenance: str = attribute(default="", compare=False)  # which mtag wrote to the file; empty where none has
    before: Fields | None = attribute(default=None, compare=False, repr=False)  # what it said before that; None: as now
    texts: Mapping[Field, tuple[str, ...]] = attribute(default_factory=dict, compare=False, repr=False)  # as stored

    def of(self, field: Field) -> tuple[str, ...]:
        """The values of one field."""
        if field is Field.PROVENANCE:
            return (self.provenance,) if self.provenance else ()
        values: tuple[str, ...] = getattr(self, _ATTRIBUTES[field])
        return values

    @property
    def untouched(self) -> Fields:
        """What the file says without mtag; what somebody has changed since is theirs and counts as said before."""
        return self if self.before is None else self.before


def plan(
    current: Fields,
    words: Mapping[Field, tuple[str, ...]],
    policy: GenrePolicy,
    provenance: str = "",
    style: Style = Style(),
) -> Fields | None:
    """Say how a file's fields should read.

    The plan is made for the file as it was before mtag first wrote to it (`Fields.untouched`), so it does not matter
    what an earlier run under another policy, or with other weights, has written: nothing to say means that all of
    that goes again.

    Parameters
    ----------
    current
        How they read now, from `read_fields`.
    words
        What was heard, best first, by the field it is to go to; fields may be missing. No genre at all never takes a
        genre of the user's away. Moods and groupings go only where the file has none. The words for the comment make
        one line behind `COMMENT_PREFIX`, beside the user's own comments, which always stay.
    policy
        What becomes of the genres that the file has.
    provenance
        Which mtag speaks, from `stamp`. It alone is no reason to write.
    style
        How the values are going to be written.

    Returns
    -------
    The fields as they should be, for `write`, or None when they are so already.
    """
    before = current.untouched
    line = own_line(words.get(Field.COMMENT, ()))
    planned = Fields(
        _plan_genres(before.genres, clean_genres(words.get(Field.GENRE, ())), policy),
        tuple(comment for comment in before.comments if not is_ours(comment)) + line,
        before.moods or clean_texts(words.get(Field.MOOD, ())),
        before.groupings or clean_texts(words.get(Field.GROUPING, ())),
    )
    if agree(current, planned, style):
        return None
    return planned if planned == before else replace(planned, provenance=provenance)


def _plan_genres(current: tuple[str, ...], heard: tuple[str, ...], policy: GenrePolicy) -> tuple[str, ...]:
    if not heard:
        return current
    if policy is GenrePolicy.REPLACE:
        return heard
    if policy is GenrePolicy.FILL:
        return heard if all(genre.strip().casefold() in GENERIC for genre in current) else current
    known = {genre.casefold() for genre in current}
    return current + tuple(genre for genre in heard if genre.casefold() not in known)


def stamp(version: str, fingerprint: str) -> str:
    """Tell which mtag writes: its version, and the bundle it hears with."""
    return f"mtag {version} {fingerprint}"


def own_line(words: Iterable[str]) -> tuple[str, ...]:
    """The comment that says these words, or none where they say nothing."""
    line = one_line(COMMENT_PREFIX + ", ".join(words))
    return (line,) if is_ours(line) else ()


def own_lines(fields: Fields) -> tuple[str, ...]:
    """Mtag's comments among a file's: one, unless somebody has been copying."""
    return tuple(filter(is_ours, fields.comments))


def agree(current: Fields, planned: Fields, style: Style = Style()) -> bool:
    """Whether a file says what is planned where mtag has a say; users' comments may differ, and so may the stamp."""
    if own_lines(current) != own_lines(planned):
        return False
    return all(_agree(current, planned.of(field), field, style) for field in VALUED)


def _agree(current: Fields, wanted: tuple[str, ...], field: Field, style: Style) -> bool:
    if style.separator is None or wanted == current.untouched.of(field):  # the user's own values are left unjoined
        return current.of(field) == wanted
    joined = style.joined(wanted)
    return current.texts.get(field, style.joined(current.of(field))) == joined


def is_ours(comment: str) -> bool:
    """Whether mtag wrote a comment; one that somebody has added lines to is theirs from then on."""
    return comment.startswith(COMMENT_PREFIX) and "\n" not in comment and "\r" not in comment


def one_line(text: str) -> str:
    """Text that every container can hold: no control characters, no line breaks, no lone surrogates."""
    kept = (" " if unicodedata.category(c) in {"Cc", "Cs"} else c for c in text if c != "\ufeff")
    return " ".join("".join(kept).split())


def clean_texts(names: Iterable[str]) -> tuple[str, ...]:
    """Names that every container gives back as they are: one name each, no blanks, no doubles."""
    parts = (part.strip() for name in names for part in one_line(name).split(SEPARATOR))
    return _unique(filter(None, parts))


def clean_genres(names: Iterable[str]) -> tuple[str, ...]:
    """Names as `clean_texts`, with ID3's codes spelt out."""
    return _unique(genre for name in clean_texts(names) for genre in _spell_out(name))


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    unique: dict[str, str] = {}
    for name in names:
        unique.setdefault(name.casefold(), name)
    return tuple(unique.values())


def _spell_out(text: str) -> tuple[str, ...]:
    """Read codes until none is left; nothing for blank text."""
    text = text.strip()
    names = genre_names(text)
    return names if names == (text,) else tuple(genre for name in names for genre in _spell_out(name))


def genre_names(text: str) -> tuple[str, ...]:
    """Spell out ID3's genre codes in one text: `(17)` and `17` are Rock, `(4)Eurodisco` is Disco and Eurodisco."""
    if text in _WORD_CODES or (text.isascii() and text.isdigit()):
        return (_spell(text),)
    match = _CODES.fullmatch(text)
    codes, rest = match.groups() if match else ("", text)
    names = [_spell(code) for code in codes[1:-1].split(")(")] if codes else []
    if rest.startswith("(("):
        rest = rest[1:]
    return tuple(dict.fromkeys([*names, rest] if rest else names))


def genre_text(name: str) -> str:
    """The way to write one name so that `genre_names` reads it back."""
    return name if genre_names(name) == (name,) else f"({name}"


def _spell(code: str) -> str:
    if code in _WORD_CODES:
        return _WORD_CODES[code]
    from mutagen.id3 import TCON

    number = int(code) if len(code) <= 3 else len(TCON.GENRES)
    return str(TCON.GENRES[number]) if number < len(TCON.GENRES) else code
