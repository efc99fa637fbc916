"""`config.toml`: a person's own defaults, vocabulary, fields and players.

What can be said here is checked here, key by key, but for the options of commands: those the command line knows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mtag.errors import ConfigError
from mtag.field import Field
from mtag.players import PLAYERS, Player
from mtag.vocabulary import DEFAULT_FIELDS, Fields, Kind, Vocabulary, known_names, tags_named, tailor

VARIABLE = "MTAG_CONFIG"
OWN_TABLES = ("vocabulary", "fields", "players")  # all others hold options
WRITABLE = tuple(place for place in Field if place is not Field.PROVENANCE)
PLAYER_KEYS = ("id3", "separator", "genres", "fields")
ID3_VERSIONS = {"2.3": 3, "2.4": 4}
MANY_NAMES = 12  # a longer list of what there is helps nobody


@dataclass(frozen=True)
class Config:
    """What a person has settled; the empty one is mtag as it comes."""

    path: Path  # the file, which need not exist
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # table -> option -> value, unchecked
    words: Vocabulary = field(default_factory=Vocabulary)  # fields and genres as for no player
    fields: Fields = field(default_factory=dict)  # as far as they were named
    players: Mapping[str, Player] = field(default_factory=dict)  # own ones, whole

    @property
    def known_players(self) -> Mapping[str, Player]:
        """All players that `--for` may name; own ones count more."""
        return {**PLAYERS, **self.players}

    def player(self, name: str | None) -> Player:
        """How a player wants its tags; None: mtag's own way.

        Raises
        ------
        ConfigError
            There is no such player.
        """
        if name is None:
            return Player()
        if name not in self.known_players:
            reason = f'no player is called "{name}"{nearest(name, self.known_players)}'
            raise ConfigError(None, "--for", reason)
        return self.known_players[name]

    def vocabulary(self, player: str | None = None) -> Vocabulary:
        """The words, and where they go for a player: its own table decides, then [fields], then what is known of it."""
        wanted, name = self.player(player), player or ""
        known, own = PLAYERS.get(name, Player()), self.players.get(name, Player())
        fields = {**DEFAULT_FIELDS, **known.fields, **self.fields, **own.fields}
        return replace(self.words, fields=fields, max_genres=wanted.genres)


def config_path(named: Path | None = None) -> Path:
    """Where the configuration lies: the file named, MTAG_CONFIG, else `config.toml` in the user's config folder."""
    chosen = named or os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_config_path

    return user_config_path("mtag", appauthor=False) / "config.toml"


def load_config(named: Path | None = None) -> Config:
    """Read the configuration; where nobody named a file there need not be one.

    Raises
    ------
    ConfigError
        The file cannot be read, or says something that mtag does not understand.
    """
    path = config_path(named)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if named or os.environ.get(VARIABLE):
            raise ConfigError(path, None, "there is no such file") from None
        return Config(path)
    except OSError as error:
        raise ConfigError(path, None, f"cannot be read ({error.strerror})") from error
    return parse_config(content, path)


def parse_config(content: bytes, path: Path) -> Config:
    """Understand a configuration; `path` is for messages, and for paths that are relative to it.

    Raises
    ------
    ConfigError
        With the key at fault.
    """
    tables = _Table(path, "", _parse_toml(content, path))
    options = {name: tables.table(name).values for name in tables.values if name not in OWN_TABLES}
    vocabulary = tables.table("vocabulary", known=("rename", "hide", "thresholds"))
    fields = _fields(tables.table("fields", known=[place.value for place in WRITABLE]))
    players = tables.table("players")
    return Config(
        path=path,
        options=options,
        words=_vocabulary(vocabulary),
        fields=fields,
        players={name: _player(name, players.table(name, known=PLAYER_KEYS)) for name in players.values},
    )


