"""What a file's genre and comment say, and what they ought to say: no file is touched here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

COMMENT_PREFIX = "mtag: "  # begins the one comment that is mtag's own
SEPARATOR = "; "  # between genres where a container has room for one text only
GENERIC = frozenset({"", "other", "unknown", "misc", "unknown genre", "none"})  # genres that say nothing, casefolded

# ID3's codes: "(17)", "(17)(3)Refinement", "17", and RX and CR for remix and cover; "((" stands for a plain "(".
_CODES = re.compile(r"((?:\((?:\d{1,3}|RX|CR)\))*)(.*)", re.DOTALL)
_WORD_CODES = {"RX": "Remix", "CR": "Cover"}


class GenrePolicy(str, Enum):
    """What becomes of the genres that a file has already."""

    FILL = "fill"  # write only where the genre is empty or generic
    APPEND = "append"  # keep them and add the missing ones
    REPLACE = "replace"


@dataclass(frozen=True)
class Fields:
    """What a player shows for a file."""

    genres: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()  # those meant for people; blank ones and programs' own notes are not among them


def plan(current: Fields, genres: tuple[str, ...], line: str | None, policy: GenrePolicy) -> Fields | None:
    """Say how a file's fields should read.

    Parameters
    ----------
    current
        How they read now.
    genres
        What was heard, best first. None at all never takes a genre away, whatever the policy.
    line
        The comment that mtag has to make, beginning with `COMMENT_PREFIX`. It takes the place of an earlier one of
        its own; None only takes that away. A user's own comment always stays.
    policy
        What becomes of the genres that the file has.

    Returns
    -------
    The fields as they should be, or None when they are so already.
    """
    line = one_line(line or "")
    if line and line != COMMENT_PREFIX.strip() and not is_ours(line):
        raise ValueError(f"mtag's comment has to begin with {COMMENT_PREFIX!r}: {line!r}")
    comments = _plan_comments(current.comments, line if is_ours(line) else None)
    planned = Fields(_plan_genres(current.genres, clean_genres(genres), policy), comments)
    return None if planned == current else planned


def _plan_genres(current: tuple[str, ...], heard: tuple[str, ...], policy: GenrePolicy) -> tuple[str, ...]:
    if not heard:
        return current
    if policy is GenrePolicy.REPLACE:
        return heard
    if policy is GenrePolicy.FILL:
        return heard if all(genre.strip().casefold() in GENERIC for genre in current) else current
    known = {genre.casefold() for genre in current}
    return current + tuple(genre for genre in heard if genre.casefold() not in known)


def _plan_comments(current: tuple[str, ...], line: str | None) -> tuple[str, ...]:
    wanted = () if line is None else (line,)
    if own_lines(Fields(comments=current)) == wanted:
        return current
    return tuple(comment for comment in current if not is_ours(comment)) + wanted


def own_lines(fields: Fields) -> tuple[str, ...]:
    """Mtag's comments among a file's: one, unless somebody has been copying."""
    return tuple(filter(is_ours, fields.comments))


def agree(fields: Fields, others: Fields) -> bool:
    """Whether two files say the same where mtag has a say; users' comments may differ."""
    return fields.genres == others.genres and own_lines(fields) == own_lines(others)


def is_ours(comment: str) -> bool:
    """Whether mtag wrote a comment; one that somebody has added lines to is theirs from then on."""
    return comment.startswith(COMMENT_PREFIX) and "\n" not in comment and "\r" not in comment


def one_line(text: str) -> str:
    """Text that every container can hold: no control characters, no line breaks, no lone surrogates."""
    kept = (" " if unicodedata.category(c) in {"Cc", "Cs"} else c for c in text if c != "\ufeff")
    return " ".join("".join(kept).split())


def clean_genres(names: Iterable[str]) -> tuple[str, ...]:
    """Genre names that every container gives back as they are: one name each, no doubles, codes spelt out."""
    unique: dict[str, str] = {}
    for name in names:
        for part in one_line(name).split(SEPARATOR):
            for genre in _spell_out(part):
                unique.setdefault(genre.casefold(), genre)
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

    number = int(code)
    return str(TCON.GENRES[number]) if number < len(TCON.GENRES) else code
