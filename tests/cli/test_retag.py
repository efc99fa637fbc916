from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mtag.catalog import Catalog
from mtag.tagfile import Fields, read_fields
from tests.tiny_bundle import write_tiny_bundle

ROOT = Path(__file__).parents[2]


def test_other_options_are_applied_to_what_was_heard(mtag, album):
    mtag("scan", album, "--write-tags")
    ended = mtag("retag", album, "--write-tags", "--top", "1", "--json")
    assert ended.code == 0
    *results, last = ended.records
    assert [(result["status"], result["cached"]) for result in results] == [("written", True)] * 8
    assert (last["summary"]["written"], last["summary"]["heard"]) == (8, 0)
    for path in album.iterdir():
        assert read_fields(path) == Fields(("Rock",), ("mtag: guitar",))
    assert "8 tracks: 8 unchanged." in mtag("retag", album, "--write-tags", "--top", "1").out


def test_without_write_tags_nothing_is_written(mtag, album):
    mtag("scan", album, "--write-tags")
    before = {path: path.read_bytes() for path in album.iterdir()}
    ended = mtag("retag", album, "--min-score", "0.75")
    assert ended.code == 0
    assert "8 tracks: 8 to write." in ended.out
    assert {path: path.read_bytes() for path in album.iterdir()} == before


def test_what_was_never_heard_is_skipped_with_the_reason(mtag, album):
    mtag("scan", album / "song.flac", album / "song.mp3")
    ended = mtag("retag", album, "--json")
    assert ended.code == 0
    skipped = [result for result in ended.records[:-1] if result["status"] == "skipped"]
    assert len(skipped) == 6
    assert {result["error"]["kind"] for result in skipped} == {"unheard"}
    assert "6 skipped" in ended.err
    assert "`mtag scan` hears it" in mtag("retag", album).out


def test_the_run_is_listed_as_a_retag(mtag, album):
    mtag("scan", album, "--write-tags")
    mtag("retag", album, "--write-tags", "--top", "1")
    with Catalog.open() as catalog:
        first, second = catalog.runs()
    assert (first.command, first.n_files, second.command, second.n_files) == ("scan", 8, "retag", 8)
    assert json.loads(second.arguments)["top"] == 1


def test_it_never_loads_the_runtime_of_the_networks(mtag, album):
    mtag("scan", album)
    script = f"""
import sys
from mtag.cli.app import run
code = run(["retag", {str(album)!r}, "--write-tags", "--top", "1"])
print(int(code), *sys.modules, file=sys.stderr)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    code, *modules = done.stderr.split()
    assert code == "0"
    assert b"8 written" in done.stdout.encode()
    assert "onnxruntime" not in modules


def test_weights_of_which_only_the_manifest_is_there_are_enough(mtag, album, tmp_path):
    mtag("scan", album)
    (tmp_path / "deaf").mkdir()
    shutil.copy(Path(os.environ["MTAG_WEIGHTS"]) / "manifest.json", tmp_path / "deaf")
    assert mtag("retag", album, "--weights", tmp_path / "deaf").code == 0


def test_scores_of_other_weights_do_not_count(mtag, album, tmp_path):
    mtag("scan", album)
    other = write_tiny_bundle(tmp_path / "other", {"piano": 0.9})
    assert "8 skipped" in mtag("retag", album, "--weights", other).out


@pytest.mark.parametrize("option", ["--jobs", "--device"])
def test_options_of_listening_are_not_there(mtag, album, option):
    assert mtag("retag", album, option, "1").code == 2
