from __future__ import annotations

import os
import re
from enum import Enum
from pathlib import Path
from typing import Annotated

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from mtag.cli.app import load_command, settable_commands
from mtag.cli.config import _toml as toml
from mtag.cli.defaults import check_options, default_map, options_of, settings_of
from mtag.config import Config, parse_config
from mtag.errors import ConfigError

HERE = Path("/somewhere/config.toml")
SETTABLE = settable_commands()


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def paint(
    context: typer.Context,
    walls: Annotated[list[Path], typer.Argument(help="What to paint.")],
    colour: Annotated[Colour, typer.Option("--colour")] = Colour.RED,
    coats: Annotated[int | None, typer.Option("--coats", min=1, max=9)] = None,
    share: Annotated[float, typer.Option("--share", min=0, max=1)] = 1.0,
    names: Annotated[list[str] | None, typer.Option("--name")] = None,
    very_dry: Annotated[bool, typer.Option("--dry")] = False,
    tin: Annotated[Path | None, typer.Option("--tin")] = None,
) -> None:
    """Paint walls."""


def parsed(text: str) -> Config:
    return parse_config(text.encode(), HERE)


def checked(text: str) -> Config:
    config = parsed(text)
    check_options(config, {"paint": paint})
    return config


def test_options_are_known_by_their_long_names():
    assert list(options_of(paint)) == ["colour", "coats", "share", "name", "dry", "tin"]


def test_a_commands_own_table_counts_more_than_the_shared_one():
    config = checked("[defaults]\ncoats = 2\ndry = true\n[paint]\ncoats = 3")
    assert default_map(paint, "paint", config) == {"coats": 3, "very_dry": True}
    assert {s.option.key: s.table for s in settings_of(paint, "paint", config)} == {
        "colour": None,
        "coats": "paint",
        "share": None,
        "name": None,
        "dry": "defaults",
        "tin": None,
    }


def test_paths_are_from_the_configurations_folder_and_may_begin_at_home():
    assert default_map(paint, "paint", checked('[paint]\ntin = "a/b"')) == {"tin": os.path.abspath("/somewhere/a/b")}
    assert default_map(paint, "paint", checked('[paint]\ntin = "~/b"')) == {"tin": os.path.expanduser("~/b")}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[paimt]\ncoats = 2", "[paimt]: there is no such table; did you mean paint?"),
        ("[paint]\ncoat = 2", "[paint] coat: there is no such option; did you mean coats?"),
        ("[defaults]\ncoat = 2", "[defaults] coat: there is no such option; did you mean coats?"),
        ("[paint]\nwalls = []", "[paint] walls: there is no such option"),
        ('[paint]\ncoats = "2"', "[paint] coats: has to be a whole number, at least 1, at most 9"),
        ("[paint]\ncoats = 2.0", "[paint] coats: has to be a whole number, at least 1, at most 9"),
        ("[paint]\ncoats = true", "[paint] coats: has to be a whole number"),
        ("[defaults]\ncoats = 10", "[defaults] coats: has to be a whole number, at least 1, at most 9"),
        ("[paint]\nshare = nan", "[paint] share: has to be a number, at least 0, at most 1"),
        ('[paint]\ncolour = "bleu"', '[paint] colour: cannot be "bleu"; did you mean blue?'),
        ("[paint]\ncolour = 3", '[paint] colour: cannot be "3"; there are red, blue'),
        ('[paint]\nname = "a"', "[paint] name: has to be a list"),
        ("[paint]\nname = [1]", "[paint] name: has to be text in quotes"),
        ("[paint]\ndry = 1", "[paint] dry: has to be true or false"),
        ("[paint]\ntin = 1", "[paint] tin: has to be text in quotes"),
    ],
)
def test_what_cannot_be_is_named_with_file_and_key(text, complaint):
    with pytest.raises(ConfigError) as caught:
        checked(text)
    assert str(caught.value).startswith(f"{HERE}: {complaint}")


def test_a_shared_value_holds_for_the_commands_that_can_take_it():
    def sand(coats: Annotated[int, typer.Option("--coats", max=3)] = 1) -> None:
        """Sand walls."""

    config = parsed("[defaults]\ncoats = 9")
    check_options(config, {"sand": sand, "paint": paint})
    assert default_map(paint, "paint", config) == {"coats": 9}
    assert default_map(sand, "sand", config) == {}
    with pytest.raises(ConfigError, match="coats: has to be a whole number, at most 3"):
        check_options(parsed("[defaults]\ncoats = 10"), {"sand": sand, "paint": paint})


@pytest.mark.parametrize("name", SETTABLE)
def test_every_option_of_every_command_can_stand_in_the_configuration_under_its_own_name(name):
    declared = [p for p in load_command(name).params if p.param_type_name == "option" and p.name != "help"]
    found = options_of(SETTABLE[name])
    assert {option.parameter: f"--{key}" for key, option in found.items()} == {p.name: p.opts[0] for p in declared}
    for option in found.values():
        assert option.type in (bool, int, float, str, Path) or issubclass(option.type, Enum)
        assert (option.help or "").strip()


@pytest.mark.parametrize("name", SETTABLE)
def test_every_flag_can_be_taken_back(name):
    for parameter in load_command(name).params:
        if getattr(parameter, "is_flag", False) and parameter.name != "help":
            assert parameter.secondary_opts == [f"--no-{parameter.opts[0][2:]}"]


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=5)
SINGLE = TEXTS | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.sampled_from(["rock", "indian", "mood", "genre", "id3"])
VALUES = st.recursive(SINGLE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
PLACES = st.sampled_from(
    [
        "vocabulary.rename",
        "vocabulary.hide",
        "vocabulary.thresholds",
        "fields.mood",
        "players.car",
        "players.car.id3",
        "defaults.top",
        "players.car.separator",
        "players.car.genres",
        "players.car.fields",
        "scan.for",
        "scan.jobs",
        "scan.genre",
        "scan.weights",
        "train.member",
        "predict.fast",
        "scan",
        "defaults",
        "players",
        "vocabulary",
    ]
)


@given(PLACES, VALUES)
def test_any_value_anywhere_is_either_understood_or_named(place, value):
    try:
        config = parsed(f"{place} = {toml(value)}")
        check_options(config, SETTABLE)
    except ConfigError as error:
        named = error.key
    else:
        named = "nothing"
        for name, function in SETTABLE.items():
            default_map(function, name, config)
        for player in (None, *config.known_players):
            config.vocabulary(player).describe()
    assert named


@pytest.mark.parametrize("page", ["configuration.md", "players.md"])
def test_the_examples_in_the_documents_are_right(page):
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert examples
    for example in examples:
        check_options(parsed(example), SETTABLE)


def test_a_players_name_is_checked_where_it_is_settled():
    with pytest.raises(ConfigError, match=r'\[scan\] for: no player is called "plx"; did you mean plex\?'):
        check_options(parsed('[scan]\nfor = "plx"'), SETTABLE)
    check_options(parsed('[scan]\nfor = "car"\n[players.car]'), SETTABLE)
