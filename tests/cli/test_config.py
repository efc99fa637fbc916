from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from mtag.cli.app import COMMANDS, checked_config, find_command
from mtag.cli.config import template
from mtag.cli.defaults import options_of
from mtag.config import Config, parse_config


def place() -> Path:
    return Path(os.environ["MTAG_CONFIG"])


def settle(text: str) -> None:
    place().write_text(text, encoding="utf-8")


@pytest.fixture
def editor(tmp_path, monkeypatch):
    """An editor that writes a text into the file."""

    def use(text: str, code: int = 0) -> None:
        script = tmp_path / "an editor.py"
        script.write_text(
            f"import sys\nif {text!r}: open(sys.argv[1], 'a', encoding='utf-8').write({text!r})\nsys.exit({code})",
            encoding="utf-8",
        )
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", f"{shlex.quote(sys.executable)} {shlex.quote(str(script))}")

    return use


def test_the_path_is_told(mtag, tmp_path):
    assert mtag("config", "path").out == f"{place()}\n"
    assert mtag("--config", tmp_path / "other.toml", "config", "path").out == f"{tmp_path / 'other.toml'}\n"


def test_what_holds_is_shown_with_where_it_comes_from(mtag):
    settle('[scan]\njobs = 2\n[defaults]\nfast = true\n[vocabulary]\nhide = ["weird"]\n[fields]\nmood = ["mood"]')
    ended = mtag("config", "show")
    lines = ended.out.splitlines()
    assert ended.code == 0
    assert lines[0] == f"# {place()}"
    scan = lines[lines.index("[scan]") + 1 : lines.index("[retag]")]
    told = {re.split(r"[ :]", line.removeprefix("# "))[0]: line.split() for line in scan if line}
    assert told["jobs"] == ["jobs", "=", "2", "#", "[scan]"]
    assert told["fast"] == ["fast", "=", "true", "#", "[defaults]"]
    assert told["genre"] == ["genre", "=", '"fill"']
    assert told["top"] == ["#", "top:", "not", "set"]
    assert any(line.startswith('hide = ["weird"] ') and line.endswith("# [vocabulary]") for line in lines)
    assert any(line.startswith('mood = ["mood"] ') and line.endswith("# [fields]") for line in lines)


def test_what_is_shown_is_a_configuration_that_does_the_same(mtag):
    settle(
        '[scan]\njobs = 2\n[vocabulary]\nrename = { indian = "Rāga \\"x\\"" }\nhide = ["weird"]\n'
        'thresholds = { voice = 0.5 }\n[fields]\ncomment = []\n[players."my car"]\nseparator = " + "\ngenres = 1'
    )
    before = checked_config(None)
    shown = mtag("config", "show").out
    again = parse_config(shown.encode(), place())
    assert again.options["scan"]["jobs"] == 2
    for player in (None, "navidrome", "my car"):
        assert again.vocabulary(player).describe() == before.vocabulary(player).describe()
        assert again.player(player).style == before.player(player).style


def test_programs_get_a_line_for_each_setting(mtag):
    settle("[scan]\njobs = 2")
    records = {(record["table"], record["key"]): record for record in mtag("config", "show", "--json").records}
    assert records["scan", "jobs"] == {"table": "scan", "key": "jobs", "value": 2, "source": "[scan]"}
    assert records["bench", "clips"] == {"table": "bench", "key": "clips", "value": 1000, "source": "mtag"}
    assert {key for table, key in records if table == "predict"} == set(options_of(find_command("predict")))


def test_a_mistake_is_told_instead(mtag):
    settle("[scan]\njbos = 2")
    ended = mtag("config", "show")
    assert (ended.code, ended.out) == (2, "")
    assert "[scan] jbos: there is no such option; did you mean jobs?" in ended.err


def test_without_a_file_editing_begins_with_a_template(mtag, editor, tmp_path):
    editor("")
    new = tmp_path / "new" / "config.toml"
    ended = mtag("--config", new, "config", "edit")
    assert (ended.code, ended.out) == (0, f"{new} is valid.\n")
    assert new.read_text(encoding="utf-8") == template()


def test_a_mistake_made_while_editing_is_told_and_stays_for_the_next_time(mtag, editor):
    settle("# mine\n")
    editor("[scan]\njbos = 2\n")
    ended = mtag("config", "edit")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"mtag: {place()}: [scan] jbos: there is no such option; did you mean jobs?\n"
    assert place().read_text(encoding="utf-8") == "# mine\n[scan]\njbos = 2\n"
    editor("jobs = 2\n")
    assert mtag("config", "edit").code == 2


def test_an_editor_that_fails_or_is_not_there_is_named(mtag, editor, monkeypatch):
    editor("", code=7)
    ended = mtag("config", "edit")
    assert ended.code == 3
    assert ended.err.endswith("ended with code 7\n")
    monkeypatch.setenv("VISUAL", "/no/such/editor --wait")
    ended = mtag("config", "edit")
    assert ended.code == 3
    assert ended.err.startswith("mtag: /no/such/editor --wait cannot be run")


def test_a_template_settles_nothing():
    settled = parse_config(template().encode(), place())
    assert not any(settled.options.values())
    assert settled.vocabulary() == Config(place()).vocabulary()
    assert settled.players == {}


def test_all_that_a_template_proposes_can_be_settled():
    lines = (line.removeprefix("# ") if re.match(r"# (\[|\S+ = )", line) else line for line in template().splitlines())
    settle("\n".join(lines))
    settled = checked_config(None)
    for name in COMMANDS:
        if name != "config":
            assert set(settled.options[name]) == set(options_of(find_command(name)))
    assert "car" in settled.players
    assert settled.vocabulary().word_of("weird") is None
