from __future__ import annotations

import os
from pathlib import Path

import mutagen

from mtag.tagfile import read_fields


def contents(folder: Path) -> dict[str, str]:
    return {path.name: repr(mutagen.File(path).tags) for path in folder.iterdir()}


def test_files_are_as_if_mtag_had_never_been_there(mtag, album):
    before = contents(album)
    mtag("scan", album, "--write-tags")
    mtag("retag", album, "--write-tags", "--top", "1")
    ended = mtag("strip", album, "--json")
    assert ended.code == 0
    *results, last = ended.records
    assert {result["status"] for result in results} == {"written"}
    assert all(result["restored"] == ["genre", "comment", "mtag"] for result in results)
    assert last["summary"]["written"] == 8
    assert contents(album) == before
    assert "8 files: 8 unchanged." in mtag("strip", album).out


def test_a_strip_is_a_run_that_can_be_undone(mtag, album):
    mtag("scan", album, "--write-tags")
    written = contents(album)
    mtag("strip", album)
    assert "mtag strip " in mtag("undo").out
    mtag("undo", "last")
    assert contents(album) == written


def test_a_dry_run_touches_nothing(mtag, album):
    mtag("scan", album, "--write-tags")
    written = contents(album)
    ended = mtag("strip", album, "--dry-run")
    assert "8 files: 8 to write." in ended.out
    assert contents(album) == written


def test_it_works_where_no_catalog_can_be_opened(mtag, album, monkeypatch):
    before = contents(album)
    mtag("scan", album, "--write-tags")
    Path(os.environ["MTAG_CATALOG"]).unlink()
    monkeypatch.setenv("MTAG_CATALOG", str(album / "song.mp3" / "catalog.db"))
    ended = mtag("strip", album)
    assert ended.code == 0
    assert "this run is not recorded" in ended.err
    assert contents(album) == before


def test_paths_that_are_not_there_and_files_that_are_no_music_are_failures(mtag, library):
    mtag("scan", library, "--write-tags")
    ended = mtag("strip", library, library / "missing", "--json")
    assert ended.code == 1
    kinds = {Path(result["path"]).name: result["error"]["kind"] for result in ended.records[:-1] if result["error"]}
    assert kinds["missing"] == kinds["text.mp3"] == "unsupported"
    assert read_fields(library / "album" / "song.mp3").provenance == ""
    assert mtag("strip", library / "missing").code == 3


def test_no_audio_files_is_said(mtag, tmp_path):
    ended = mtag("strip", tmp_path)
    assert (ended.code, ended.out) == (3, "There are no audio files.\n")