def _parse_toml(content: bytes, path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(content.decode("utf-8-sig"))  # Windows' Notepad may begin a file with a mark
    except UnicodeDecodeError:
        raise ConfigError(path, None, "is not UTF-8 text") from None
    except ValueError as error:
        reason = str(error)
        raise ConfigError(path, None, f"is not TOML: {reason[:1].lower()}{reason[1:]}") from None


def _vocabulary(table: _Table) -> Vocabulary:
    rename, thresholds = table.table("rename"), table.table("thresholds")
    for names in (rename, thresholds):
        for name in names.values:
            names.check_tag(name, name)
    for name in table.texts("hide"):
        table.check_tag("hide", name)
    for name in rename.values:
        _check_word(rename, name, rename.text(name))
    for name in thresholds.values:
        thresholds.number(name, 0, 1)
    return tailor(rename.values, table.texts("hide"), {n: float(v) for n, v in thresholds.values.items()})


def _check_word(table: _Table, key: str, word: str) -> None:
    """Refuse a word that some container or player would read as another one."""
    if not word.strip():
        raise table.error(key, 'a word cannot be empty; "hide" leaves it out')
    if word != word.strip() or not word.isprintable():
        raise table.error(key, "a word cannot have line breaks, nor spaces around it")
    if ";" in word:
        raise table.error(key, "a word cannot hold a semicolon: players take that for two words")
    if word.startswith("(") or word.isdigit() or word in ("RX", "CR"):
        raise table.error(key, "players would take that for a code of ID3")


def _fields(table: _Table) -> Fields:
    kinds = [kind.value for kind in Kind]
    chosen = {}
    for name in table.values:
        for kind in table.texts(name):
            if kind not in kinds:
                raise table.error(name, f'no kind of word is called "{kind}"{nearest(kind, kinds)}')
        chosen[Field(name)] = frozenset(map(Kind, table.texts(name)))
    return chosen


def _player(name: str, table: _Table) -> Player:
    """A player of one's own; one with the name of a known player changes what is known of it."""
    player = PLAYERS.get(name, Player())
    style = player.style
    if "id3" in table.values:
        if (version := table.text("id3")) not in ID3_VERSIONS:
            raise table.error("id3", 'has to be "2.3" or "2.4"')
        style = replace(style, id3_version=ID3_VERSIONS[version])
    if "separator" in table.values:
        separator = table.text("separator") or None
        if separator and (not separator.isprintable() or separator.isspace()):
            raise table.error("separator", 'has to be text that can be seen, or "" for several values')
        style = replace(style, separator=separator)
    player = replace(player, style=style)
    if "genres" in table.values:
        player = replace(player, genres=table.whole("genres", 1))
    fields = _fields(table.table("fields", known=[place.value for place in WRITABLE]))
    return replace(player, fields=fields)


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that does not exist: the one that may be meant, or all there are."""
    names = list(known)
    folded = {candidate.casefold(): candidate for candidate in reversed(names)}
    close = get_close_matches(name.casefold(), folded, 1)
    if close:
        return f"; did you mean {folded[close[0]]}?"
    return f"; there are {', '.join(names)}" if 0 < len(names) <= MANY_NAMES else ""


@dataclass(frozen=True)
class _Table:
    """A table of the file that knows its name, so that whatever is wrong in it can be named."""

    path: Path
    name: str  # "vocabulary.rename"; "" for the file as a whole
    values: dict[str, Any]

    def error(self, key: str, reason: str) -> ConfigError:
        return ConfigError(self.path, f"[{self.name}] {key}" if self.name else f"[{key}]", reason)

    def table(self, key: str, known: Iterable[str] | None = None) -> _Table:
        """A table inside this one, empty where it is missing; with `known`, no other keys may stand in it."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            hint = f"; an option stands in the table of its command, or in [defaults]: {key} = ..."
            raise self.error(key, "has to be a table" + ("" if self.name else hint))
        table = _Table(self.path, f"{self.name}.{key}" if self.name else key, value)
        if known is not None:
            names = list(known)
            for name in value:
                if name not in names:
                    raise table.error(name, f"there is no such key{nearest(name, names)}")
        return table

    def check_tag(self, key: str, name: str) -> None:
        if not tags_named(name):
            raise self.error(key, f'no tag is called "{name}"{nearest(name, known_names())}')

    def text(self, key: str) -> str:
        if not isinstance(value := self.values[key], str):
            raise self.error(key, "has to be text in quotes")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of texts, empty where it is missing."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.error(key, 'has to be a list of texts: ["...", "..."]')
        return value

    def number(self, key: str, least: float, most: float) -> float:
        value = self.values[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise self.error(key, f"has to be a number from {least} to {most}")
        return float(value)

    def whole(self, key: str, least: int) -> int:
        value = self.values[key]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.error(key, f"has to be a whole number, at least {least}")
        return value
