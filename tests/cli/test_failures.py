from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import pytest

from mtag.audio.decoders import Decoders
from mtag.catalog import Catalog
from mtag.errors import FailureKind


def test_each_file_that_failed_is_named_with_its_kind(mtag, library):
    mtag("scan", library)
    ended = mtag("failures")
    assert ended.code == 0
    *lines, last = ended.out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        [str(library / "odd" / "corrupt.mp3"), "decode:"],
        [str(library / "odd" / "empty.mp3"), "decode:"],
        [str(library / "odd" / "short.flac"), "too-short:"],
        [str(library / "odd" / "silent.flac"), "silent:"],
        [str(library / "odd" / "text.mp3"), "unsupported:"],
    ]
    assert last == "5 files failed (2 decode, 1 too-short, 1 silent, 1 unsupported)."


def test_a_program_reads_one_object_a_line(mtag, library):
    mtag("scan", library)
    records = mtag("failures", "--json").records
    assert [Path(record["path"]).name for record in records] == [
        "corrupt.mp3",
        "empty.mp3",
        "short.flac",
        "silent.flac",
        "text.mp3",
    ]
    assert records[3].keys() == {"path", "error", "when"}
    assert records[3]["error"]["kind"] == "silent"
    assert records[3]["error"]["message"].startswith("is silent")
    assert datetime.fromisoformat(records[3]["when"]).tzinfo is not None


def test_paths_choose_among_them_and_clear_forgets_them(mtag, library):
    mtag("scan", library)
    assert len(mtag("failures", library / "album", "--json").records) == 0
    assert len(mtag("failures", library / "odd", library / "odd" / "silent.flac", "--json").records) == 5
    assert "1 file failed (1 silent); forgotten." in mtag("failures", library / "odd" / "silent.flac", "--clear").out
    assert len(mtag("failures", "--json").records) == 4
    mtag("failures", "--clear")
    assert mtag("failures").out == "No file has failed.\n"


def test_only_what_failed_is_scanned_again(mtag, library):
    mtag("scan", library)
    shutil.copy(library / "album" / "song.mp3", library / "odd" / "empty.mp3")
    ended = mtag("scan", library, "--only-failed", "--json")
    assert ended.code == 1
    assert {Path(result["path"]).name: result["status"] for result in ended.records[:-1]} == {
        "corrupt.mp3": "failed",
        "empty.mp3": "preview",
        "short.flac": "failed",
        "silent.flac": "failed",
        "text.mp3": "failed",
    }
    assert len(mtag("failures", "--json").records) == 4


def test_where_nothing_failed_only_failed_has_nothing_to_do_and_is_well(mtag, album):
    mtag("scan", album)
    ended = mtag("scan", album, "--only-failed")
    assert ended.code == 0
    assert ended.out == "None of the files failed before.\n"


def test_files_that_are_gone_leave_the_list_with_the_next_scan_of_their_folder(mtag, library):
    mtag("scan", library)
    (library / "odd" / "text.mp3").unlink()
    shutil.rmtree(library / "album")
    with Catalog.open() as catalog:
        catalog.record_failure(library / "album" / "song.mp3", library.stat(), FailureKind.DECODE, "is damaged")
    mtag("scan", library)
    names = {Path(failure["path"]).name for failure in mtag("failures", "--json").records}
    assert names == {"corrupt.mp3", "empty.mp3", "short.flac", "silent.flac", "song.mp3"}


@pytest.mark.parametrize("name", ["short.flac", "silent.flac"])
def test_a_file_in_which_nothing_can_be_heard_is_not_opened_again(mtag, library, monkeypatch, name):
    first = mtag("scan", library / "odd" / name, "--json").records
    monkeypatch.setattr(Decoders, "read_blocks", pytest.fail)
    assert mtag("scan", library / "odd" / name, "--json").records[0] == first[0]
    assert len(mtag("failures", "--json").records) == 1


def test_the_failures_of_a_disk_that_is_away_stay_in_the_list(mtag, library):
    mtag("scan", library)
    (library / "odd").rename(library.parent / "away")
    (library / "odd").mkdir()  # where it was mounted
    mtag("scan", library)
    assert len(mtag("failures", "--json").records) == 5


def test_what_crashed_is_skipped_until_retry_failed(mtag, album):
    song = album / "song.flac"
    with Catalog.open() as catalog:
        catalog.record_failure(song, song.stat(), FailureKind.CRASH, "crashed its decoder")
    ended = mtag("scan", album, "--json")
    assert ended.code == 0
    (skipped,) = [result for result in ended.records[:-1] if result["status"] == "skipped"]
    assert (Path(skipped["path"]).name, skipped["error"]["kind"]) == ("song.flac", "crash")
    assert "--retry-failed" in skipped["error"]["message"]
    assert len(mtag("failures", "--json").records) == 1
    assert mtag("scan", album, "--retry-failed", "--json").records[-1]["summary"]["preview"] == 8
    assert mtag("failures", "--json").records == []
