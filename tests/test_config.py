from __future__ import annotations

import re
from pathlib import Path

import pytest

from mtag.config import Config, config_path, load_config, nearest, parse_config
from mtag.errors import ConfigError
from mtag.field import Field
from mtag.players import PLAYERS, Player
from mtag.tagfile import Style
from mtag.vocabulary import DEFAULT_FIELDS, Kind, Vocabulary

HERE = Path("/somewhere/config.toml")
DOCS = Path(__file__).parents[1] / "docs"
MOODS = frozenset({Kind.MOOD})


def parsed(text: str) -> Config:
    return parse_config(text.encode(), HERE)


def test_the_documents_know_every_player():
    table = re.findall(r"^\| `(\w+)` \|", (DOCS / "players.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert table == list(PLAYERS)


def test_an_empty_file_changes_nothing():
    config = parsed("")
    assert (config.options, config.players) == ({}, {})
    assert config.vocabulary() == Vocabulary()


def test_the_vocabulary_is_read():
    config = parsed(
        """
        [vocabulary]
        rename = { indian = "Indian Classical", choir = "Choral" }
        hide = ["weird"]
        thresholds = { Rock = 0.5, "female vocals" = 1 }
        """
    )
    words = {word.name: word for word in config.vocabulary().words}
    assert words["Indian Classical"].tags == ("indian",)
    assert words["Choral"].tags == ("choral", "choir")
    assert "weird" not in words
    assert config.vocabulary().thresholds["rock"] == 0.5
    assert config.vocabulary().thresholds["woman"] == 1.0


def test_a_field_that_is_named_gets_those_kinds_and_the_others_stay():
    fields = parsed('[fields]\nmood = ["mood"]\ngrouping = ["instrument", "vocal"]').vocabulary().fields
    assert fields == {
        **DEFAULT_FIELDS,
        Field.MOOD: MOODS,
        Field.GROUPING: frozenset({Kind.INSTRUMENT, Kind.VOCAL}),
    }
    assert parsed("[fields]\ncomment = []").vocabulary().fields[Field.COMMENT] == frozenset()


def test_for_a_player_its_own_table_counts_most_then_fields_then_what_is_known():
    assert parsed("").vocabulary("navidrome").fields[Field.MOOD] == MOODS
    assert parsed("[fields]\nmood = []").vocabulary("navidrome").fields[Field.MOOD] == frozenset()
    both = '[fields]\nmood = []\n[players.navidrome.fields]\nmood = ["vocal"]'
    assert parsed(both).vocabulary("navidrome").fields[Field.MOOD] == frozenset({Kind.VOCAL})
    assert parsed(both).vocabulary("jellyfin").fields[Field.MOOD] == frozenset()


def test_a_player_of_ones_own_and_one_that_changes_a_known_one():
    config = parsed('[players.car]\nid3 = "2.3"\nseparator = ", "\ngenres = 2\n[players.windows]\nseparator = ""')
    assert config.player("car") == Player(Style(3, ", "), 2)
    assert config.vocabulary("car").max_genres == 2
    assert config.player("windows") == Player(Style(3))
    assert config.player("plex") == PLAYERS["plex"]
    assert config.player(None) == Player()


def test_a_player_that_does_not_exist_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r'no player is called "navidrom"; did you mean navidrome\?'):
        parsed("").vocabulary("navidrom")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[vocabulary]\nrenam = {}", "[vocabulary] renam: there is no such key; did you mean rename?"),
        ("[vocabulary]\nrename = 3", "[vocabulary] rename: has to be a table"),
        (
            '[vocabulary.rename]\nindain = "Raga"',
            '[vocabulary.rename] indain: no tag is called "indain"; did you mean indian?',
        ),
        ("[vocabulary.rename]\nindian = 3", "[vocabulary.rename] indian: has to be text in quotes"),
        (
            '[vocabulary.rename]\nindian = " "',
            '[vocabulary.rename] indian: a word cannot be empty; "hide" leaves it out',
        ),
        ('[vocabulary.rename]\nindian = "a; b"', "[vocabulary.rename] indian: a word cannot hold a semicolon"),
        ('[vocabulary.rename]\nindian = "17"', "[vocabulary.rename] indian: players would take that for a code"),
        ('[vocabulary.rename]\nindian = "RX"', "[vocabulary.rename] indian: players would take that for a code"),
        (
            '[vocabulary.rename]\nindian = "raga "',
            "[vocabulary.rename] indian: a word cannot have line breaks, nor spaces",
        ),
        ('[vocabulary.rename]\nindian = "a\\nb"', "[vocabulary.rename] indian: a word cannot have line breaks"),
        ('[vocabulary]\nhide = "weird"', '[vocabulary] hide: has to be a list of texts: ["...", "..."]'),
        ('[vocabulary]\nhide = ["wierd"]', '[vocabulary] hide: no tag is called "wierd"; did you mean weird?'),
        ("[vocabulary.thresholds]\nrock = 2", "[vocabulary.thresholds] rock: has to be a number from 0 to 1"),
        ("[vocabulary.thresholds]\nrock = nan", "[vocabulary.thresholds] rock: has to be a number from 0 to 1"),
        ("[vocabulary.thresholds]\nrock = true", "[vocabulary.thresholds] rock: has to be a number from 0 to 1"),
        ('[fields]\nmoods = ["mood"]', "[fields] moods: there is no such key; did you mean mood?"),
        ('[fields]\nmtag = ["mood"]', "[fields] mtag: there is no such key; there are genre, comment, mood, grouping"),
        ('[fields]\nmood = ["moods"]', '[fields] mood: no kind of word is called "moods"; did you mean mood?'),
        ('[players.car]\nid3 = "2.2"', '[players.car] id3: has to be "2.3" or "2.4"'),
        ("[players.car]\nid3 = 2.3", "[players.car] id3: has to be text in quotes"),
        ('[players.car]\nseparator = " "', "[players.car] separator: has to be text that can be seen"),
        ("[players.car]\ngenres = 0", "[players.car] genres: has to be a whole number, at least 1"),
        ("[players.car]\ngenres = true", "[players.car] genres: has to be a whole number, at least 1"),
        ("[players.car]\ngenre = 1", "[players.car] genre: there is no such key; did you mean genres?"),
        ("[players.car.fields]\nmod = []", "[players.car.fields] mod: there is no such key; did you mean mood?"),
        ("[players]\ncar = 3", "[players] car: has to be a table"),
        ("jobs = 2", "[jobs]: has to be a table; an option stands in the table of its command, or in [defaults]"),
        ("[scan\njobs = 2", "is not TOML: expected ']'"),
    ],
)
def test_whatever_is_wrong_is_named_with_file_and_key(text, complaint):
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    assert str(caught.value).startswith(f"{HERE}: {complaint}")


