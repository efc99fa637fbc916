from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from mtag.cli.app import run
from tests.encoding import encode, tone
from tests.tiny_bundle import write_tiny_bundle

SR = 16_000  # Hz; what is quick to encode


class Ended(NamedTuple):
    """A command that has run."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """Standard output as lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


Mtag = Callable[..., Ended]


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(autouse=True)
def surroundings(tiny_bundle, tmp_path_factory, monkeypatch) -> None:
    """Weights, a catalog and a configuration that are nobody's."""
    configuration = tmp_path_factory.mktemp("config") / "config.toml"
    configuration.touch()
    monkeypatch.setenv("MTAG_CONFIG", str(configuration))
    monkeypatch.setenv("MTAG_WEIGHTS", str(tiny_bundle))
    monkeypatch.setenv("MTAG_CATALOG", str(tmp_path_factory.mktemp("catalog") / "catalog.db"))


@pytest.fixture
def mtag(capfdbinary) -> Mtag:
    """Run a command; its output has to be UTF-8."""

    def call(*arguments: str | Path) -> Ended:
        capfdbinary.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return Ended(code, out.decode("utf-8"), err.decode("utf-8"))

    return call


@pytest.fixture(scope="session")
def originals(tmp_path_factory) -> Path:
    """An album of eight formats, and a folder of odd files."""
    folder = tmp_path_factory.mktemp("originals")
    for name in ("album", "odd"):
        (folder / name).mkdir()
    for suffix in (".mp3", ".flac", ".ogg", ".opus", ".m4a", ".wav", ".aiff", ".wma"):
        encode(folder / "album" / f"song{suffix}", tone(1.5, SR), SR)
    odd = folder / "odd"
    (odd / "corrupt.mp3").write_bytes(b"\xff\xfb\x90\x00" + bytes(range(256)) * 40)
    (odd / "empty.mp3").write_bytes(b"")
    (odd / "text.mp3").write_text("no music\n" * 40)
    encode(odd / "silent.flac", np.zeros(3 * SR, np.float32), SR)
    encode(odd / "short.flac", tone(0.5, SR), SR)
    return folder


@pytest.fixture
def library(originals, tmp_path) -> Path:
    """A copy of them that a test may write to."""
    return Path(shutil.copytree(originals, tmp_path / "library"))


@pytest.fixture
def album(originals, tmp_path) -> Path:
    """A copy of the album alone."""
    return Path(shutil.copytree(originals / "album", tmp_path / "album"))
