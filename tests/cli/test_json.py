"""docs/json.md names every key that a program can read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mtag.errors import FailureKind

DOCUMENT = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
NAMED = {word for quoted in re.findall("`([^`]+)`", DOCUMENT) for word in quoted.split()}
COMMANDS = [
    ("predict", "--top", "1"),
    ("scan", "--write-tags"),
    ("retag", "--write-tags", "--genre", "replace"),
    ("strip", "--dry-run"),
    ("undo", "1", "--dry-run"),
    ("failures",),
    ("catalog", "export"),
]


@pytest.mark.parametrize("arguments", [("undo",), ("tags",), ("doctor",), ("catalog", "info"), ("catalog", "vacuum")])
def test_keys_of_commands_without_paths_are_documented(mtag, library, arguments):
    mtag("scan", library, "--write-tags")
    records = mtag(*arguments, "--json").records
    assert records
    assert {key for record in records for key in record} <= NAMED


@pytest.mark.parametrize("arguments", COMMANDS)
def test_keys_of_commands_with_paths_are_documented(mtag, library, arguments):
    mtag("scan", library, "--write-tags")
    records = mtag(*arguments, library, "--json").records
    assert records
    for record in records:
        parts = [record, record.get("summary"), record.get("error"), *record.get("tags", [])]
        assert {key for part in parts if part for key in part} <= NAMED


def test_every_kind_of_failure_is_documented():
    assert all(f"| {kind.value} |" in DOCUMENT or kind.value in NAMED for kind in FailureKind)