def test_a_file_of_windows_notepad_is_read_and_one_that_is_no_text_is_refused():
    assert parse_config(b"\xef\xbb\xbf[scan]\r\njobs = 2\r\n", HERE).options == {"scan": {"jobs": 2}}
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        parse_config(b"\xff\xfe[\x00s\x00", HERE)


def test_the_file_is_the_named_one_then_the_environments_then_the_usual_one(monkeypatch, tmp_path):
    monkeypatch.setenv("MTAG_CONFIG", str(tmp_path / "mine.toml"))
    assert config_path(tmp_path / "named.toml") == tmp_path / "named.toml"
    assert config_path() == tmp_path / "mine.toml"
    monkeypatch.setenv("MTAG_CONFIG", "~/mine.toml")
    assert config_path() == Path.home() / "mine.toml"
    monkeypatch.delenv("MTAG_CONFIG")
    assert config_path().name == "config.toml"


def test_only_the_usual_file_may_be_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("MTAG_CONFIG", str(tmp_path / "missing.toml"))
    with pytest.raises(ConfigError, match=r"missing\.toml: there is no such file"):
        load_config()
    monkeypatch.delenv("MTAG_CONFIG")
    monkeypatch.setattr("mtag.config.config_path", lambda named: tmp_path / "usual.toml")
    assert load_config() == Config(tmp_path / "usual.toml")
    with pytest.raises(ConfigError, match="there is no such file"):
        load_config(tmp_path / "usual.toml")
    (tmp_path / "usual.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config()


def test_a_name_far_from_all_others_gets_a_short_list_or_none():
    assert nearest("zzz", ["genre", "mood"]) == "; there are genre, mood"
    assert nearest("zzz", [str(number) for number in range(40)]) == ""
