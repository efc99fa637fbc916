"""What is asked for on the command line is what the work is told, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtag.bundle import Bundle
from mtag.catalog import Catalog
from mtag.errors import WeightsError
from mtag.library import ScanOptions
from mtag.players import PLAYERS
from mtag.release import version
from mtag.restoring import RestoreOptions
from mtag.tagfile import GenrePolicy, HardLinks, Mtime

OF_BOTH = [
    ("--write-tags", "write", True),
    ("--fast", "fast", True),
    ("--genre append", "policy", GenrePolicy.APPEND),
    ("--top 2", "top", 2),
    ("--min-score 0.5", "min_score", 0.5),
    ("--mtime bump", "mtime", Mtime.BUMP),
    ("--hardlinks inplace", "hardlinks", HardLinks.INPLACE),
    ("--windows 3", "windows", 3),
    ("--precision fp32", "precision", "fp32"),
]
OF_SCAN = [("--jobs 77", "jobs", 77), ("--device cpu", "device", "cpu"), ("--retry-failed", "retry_failed", True)]


@pytest.fixture
def scanned(mtag, tmp_path, monkeypatch) -> Callable[..., ScanOptions]:
    """What a scan is told by a command."""
    told: list[ScanOptions] = []

    def scan(files: object, bundle: Bundle, catalog: Catalog, options: ScanOptions, **others: object) -> Iterator[Any]:
        told.append(options)
        yield from ()

    def call(command: str, *options: str) -> ScanOptions:
        mtag(command, tmp_path, *options)
        return told.pop()

    monkeypatch.setattr("mtag.cli.scanning.scan", scan)
    monkeypatch.setattr("mtag.cli.scan.start_decoders", lambda *_, **__: None)
    return call


@pytest.mark.parametrize(
    ("command", "asked", "name", "value"),
    [("scan", *case) for case in (*OF_BOTH, *OF_SCAN)] + [("retag", *case) for case in OF_BOTH],
)
def test_each_option_reaches_the_scan(scanned, command, asked, name, value):
    usual, other = scanned(command), scanned(command, *asked.split())
    assert getattr(usual, name) != value
    assert other == replace(usual, arguments=other.arguments, **{name: value})


@pytest.mark.parametrize(("command", "listens"), [("scan", True), ("retag", False)])
def test_a_scan_knows_who_asks_and_what_a_player_wants(scanned, command, listens):
    options = scanned(command, "--for", "rekordbox")
    assert (options.command, options.version, options.listen) == (command, version(), listens)
    assert options.style == PLAYERS["rekordbox"].style != scanned(command).style


@pytest.mark.parametrize(
    ("command", "asked", "name", "value"),
    [
        (command, *case)
        for command in ("undo", "strip")
        for case in [
            ("--dry-run", "write", False),
            ("--mtime keep", "mtime", Mtime.KEEP),
            ("--hardlinks break", "hardlinks", HardLinks.BREAK),
        ]
    ]
    + [("undo", "--force", "force", True)],
)
def test_each_option_reaches_what_restores_files(mtag, tmp_path, monkeypatch, command, asked, name, value):
    told: list[Any] = []

    def restore(files: object, catalog: Catalog, options: RestoreOptions, stop: object) -> Iterator[Any]:
        told.append(options)
        yield from ()

    monkeypatch.setattr("mtag.undo.find_run", lambda *_: None)
    monkeypatch.setattr("mtag.undo.changes_of", lambda *_: [])
    monkeypatch.setattr(f"mtag.{command}.{command}", restore)
    mtag(command, "last" if command == "undo" else tmp_path)
    mtag(command, "last" if command == "undo" else tmp_path, *asked.split())
    usual, other = told
    assert getattr(usual, name) != value
    assert other == replace(usual, arguments=other.arguments, **{name: value})


def test_each_option_reaches_the_networks_that_predict(mtag, tmp_path, monkeypatch):
    told: list[Any] = []

    def ears(load: Callable[[], Any], jobs: int, stop: object, windows: int, decoders: object) -> None:
        told.append((load(), windows))
        raise WeightsError("that is enough")

    monkeypatch.setattr("mtag.cli.predict.start_decoders", lambda *_, **__: None)
    monkeypatch.setattr("mtag.ensemble.load_ensemble", lambda bundle, **asked: asked)
    monkeypatch.setattr("mtag.hearing.Ears", ears)
    mtag("predict", tmp_path)
    mtag("predict", tmp_path, "--fast", "--device", "cuda", "--precision", "fp32", "--windows", "3")
    assert told == [
        ({"fast": False, "device": "auto", "precision": "auto"}, None),
        ({"fast": True, "device": "cuda", "precision": "fp32"}, 3),
    ]


def test_each_option_reaches_the_doctor(mtag, monkeypatch):
    told: list[Any] = []
    monkeypatch.setattr("mtag.doctor.examine", lambda options: told.append(options) or [])
    mtag("doctor", "--weights", "w", "--device", "cpu", "--precision", "int8", "--catalog", "c")
    (options,) = told
    assert (options.weights, options.device, options.precision, options.catalog) == (
        Path("w"),
        "cpu",
        "int8",
        Path("c"),
    )
