"""`mtag config`: what a person has settled, and where."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from mtag.cli.command import CONFIG_FILE
from mtag.cli.options import Json
from mtag.errors import ConfigError, MtagError

if TYPE_CHECKING:
    from mtag.cli.defaults import Option
    from mtag.config import Config
    from mtag.players import Player
    from mtag.vocabulary import Fields

BUILT_IN = "mtag"
HELP_COLUMN = 26  # where a comment begins that says what an option does
SOURCE_COLUMN = 26  # where a comment begins that says who settled a value

HEAD = """\
# What mtag does when the command line says nothing else. A line that begins with # settles nothing: take the mark
# away. `mtag config show` tells what holds and where it comes from.
"""
TAIL = """
[vocabulary]
# Other words in your files: `mtag tags` lists all. A word ("female vocals") stands for all its tags, a tag for itself.
# rename = { indian = "Indian Classical", synth = "synthesizer" }   # two tags with one name become one word
# hide = ["weird", "solo"]
# thresholds = { opera = 0.5 }   # believe it from this score on

[fields]
# Which kinds of words go where: genre, instrument, vocal, mood, negative (which is "instrumental").
# genre = ["genre"]
# comment = ["instrument", "vocal", "mood", "negative"]
# mood = ["mood"]
# grouping = ["instrument", "vocal"]

