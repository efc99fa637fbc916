from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest


def test_info_tells_what_it_holds(mtag, library):
    mtag("scan", library, "--write-tags")
    mtag("scan", library, "--fast")
    ended = mtag("catalog", "info")
    assert ended.code == 0
    place, *lines = ended.out.splitlines()
    assert place.startswith(os.environ["MTAG_CATALOG"])
    assert lines == ["8 tracks: 8 heard by 1+2, 8 heard by 1+2+3", "1 run, in which 8 files changed", "5 failures"]
    (record,) = mtag("catalog", "info", "--json").records
    assert record.pop("path") == os.environ["MTAG_CATALOG"]
    assert record.pop("bytes") > 0
    assert record == {"tracks": 8, "heard_by": {"1+2": 8, "1+2+3": 8}, "runs": 1, "changes": 8, "failures": 5}


def test_an_empty_catalog_is_told_as_one(mtag):
    lines = mtag("catalog", "info").out.splitlines()
    assert lines[1:] == [
        "0 tracks",
        "0 runs, in which 0 files changed",
        "0 failures",
    ]


def test_a_vacuum_tells_the_size_before_and_after(mtag, album):
    mtag("scan", album)
    mtag("catalog", "forget", album)
    (record,) = mtag("catalog", "vacuum", "--json").records
    assert record["bytes"] <= record["bytes_before"]
    assert " before, " in mtag("catalog", "vacuum").out


def test_what_is_forgotten_is_heard_again(mtag, album):
    mtag("scan", album)
    assert mtag("catalog", "forget", album / "song.mp3").out == "1 track forgotten.\n"
    results = mtag("scan", album, "--json").records[:-1]
    assert [Path(result["path"]).name for result in results if not result["cached"]] == ["song.mp3"]
    assert mtag("catalog", "forget", album, "--json").records == [{"forgotten": 8}]


def test_a_track_is_exported_with_all_its_scores(mtag, album):
    mtag("scan", album)
    ended = mtag("catalog", "export", album / "song.mp3")
    assert ended.code == 0
    (record,) = ended.records
    assert record["path"] == str(album / "song.mp3")
    assert record["duration"] == pytest.approx(1.5, abs=0.1)
    assert (record["windows"], record["model"]) == (1, "1+2+3")
    assert len(record["scores"]) == 50
    assert (record["scores"]["rock"], record["scores"]["piano"]) == (0.9, 0.1)
    assert len(mtag("catalog", "export").records) == 8


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_any_name_is_exported_as_utf_8_and_told_when_it_fails(mtag, album, tmp_path):
    names = [b"caf\xe9.mp3", "日本語 🎵.mp3".encode(), b'quote"\n.mp3', b"n" * 251 + b".mp3"]
    folder = tmp_path / "names"
    folder.mkdir()
    for name in names:
        shutil.copy(album / "song.mp3", os.fsencode(folder) + b"/" + name)
        Path(os.fsdecode(os.fsencode(folder) + b"/broken " + name[-240:])).write_bytes(b"")
    assert mtag("scan", folder).code == 1
    legible = ["caf\\xe9.mp3", "日本語 🎵.mp3", 'quote"\n.mp3', "n" * 251 + ".mp3"]
    assert {Path(record["path"]).name for record in mtag("catalog", "export").records} == set(legible)
    failed = {Path(record["path"]).name for record in mtag("failures", "--json").records}
    assert failed == {f"broken {name[-240:]}" for name in legible}
    assert len(mtag("failures").out.splitlines()) == 5


def test_what_was_heard_in_deleted_files_is_pruned_unless_their_disk_is_away(mtag, album):
    mtag("scan", album)
    (album / "song.mp3").unlink()
    assert mtag("catalog", "prune", album).out == "1 track forgotten.\n"
    assert mtag("catalog", "prune", album, "--json").records == [{"forgotten": 0}]
    album.rename(album.with_name("away"))
    for _ in range(2):
        assert mtag("catalog", "prune", album).out == "0 tracks forgotten.\n"
        album.mkdir(exist_ok=True)  # where it was mounted
    assert len(mtag("catalog", "export").records) == 7


@pytest.mark.parametrize(
    "arguments", [["forget"], ["prune"], ["info", "here"], ["vacuum", "here"], ["explode"], ["info", "--catalog"]]
)
def test_what_makes_no_sense_is_a_usage_error(mtag, arguments):
    ended = mtag("catalog", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err


def test_a_file_that_is_no_catalog_is_refused(mtag, album):
    ended = mtag("catalog", "info", "--catalog", album / "song.mp3")
    assert (ended.code, ended.out) == (3, "")
    assert "not a catalog" in ended.err
