from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mtag.vocabulary import WORD_OF
from tests.tiny_bundle import THRESHOLD, write_tiny_bundle

KEYS = {"tag", "kind", "word", "fields", "threshold", "precision", "recall"}


@pytest.fixture
def measured(tmp_path) -> Path:
    """A bundle that knows how sure it is of rock, and never believes opera."""
    folder = write_tiny_bundle(tmp_path / "measured")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["thresholds"]["measured"] = {"1+2+3": {"rock": {"precision": 0.75, "recall": 0.5}}}
    manifest["thresholds"]["scores"]["1+2+3"]["opera"] = None
    manifest["thresholds"]["scores"]["1+2"]["rock"] = 0.25
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def settle(text: str) -> None:
    Path(os.environ["MTAG_CONFIG"]).write_text(text, encoding="utf-8")


def rows(ended):
    return {record["tag"]: record for record in ended.records}


def test_every_tag_has_a_line(mtag):
    ended = mtag("tags")
    heading, *lines = ended.out.splitlines()
    assert ended.code == 0
    assert heading.split() == ["tag", "kind", "written", "as", "in", "from"]
    assert len(lines) == 50
    (woman,) = [line for line in lines if line.startswith("woman ")]
    assert woman.split() == ["woman", "vocal", "female", "vocals", "comment", "0.50"]


def test_json_has_every_tag_with_the_same_keys(mtag):
    ended = mtag("tags", "--json")
    assert rows(ended).keys() == WORD_OF.keys()
    assert all(record.keys() == KEYS for record in ended.records)
    assert rows(ended)["classic"] == {
        "tag": "classic",
        "kind": "genre",
        "word": "Classical",
        "fields": ["genre"],
        "threshold": THRESHOLD,
        "precision": None,
        "recall": None,
    }


def test_measured_figures_are_shown_where_there_are_any(mtag, measured):
    told = rows(mtag("tags", "--json", "--weights", measured))
    assert (told["rock"]["precision"], told["rock"]["recall"]) == (0.75, 0.5)
    assert told["opera"]["threshold"] is None
    lines = mtag("tags", "--weights", measured).out.splitlines()
    assert lines[0].split()[-3:] == ["from", "precision", "recall"]
    assert [line.split()[-3:] for line in lines if line.startswith("rock ")] == [["0.50", "0.75", "0.50"]]
    assert [line.split()[-3:] for line in lines if line.startswith("opera ")] == [["-", "-", "-"]]


def test_fast_has_thresholds_of_its_own(mtag, measured):
    told = rows(mtag("tags", "--json", "--fast", "--weights", measured))
    assert (told["rock"]["threshold"], told["rock"]["precision"]) == (0.25, None)


def test_the_configuration_is_applied(mtag, measured):
    settle(
        '[vocabulary]\nrename = { indian = "Raga" }\nhide = ["weird"]\nthresholds = { rock = 0.9 }\n'
        '[fields]\nmood = ["mood"]'
    )
    told = rows(mtag("tags", "--json", "--weights", measured))
    assert told["indian"]["word"] == "Raga"
    assert (told["weird"]["word"], told["weird"]["fields"]) == (None, [])
    assert told["slow"]["fields"] == ["comment", "mood"]
    assert (told["rock"]["threshold"], told["rock"]["precision"]) == (0.9, None)
    assert "not written" in mtag("tags").out


def test_a_players_fields_are_shown(mtag):
    assert rows(mtag("tags", "--json", "--for", "navidrome"))["slow"]["fields"] == ["comment", "mood"]
    assert rows(mtag("tags", "--json"))["slow"]["fields"] == ["comment"]
