from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

KEYS = {"path", "duration", "windows", "tags", "model", "error"}


def test_a_track_has_a_table_of_its_best_tags(mtag, album):
    ended = mtag("predict", album / "song.mp3")
    head, *rows = ended.out.splitlines()
    assert ended.code == 0
    assert head.startswith(str(album / "song.mp3"))
    assert head.endswith(("0:01", "0:02"))
    assert len(rows) == 5
    first = rows[0].split()
    assert (first[0], first[-2:]) == ("rock", ["0.90", "genre"])
    assert "█" in first[1]
    assert ended.err == ""


def test_json_holds_to_the_contract(mtag, album):
    ended = mtag("predict", album / "song.mp3", "--json", "--top", "50")
    (record,) = ended.records
    assert record.keys() == KEYS
    assert record["path"] == str(album / "song.mp3")
    assert record["duration"] == pytest.approx(1.5, abs=0.1)
    assert (record["windows"], record["model"], record["error"]) == (1, "1+2+3", None)
    assert len(record["tags"]) == 50
    assert record["tags"][0] == {"tag": "rock", "score": 0.9, "kind": "genre"}
    scores = [tag["score"] for tag in record["tags"]]
    assert scores == sorted(scores, reverse=True)


def test_top_and_fast_do_what_they_say(mtag, album):
    (record,) = mtag("predict", album / "song.mp3", "--json", "--top", "2", "--fast").records
    assert [tag["tag"] for tag in record["tags"]] == ["rock", "guitar"]
    assert record["model"] == "1+2"


def test_folders_are_walked_and_failures_have_their_reason(mtag, library):
    ended = mtag("predict", library, "--json")
    assert ended.code == 1
    assert len(ended.records) == 13
    failed = {Path(record["path"]).name: record for record in ended.records if record["error"]}
    assert failed.keys() == {"corrupt.mp3", "empty.mp3", "text.mp3", "silent.flac", "short.flac"}
    silent = failed["silent.flac"]
    assert silent["error"]["kind"] == "silent"
    assert "is silent" in silent["error"]["message"]
    assert (silent["duration"], silent["windows"], silent["tags"]) == (None, None, [])


def test_a_failure_stands_in_its_place_among_the_tables(mtag, library):
    ended = mtag("predict", library / "odd" / "text.mp3", library / "album" / "song.mp3")
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert "text.mp3" in lines[0]
    assert "not a music file" in lines[0]
    assert "song.mp3" in lines[1]


def test_where_all_fail_or_nothing_is_there_the_exit_code_is_3(mtag, library, tmp_path):
    assert mtag("predict", library / "odd" / "text.mp3").code == 3
    assert mtag("predict", tmp_path / "missing.mp3").code == 3
    (tmp_path / "empty").mkdir()
    ended = mtag("predict", tmp_path / "empty")
    assert (ended.code, ended.out) == (3, "There are no audio files.\n")


def test_nothing_named_is_a_usage_error(mtag):
    assert mtag("predict").code == 2


def test_more_tags_than_there_are_is_a_usage_error(mtag, album):
    assert mtag("predict", album, "--top", "51").code == 2


@pytest.mark.parametrize("separator", [b"\n", b"\0", b"\r\n"])
def test_a_dash_reads_a_list_of_paths(mtag, album, monkeypatch, separator):
    names = sorted(album.iterdir())[:3]
    listed = separator.join(os.fsencode(name) for name in names) + separator
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed)))
    ended = mtag("predict", "-", "--json")
    assert [record["path"] for record in ended.records] == [str(name) for name in names]


def test_a_playlist_that_is_named_stands_for_its_files(mtag, album):
    playlist = album.parent / "lists" / "mine.M3U8"
    playlist.parent.mkdir()
    playlist.write_text("#EXTINF:1,Radio\nhttp://radio.example/live.mp3\n#EXTINF:1,A song\n../album/song.mp3\n")
    (record,) = mtag("predict", playlist, "--json").records
    assert Path(record["path"]).samefile(album / "song.mp3")
    missing = mtag("predict", playlist.with_name("other.m3u"))
    assert (missing.code, "other.m3u" in missing.out + missing.err) == (3, True)


def test_a_playlist_is_a_list_of_paths(mtag, album, monkeypatch):
    content = f"\ufeff#EXTM3U\r\n#EXTINF:1,Somebody - Something\r\n{album / 'song.mp3'}\r\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    assert [record["path"] for record in mtag("predict", "-", "--json").records] == [str(album / "song.mp3")]


def test_without_standard_input_there_is_no_list(mtag, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert mtag("predict", "-").code == 3


def test_an_empty_path_is_a_usage_error_and_no_current_folder(mtag, album, monkeypatch):
    monkeypatch.chdir(album)
    for command in (("predict",), ("scan",), ("strip",), ("undo", "last"), ("failures",), ("catalog", "forget")):
        ended = mtag(*command, "")
        assert (ended.code, ended.out) == (2, "")
        assert "a path is empty" in ended.err


def test_a_file_can_be_called_like_standard_input(mtag, album, monkeypatch):
    monkeypatch.chdir(album)
    (album / "song.mp3").rename(album / "-")
    (record,) = mtag("predict", "./-", "--json").records
    assert record["error"] is None


def test_a_name_with_a_line_break_can_be_listed_between_nul_bytes(mtag, album, monkeypatch):
    odd = (album / "song.mp3").rename(album / "a\nb.mp3")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(os.fsencode(odd) + b"\0")))
    (record,) = mtag("predict", "-", "--json").records
    assert record["path"] == str(odd)


def test_a_device_that_is_not_there_is_one_sentence(mtag, album):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime knows CUDA")
    ended = mtag("predict", album, "--device", "cuda")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith("mtag: cuda is not available")


def test_no_file_is_changed_and_nothing_is_kept(mtag, album):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in album.iterdir()}
    mtag("predict", album)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in album.iterdir()} == before
    assert not Path(os.environ["MTAG_CATALOG"]).exists()
    assert json.loads(mtag("scan", album, "--json").out.splitlines()[0])["cached"] is False
