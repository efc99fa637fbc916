"""What players and servers read: how tags are to be written for each; docs/players.md says where this was learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mtag.field import Field
from mtag.tagfile import Style
from mtag.vocabulary import MAX_GENRES, Fields, Kind


@dataclass(frozen=True)
class Player:
    """How a player wants its tags."""

    style: Style = field(default_factory=Style)
    genres: int = MAX_GENRES  # at most
    fields: Fields = field(default_factory=dict)  # the kinds for each field, where they are not the usual ones


PLAYERS: Mapping[str, Player] = {
    # Splits a lone value at comma, semicolon and slash, and leaves several values alone (navidrome #4516); MOOD is
    # a field of its smart playlists (resources/mappings.yaml), ID3's TIT1 counts as "work" there, not as grouping.
    "navidrome": Player(fields={Field.MOOD: frozenset({Kind.MOOD})}),
    # "A; B" is one genre unless the library's custom delimiters are switched on, which they are not at first
    # (jellyfin #11871, #12385); several values are several genres.
    "jellyfin": Player(),
    # Reads tags through FFmpeg, which gives the first of several values, the surest genre, but in Vorbis comments all.
    "plex": Player(),
    # Tells several values from one text with a separator in it (onetagger #222); shows any field.
    "foobar": Player(fields={Field.MOOD: frozenset({Kind.MOOD})}),
    # Has one genre a track and one comment, of several comments the first (onetagger #439), and no mood. ID3 2.3 is
    # caution: what tools made for it write, though its manual names 2.4, too.
    "rekordbox": Player(Style(id3_version=3), genres=1),
    # Older Windows does not read ID3 2.4 (picard #2209); in 2.3 several genres are by custom one text with semicolons
    # (taglib-sharp #111, mutagen #492).
    "windows": Player(Style(id3_version=3, separator="; ")),
}