# A player of your own, for --for car; one with a known name changes what is known of it.
# [players.car]
# id3 = "2.3"                    # version of new ID3 tags
# separator = "; "               # one text in place of several values; "" for several values
# genres = 1                     # at most
# fields = { comment = [] }
"""


class Action(str, Enum):
    """What is to be done with the configuration."""

    SHOW = "show"
    PATH = "path"
    EDIT = "edit"


ActionArgument = Annotated[
    Action,
    typer.Argument(
        help="show: what holds, and where it comes from. path: where the file lies. edit: open it in $VISUAL or "
        "$EDITOR, and check it."
    ),
]


class Row(NamedTuple):
    """One thing that can be settled."""

    table: str
    key: str
    value: Any  # as TOML has it; None: nothing
    source: str  # the table of the configuration, or "mtag"


def config(context: typer.Context, action: ActionArgument, as_json: Json = False) -> None:
    """Show or edit the configuration: show, path, edit.

    It is in the user's config folder; MTAG_CONFIG and `mtag --config FILE` name another file.
    """
    from mtag.config import config_path

    named: Path | None = context.meta[CONFIG_FILE]
    if action is Action.PATH:
        typer.echo(config_path(named))
    elif action is Action.EDIT:
        _edit(config_path(named))
    else:
        _show(named, as_json)


# Show


def _show(named: Path | None, as_json: bool) -> None:
    from mtag.cli.app import checked_config

    held = checked_config(named)
    rows = list(_rows(held))
    if as_json:
        from mtag.cli.records import print_record

        for row in rows:
            print_record(row._asdict())
        return
    missing = "" if held.path.exists() else " (there is no such file yet; `mtag config edit` makes it)"
    typer.echo(f"# {held.path}{missing}")
    table = None
    for row in rows:
        if row.table != table:
            table = row.table
            typer.echo(f"\n[{table}]")
        line = f"# {row.key}: not set" if row.value is None else f"{_key(row.key)} = {_toml(row.value)}"
        typer.echo(line if row.source == BUILT_IN else f"{line:<{SOURCE_COLUMN}} # {row.source}")


def _rows(held: Config) -> Iterator[Row]:
    from mtag.cli.app import settable_commands
    from mtag.cli.defaults import settings_of

    for name, function in settable_commands().items():
        for setting in settings_of(function, name, held):
            source = f"[{setting.table}]" if setting.table else BUILT_IN
            yield Row(name, setting.option.key, _plain(setting.value), source)
    yield from _vocabulary_rows(held)
    fields = held.vocabulary().fields
    for key, kinds in _named(fields).items():
        own = any(place.value == key for place in held.fields)
        yield Row("fields", key, kinds, "[fields]" if own else BUILT_IN)
    for name, player in held.known_players.items():
        source = f"[players.{name}]" if name in held.players else BUILT_IN
        for key, value in _player(player, _named(held.vocabulary(name).fields)).items():
            yield Row(f"players.{_key(name)}", key, value, source)


def _vocabulary_rows(held: Config) -> Iterator[Row]:
    from mtag.vocabulary import WORD_OF

    words = {tag: held.words.word_of(tag) for tag in WORD_OF}
    renamed = {tag: word.name for tag, word in words.items() if word and word.name != WORD_OF[tag].name}
    hidden = [tag for tag, word in words.items() if word is None]
    settled = {"rename": renamed, "hide": hidden, "thresholds": dict(held.words.thresholds)}
    for key, value in settled.items():
        yield Row("vocabulary", key, value, "[vocabulary]" if value else BUILT_IN)


def _player(player: Player, fields: Mapping[str, list[str]]) -> dict[str, Any]:
    return {
        "id3": f"2.{player.style.id3_version}",
        "separator": player.style.separator or "",
        "genres": player.genres,
        "fields": fields,
    }


def _named(fields: Fields) -> dict[str, list[str]]:
    """Fields and kinds by name, each in its usual order."""
    from mtag.config import WRITABLE
    from mtag.vocabulary import Kind

    return {place.value: [kind.value for kind in Kind if kind in fields.get(place, ())] for place in WRITABLE}


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever stands in a signature
    if isinstance(value, Enum):
        return value.value
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _toml(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_key(key)} = {_toml(one)}" for key, one in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)  # TOML's texts, numbers and truths are JSON's


def _key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


# Edit


def _edit(path: Path) -> None:
    from mtag.cli.app import checked_config

    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(template(), encoding="utf-8")
    except OSError as error:
        raise ConfigError(path, None, f"cannot be made ({error.strerror})") from error
    usual = "notepad" if os.name == "nt" else "vi"
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or usual
    try:
        # On Windows a command is one text, in which the editor's own quotes have to stay.
        command = f'{editor} "{path}"' if os.name == "nt" else [*shlex.split(editor), str(path)]
        ended = subprocess.run(command, check=False)
    except OSError as error:
        raise MtagError(f"{editor} cannot be run ({error.strerror}): name your editor in EDITOR") from error
    except ValueError:
        raise MtagError(f"{editor} cannot be run: its quotes are not closed") from None
    if ended.returncode:
        raise MtagError(f"{editor} ended with code {ended.returncode}")
    checked_config(path)
    typer.echo(f"{path} is valid.")


def template() -> str:
    """A configuration that settles nothing and shows what could be settled."""
    from mtag.cli.app import settable_commands
    from mtag.cli.defaults import SHARED, options_of

    known = {name: options_of(function) for name, function in settable_commands().items()}
    told = [(option.key, option.help) for options in known.values() for option in options.values()]
    shared = {o.key: o for options in known.values() for o in options.values() if told.count((o.key, o.help)) > 1}
    lines = [HEAD, f"[{SHARED}]  # for every command that has the option", *map(_template_line, shared.values())]
    for name, options in known.items():
        lines += ["", f"[{name}]", *map(_template_line, options.values())]
    return "\n".join(lines) + "\n" + TAIL


def _template_line(option: Option) -> str:
    line = f"# {option.key} = {_toml(_example(option))}"
    return f"{line:<{HELP_COLUMN}} # {option.help}"


def _example(option: Option) -> Any:  # noqa: ANN401
    """A value that an option can have: its default where there is one."""
    from mtag.cli.defaults import PLAYER

    if option.default is not None and not option.many:
        return _plain(option.default)
    if issubclass(option.type, Enum):
        one: Any = next(iter(option.type)).value
    elif option.type is int:
        one = max(int(option.least or 0), 2)
    elif option.type is float:
        one = ((option.least or 0.0) + (option.most or 1.0)) / 2
    else:
        one = "navidrome" if option.key == PLAYER else "~/somewhere"
    return [one] if option.many else one
