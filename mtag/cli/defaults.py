"""Options in the configuration: which there are, whether a value can be, and what a command gets.

A table with a command's name, `[scan]`, holds defaults for its options, under their long names; `[defaults]` holds
them for every command that has such an option and can take the value. What stands on the command line counts more than
both.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from typer.models import OptionInfo

from mtag.config import OWN_TABLES, Config, nearest
from mtag.errors import ConfigError

SHARED = "defaults"  # the table that speaks to all commands
PLAYER = "for"  # the option whose values only the configuration knows

Function = Callable[..., Any]


@dataclass(frozen=True)
class Option:
    """An option of a command, as its function declares it."""

    key: str  # its long name without dashes
    parameter: str  # of the function
    type: type  # bool, int, float, str, Path, or an Enum of texts
    many: bool  # may be given several times
    least: float | None
    most: float | None
    default: Any
    help: str | None


@dataclass(frozen=True)
class Setting:
    """What an option is by default for a person, and who says so."""

    option: Option
    value: Any
    table: str | None  # of the configuration; None: mtag's own default


def options_of(function: Function) -> dict[str, Option]:
    """The options that a command's function declares, by their long names."""
    hints = get_type_hints(function, include_extras=True)
    defaults = inspect.signature(function).parameters
    found = (_option(name, hints[name], parameter.default) for name, parameter in defaults.items() if name in hints)
    return {option.key: option for option in found if option}


def _option(name: str, hint: Any, default: Any) -> Option | None:  # noqa: ANN401 - whatever stands in a signature
    if get_origin(hint) in (Union, UnionType):  # Python 3.10 makes `Annotated[...] = None` an Optional
        hint = get_args(hint)[0]
    annotated, *notes = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
    info = next((note for note in notes if isinstance(note, OptionInfo)), None)
    if info is None:
        return None
    # Until typer has read the signature, the first name stands where the default would.
    spelt = (text for text in (info.default, *(info.param_decls or ())) if str(text).startswith("--"))
    key = str(next(spelt)).split("/")[0].strip().removeprefix("--")
    if get_origin(annotated) in (Union, UnionType):
        annotated = next(kind for kind in get_args(annotated) if kind is not type(None))
    many = get_origin(annotated) is list
    kind = get_args(annotated)[0] if many else annotated
    return Option(
        key, name, kind, many, info.min, info.max, None if default is inspect.Parameter.empty else default, info.help
    )


def settings_of(function: Function, name: str, config: Config) -> Iterator[Setting]:
    """Every option of a command with its effective default."""
    tables = [table for table in (name, SHARED) if table in config.options]
    for key, option in options_of(function).items():
        table = next((table for table in tables if _can_take(config.options[table], key, option)), None)
        if table is None:
            yield Setting(option, option.default, None)
        else:
            yield Setting(option, _resolved(config.options[table][key], option, config), table)


def _can_take(values: Mapping[str, Any], key: str, option: Option) -> bool:
    return key in values and _fault(values[key], option) is None


def default_map(function: Function, name: str, config: Config) -> dict[str, Any]:
    """What the configuration says for a command, as typer's contexts take it: {parameter: value}."""
    return {s.option.parameter: s.value for s in settings_of(function, name, config) if s.table}


def check_options(config: Config, commands: Mapping[str, Function]) -> None:
    """Refuse tables and options that do not exist, and values that cannot be.

    Raises
    ------
    ConfigError
        Naming the file, the key, and the key that may be meant.
    """
    options = {name: {key: [option] for key, option in options_of(f).items()} for name, f in commands.items()}
    shared: dict[str, list[Option]] = {}
    for known in options.values():
        for key, own in known.items():
            shared.setdefault(key, []).extend(own)
    options[SHARED] = shared
    for table, values in config.options.items():
        if table not in options:
            known_tables = [*options, *OWN_TABLES]
            raise ConfigError(config.path, f"[{table}]", f"there is no such table{nearest(table, known_tables)}")
        for key, value in values.items():
            if reason := _reason_against(key, value, options[table], config):
                raise ConfigError(config.path, f"[{table}] {key}", reason)


def _reason_against(key: str, value: Any, known: Mapping[str, list[Option]], config: Config) -> str | None:  # noqa: ANN401
    """Why a table cannot say this, None if it can."""
    if key not in known:
        return f"there is no such option{nearest(key, known)}"
    faults = [_fault(value, option) for option in known[key]]
    reason = None if None in faults else faults[0]
    if reason is None and key == PLAYER and value not in config.known_players:
        return f'no player is called "{value}"{nearest(value, config.known_players)}'
    return reason


def _fault(value: Any, option: Option) -> str | None:  # noqa: ANN401 - whatever TOML can hold
    """Why a value cannot be an option's, None if it can."""
    if not option.many:
        return _fault_of_one(value, option)
    if not isinstance(value, list):
        return "has to be a list: [...]"
    return next(filter(None, (_fault_of_one(one, option) for one in value)), None)


def _fault_of_one(value: Any, option: Option) -> str | None:  # noqa: ANN401
    kind = option.type
    if issubclass(kind, Enum):
        choices = [member.value for member in kind]
        return None if value in choices else f'cannot be "{value}"{nearest(str(value), choices)}'
    if kind is bool:
        return None if isinstance(value, bool) else "has to be true or false"
    if kind in (str, Path):
        return None if isinstance(value, str) and value else "has to be text in quotes"
    wanted = "a whole number" if kind is int else "a number"
    bounds = [f"at least {option.least}"] if option.least is not None else []
    bounds += [f"at most {option.most}"] if option.most is not None else []
    sentence = ", ".join([f"has to be {wanted}", *bounds])
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        return sentence
    least = -float("inf") if option.least is None else option.least
    most = float("inf") if option.most is None else option.most
    return None if least <= value <= most else sentence


def _resolved(value: Any, option: Option, config: Config) -> Any:  # noqa: ANN401
    """A value as on the command line: paths as a shell would give them, from the configuration's folder."""
    if option.type is not Path:
        return value
    if option.many:
        return [str(config.path.parent.absolute() / Path(one).expanduser()) for one in value]
    return str(config.path.parent.absolute() / Path(value).expanduser())
