from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import mutagen
import pytest

from mtag.catalog import Catalog
from mtag.tagfile import Fields, read_fields


def contents(folder: Path) -> dict[str, str]:
    return {path.name: repr(mutagen.File(path).tags) for path in folder.iterdir()}


def test_runs_are_listed_with_what_was_asked(mtag, album):
    assert mtag("undo").out == "No run has changed a file.\n"
    mtag("scan", album, "--write-tags", "--genre", "append", "--jobs", "2")
    mtag("retag", album, "--write-tags", "--top", "1")
    heading, first, second, hint = mtag("undo").out.splitlines()
    assert heading.split() == ["run", "when", "files", "what"]
    assert first.split()[0] == "1"
    assert first.split()[3] == "8"
    assert "mtag scan --write-tags --genre append " in first
    assert "mtag retag --write-tags --top 1 " in second
    assert "--jobs" not in first
    assert "`mtag undo last`" in hint


def test_a_program_reads_one_run_a_line(mtag, album):
    mtag("scan", album, "--write-tags", "--genre", "append")
    (record,) = mtag("undo", "--json").records
    assert datetime.fromisoformat(record.pop("started")) <= datetime.fromisoformat(record.pop("finished"))
    assert record.pop("version")
    asked = {"paths": [str(album)], "write_tags": True, "genre": "append"}
    assert record == {"run": 1, "command": "scan", "files": 8, "arguments": asked}


def test_the_last_run_is_taken_back_and_every_file_is_as_before(mtag, album):
    before = contents(album)
    mtag("scan", album, "--write-tags")
    assert contents(album) != before
    ended = mtag("undo", "last", "--json")
    assert ended.code == 0
    *results, last = ended.records
    assert {result["status"] for result in results} == {"written"}
    assert results[0].keys() == {"path", "status", "restored", "left", "error"}
    assert all(result["restored"] == ["genre", "comment", "mtag"] for result in results)
    assert last["summary"]["written"] == last["summary"]["files"] == 8
    assert not last["summary"]["interrupted"]
    assert contents(album) == before
    assert "8 files: 8 unchanged." in mtag("undo", "1").out


def test_a_dry_run_says_how_to_go_on_and_touches_nothing(mtag, album):
    mtag("scan", album, "--write-tags")
    before = contents(album)
    ended = mtag("undo", "1", "--dry-run")
    assert ended.code == 0
    assert "8 files: 8 to write." in ended.out
    assert "run again without --dry-run" in ended.out
    assert contents(album) == before


def test_what_was_changed_since_is_told_and_force_restores_it(mtag, album):
    mtag("scan", album, "--write-tags")
    own = mutagen.File(album / "song.flac")
    own["genre"] = "Zydeco"
    own.save()
    ended = mtag("undo", "1")
    assert ended.code == 0
    assert "left alone, because it was changed since: genre" in ended.out
    assert read_fields(album / "song.flac") == Fields(("Zydeco",))
    assert mtag("undo", "1", "--force", "--quiet").code == 0
    assert read_fields(album / "song.flac") == Fields()


def test_only_the_named_files_are_restored_and_the_undo_can_be_undone(mtag, album):
    mtag("scan", album, "--write-tags")
    ended = mtag("undo", "1", album / "song.mp3", album / "song.m4a")
    assert "2 files: 2 written." in ended.out
    assert read_fields(album / "song.ogg").genres == ("Rock",)
    mtag("undo", "last")
    assert read_fields(album / "song.mp3").genres == ("Rock",)
    assert "mtag undo 1 " in mtag("undo").out


def test_a_failure_has_its_exit_code_and_no_line_of_success(mtag, album):
    mtag("scan", album, "--write-tags")
    (album / "song.ogg").write_bytes(b"OggS rubbish")
    ended = mtag("undo", "1", "--json")
    assert ended.code == 1
    (failed,) = [result for result in ended.records[:-1] if result["status"] != "written"]
    assert (Path(failed["path"]).name, failed["status"], failed["restored"]) == ("song.ogg", "failed", [])
    assert ended.records[-1]["summary"]["failed"] == 1


@pytest.mark.skipif(os.name == "nt", reason="write protection works otherwise on Windows")
def test_where_nothing_could_be_restored_the_exit_code_is_3(mtag, album):
    mtag("scan", album / "song.mp3", "--write-tags")
    (album / "song.mp3").chmod(0o444)
    ended = mtag("undo", "last")
    assert ended.code == 3
    assert "write-protected" in ended.out
    assert "written" not in ended.out


@pytest.mark.parametrize("name", ["last", "7", "first"])
def test_a_run_that_is_not_there_is_one_sentence(mtag, name):
    ended = mtag("undo", name)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith("mtag: there is no run")


def test_the_list_of_runs_repeats_what_was_asked_for_several_times(mtag, album):
    mtag("scan", album, "--write-tags", "--exclude", "*.m4a", "--exclude", "books")
    assert f"mtag scan --write-tags --exclude '*.m4a' --exclude books {album}" in mtag("undo").out


def test_a_path_in_place_of_a_run_is_told(mtag, album):
    mtag("scan", album, "--write-tags")
    assert mtag("undo", album).err == f"mtag: there is no run {album}; a run comes first: `mtag undo last {album}`\n"


def test_a_run_whose_output_nobody_reads_any_more_ends_and_can_be_undone(mtag, album, monkeypatch):
    before = contents(album)
    with monkeypatch.context() as patched:
        patched.setattr("mtag.cli.render.Listing.show", lambda *_: (_ for _ in ()).throw(BrokenPipeError))
        mtag("scan", album, "--write-tags")
    assert mtag("undo", "--json").records[0]["finished"]
    assert mtag("undo", "last").code == 0
    assert contents(album) == before


def test_files_that_moved_are_found_under_the_folder_that_is_named(mtag, album, tmp_path):
    before = contents(album)
    mtag("scan", album, "--write-tags")
    album.rename(tmp_path / "elsewhere")
    ended = mtag("undo", "last")
    assert ended.code == 3
    assert ended.out.count("is not there any more") == 8
    assert "8 written" in mtag("undo", "1", tmp_path / "elsewhere").out
    assert contents(tmp_path / "elsewhere") == before


def test_a_killed_runs_changes_are_settled_by_whatever_command_comes_next(mtag, album):
    mtag("scan", album, "--write-tags")
    with Catalog.open() as catalog:
        (change, *_) = catalog.changes(1)
        catalog._row("UPDATE changes SET state = 'pending' WHERE id = ?", (change.id,))
        catalog._row("UPDATE runs SET finished = NULL")
    assert "did not finish" in mtag("undo").out
    with Catalog.open() as catalog:
        assert not any(change.is_pending for change in catalog.changes(1))
    assert mtag("scan", album, "--json").records[-1]["summary"]["unchanged"] == 8


def test_a_run_that_changed_nothing_under_a_path_is_one_sentence(mtag, album, tmp_path):
    mtag("scan", album, "--write-tags")
    ended = mtag("undo", "last", tmp_path / "elsewhere")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == "mtag: run 1 changed no file there\n"
