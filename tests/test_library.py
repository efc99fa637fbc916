from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import mutagen
import numpy as np
import pytest
from mutagen.flac import FLAC
from mutagen.id3 import TIT2

from mtag import library
from mtag.atomic import HardLinks, is_litter, litter_name
from mtag.audio.decode import packet_digest
from mtag.audio.decoders import Decoders
from mtag.bundle import Bundle, load_bundle
from mtag.catalog import Catalog
from mtag.catalog.scores import Heard
from mtag.errors import CatalogError, FailureKind, FileError, SkippedError, WeightsError
from mtag.hearing import Ears, Track, hear, in_order, settled
from mtag.ledger import only_failed
from mtag.library import ScanOptions, scan
from mtag.recorder import Recorder
from mtag.results import ScanResult, Status, Summary, rank
from mtag.tagfile import Fields, GenrePolicy, Style, read_fields, snapshot
from mtag.undo import UndoOptions
from mtag.vocabulary import Kind, Vocabulary
from mtag.walk import find_files
from tests.encoding import encode, noise, tone
from tests.test_inplace import half_written
from tests.tiny_bundle import HEARD, TAGS, scores_of, write_tiny_bundle

SR = 16_000  # Hz; what is quick to encode
WRITE = ScanOptions(write=True)
PREVIEW = ScanOptions()

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need privileges on Windows")


# Finding files


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def found(*paths: Path) -> list[str]:
    """Names under the first path, as far as they are files."""
    return [str(path.relative_to(paths[0])) for path in find_files(paths) if isinstance(path, Path)]


def test_a_folders_files_come_before_its_folders_both_by_name(tmp_path):
    for name in ("b/2.flac", "b/1.mp3", "c.ogg", "a/z/x.wav", "a.m4a", "a/y.opus"):
        touch(tmp_path / name)
    expected = ["a.m4a", "c.ogg", "a/y.opus", "a/z/x.wav", "b/1.mp3", "b/2.flac"]
    assert found(tmp_path) == [str(Path(name)) for name in expected]


def test_hidden_names_other_files_and_own_litter_are_passed_over(tmp_path):
    for name in (".hidden.mp3", ".hidden/song.mp3", "cover.jpg", "song.mp3.part", "notes", litter_name("song.mp3")):
        touch(tmp_path / name)
    touch(tmp_path / "SONG.MP3")
    (tmp_path / "folder.mp3").mkdir()
    assert found(tmp_path) == ["SONG.MP3"]


def test_a_file_that_is_named_is_taken_whatever_its_name(tmp_path):
    for name in (".hidden.mp3", "song.mp3.part", "notes"):
        path = touch(tmp_path / name)
        assert list(find_files([path])) == [path]


def test_a_path_that_is_not_there_is_a_failure_and_the_others_are_found(tmp_path):
    missing, there = tmp_path / "missing", touch(tmp_path / "song.mp3")
    failure, file = find_files([missing, there])
    assert isinstance(failure, FileError)
    assert (failure.path, failure.kind) == (missing, FailureKind.UNSUPPORTED)
    assert "no such file" in failure.reason
    assert file == there


def test_a_file_is_found_once_however_often_it_is_named(tmp_path):
    song = touch(tmp_path / "album" / "song.mp3")
    assert list(find_files([song, tmp_path, song, tmp_path / "album"])) == [song]


@needs_links
def test_links_are_followed_once_and_loops_end(tmp_path):
    touch(tmp_path / "a" / "song.mp3")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "c.mp3").symlink_to(tmp_path / "a" / "song.mp3")
    (tmp_path / "d.mp3").symlink_to(tmp_path / "nowhere")
    (tmp_path / "e.mp3").symlink_to(tmp_path / "e.mp3")
    os.link(tmp_path / "a" / "song.mp3", tmp_path / "a" / "zong.mp3")
    assert [path if isinstance(path, FileError) else path.name for path in find_files([tmp_path])] == ["c.mp3"]


@needs_links
def test_a_link_back_up_leads_to_nothing_that_was_not_asked_for(tmp_path):
    touch(tmp_path / "a" / "song.mp3")
    touch(tmp_path / "other.mp3")
    touch(tmp_path / "beside" / "linked.mp3")
    (tmp_path / "a" / "loop").symlink_to("..")
    (tmp_path / "a" / "more").symlink_to(tmp_path / "beside")
    assert [path.name for path in find_files([tmp_path / "a"])] == ["song.mp3", "linked.mp3"]
    names = [path.name for path in find_files([tmp_path / "a", tmp_path])]
    assert names == ["song.mp3", "linked.mp3", "other.mp3"]  # named itself, it is gone through


def test_what_is_excluded_is_passed_over_but_for_what_is_named_itself(tmp_path):
    for name in ("a/x.mp3", "a/books/y.mp3", "a/mixes/2019-1/z.mp3", "a/mixes/2020/z.mp3", "b/y.flac"):
        touch(tmp_path / name)

    def found(*patterns: str, below: Path = tmp_path) -> list[str]:
        return [path.relative_to(tmp_path).as_posix() for path in find_files([below], exclude=patterns)]

    assert found("books/", "mixes") == ["a/x.mp3", "b/y.flac"]
    assert found("y.*", "a/mixes/2019*") == ["a/x.mp3", "a/mixes/2020/z.mp3"]
    assert found(f"{tmp_path}/a/*") == ["b/y.flac"]
    assert found("mixes/2019*", below=tmp_path / "a") == ["a/x.mp3", "a/books/y.mp3", "a/mixes/2020/z.mp3"]
    assert found("books", "y.mp3", below=tmp_path / "a" / "books") == []
    assert found("books", below=tmp_path / "a" / "books") == ["a/books/y.mp3"]
    assert found("y.mp3", below=tmp_path / "a" / "books" / "y.mp3") == ["a/books/y.mp3"]


def test_what_was_deleted_is_not_looked_for_in_the_systems_own_folders(tmp_path):
    for name in (
        "song.mp3",
        "$Recycle.Bin/S-1-5/gone.mp3",
        "#recycle/gone.mp3",
        "a/@eaDir/song.mp3",
        "lost+found/1.mp3",
    ):
        touch(tmp_path / name)
    assert [path.name for path in find_files([tmp_path])] == ["song.mp3"]
    assert [path.name for path in find_files([tmp_path / "#recycle"])] == ["gone.mp3"]


@needs_links
def test_each_hard_link_is_found_where_every_name_counts_and_symbolic_links_still_once(tmp_path):
    song = touch(tmp_path / "a" / "song.mp3")
    os.link(song, tmp_path / "a" / "zong.mp3")
    touch(tmp_path / "a" / "single.mp3")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "c.mp3").symlink_to(song)
    names = [path.name for path in find_files([tmp_path], every_name=True) if isinstance(path, Path)]
    assert names == ["c.mp3", "single.mp3", "zong.mp3"]


@needs_links
def test_a_link_to_nowhere_is_a_failure_only_when_it_is_named(tmp_path):
    (tmp_path / "song.mp3").symlink_to(tmp_path / "nowhere")
    assert list(find_files([tmp_path])) == []
    assert [type(found) for found in find_files([tmp_path / "song.mp3"])] == [FileError]


@needs_links
def test_what_is_no_regular_file_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp3")
    assert list(find_files([tmp_path])) == []
    (failure,) = find_files([tmp_path / "pipe.mp3"])
    assert isinstance(failure, FileError)
    assert failure.reason == "is neither a file nor a folder"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf_8_are_found(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp3"))
    touch(path)
    assert list(find_files([tmp_path])) == [path]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_a_failure_and_the_walk_goes_on(tmp_path):
    touch(tmp_path / "a" / "song.mp3")
    touch(tmp_path / "b" / "song.mp3")
    (tmp_path / "a").chmod(0)
    try:
        failure, file = find_files([tmp_path])
    finally:
        (tmp_path / "a").chmod(0o755)
    assert isinstance(failure, FileError)
    assert failure.kind is FailureKind.PERMISSION
    assert file == tmp_path / "b" / "song.mp3"


# Hearing


NOTHING = Heard(np.zeros(50, np.float32), 1.0, 1)


def test_tracks_come_in_order_and_no_more_than_the_limit_are_under_way():
    begun: list[Track] = []
    given: list[str] = []

    def tracks():
        for number in range(10):
            assert len(begun) - len(given) < 4
            begun.append(Track(Path(str(number)), Future()))
            if number % 4 == 3:  # the latest is done first
                for track in reversed(begun[-4:]):
                    track.future.set_result(NOTHING)
            yield begun[-1]
        for track in begun[8:]:
            track.future.set_result(NOTHING)

    for track in in_order(tracks(), 4):
        given.append(track.path.name)
    assert given == [str(number) for number in range(10)]


def test_what_has_been_heard_is_told_of_before_its_turn():
    first, second = Track(Path("long"), Future()), Track(Path("short"), Future())
    told = []

    def heard(track: Track) -> None:
        told.append(track)
        if track is second:
            first.future.set_result(NOTHING)

    threading.Timer(0.05, lambda: second.future.set_result(NOTHING)).start()
    assert list(in_order([first, second], 8, heard)) == [first, second]
    assert told == [second, first]


def test_the_ensemble_is_not_loaded_where_there_is_nothing_to_hear(tmp_path):
    failure = FileError(tmp_path, FailureKind.UNSUPPORTED, "is not there")
    with Ears(pytest.fail, jobs=1) as ears:
        assert list(hear([failure], ears)) == [(tmp_path, failure)]


# Scanning


class Listener:
    """An ensemble of no networks: counts what it hears, and does as it is told."""

    batch_size = 1
    tags = TAGS

    def __init__(self, act: Callable[[np.ndarray], None] | None = None) -> None:
        self.n_loads = 0
        self.n_windows = 0
        self._act = act

    def load(self) -> Listener:
        self.n_loads += 1
        return self

    def scores(self, log_mels: np.ndarray, windows: np.ndarray) -> np.ndarray:
        self.n_windows += len(windows)
        if self._act:
            self._act(windows)
        return np.tile(scores_of(HEARD), (len(windows), 1))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("bundle")))


@pytest.fixture
def catalog(tmp_path):
    with Catalog.open(tmp_path / "catalog.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    """A folder of five good files."""
    folder = tmp_path_factory.mktemp("originals")
    for number, suffix in enumerate([".mp3", ".flac", ".ogg", ".m4a", ".wav"]):
        encode(folder / f"{number}{suffix}", tone(1.5, SR), SR)
    return folder


@pytest.fixture
def music(originals, tmp_path) -> Path:
    """A copy of them that a test may write to."""
    return Path(shutil.copytree(originals, tmp_path / "music"))


@pytest.fixture
def run(bundle, catalog):
    """Scan some paths with a listener that nothing escapes."""

    def scan_all(*paths: Path, options: ScanOptions = PREVIEW, listener: Listener | None = None) -> list[ScanResult]:
        files = find_files(paths, every_name=True)
        return list(scan(files, bundle, catalog, options, load=(listener or Listener()).load))

    return scan_all


def statuses(results: list[ScanResult]) -> list[str]:
    return [result.status.value for result in results]


def test_a_preview_tells_what_would_be_written_and_touches_nothing(run, music, catalog):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in music.iterdir()}
    results = run(music)
    assert statuses(results) == ["preview"] * 5
    for result in results:
        assert (result.genres, result.comment) == (("Rock",), "mtag: guitar, slow")
        assert result.new_genres
        assert [(tag.tag, tag.kind) for tag in result.tags[:2]] == [("rock", Kind.GENRE), ("guitar", Kind.INSTRUMENT)]
        assert result.tags[0].score == pytest.approx(0.9)
        assert result.duration == pytest.approx(1.5, abs=0.1)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in music.iterdir()} == before
    assert catalog.runs() == []


def test_what_is_written_is_what_was_told(run, music):
    results = run(music, options=WRITE)
    assert statuses(results) == ["written"] * 5
    for result in results:
        assert read_fields(result.path) == Fields(("Rock",), ("mtag: guitar, slow",))


def test_a_second_run_writes_nothing_and_listens_to_nothing(run, music):
    first, second = Listener(), Listener()
    assert not any(result.cached for result in run(music, options=WRITE, listener=first))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in music.iterdir()}
    results = run(music, options=WRITE, listener=second)
    assert statuses(results) == ["unchanged"] * 5
    assert all(result.cached for result in results)
    assert (first.n_loads, first.n_windows) == (1, 5)
    assert (second.n_loads, second.n_windows) == (0, 0)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in music.iterdir()} == before


def test_a_preview_is_enough_for_a_later_run_to_write_without_listening(run, music):
    run(music)
    listener = Listener()
    assert statuses(run(music, options=WRITE, listener=listener)) == ["written"] * 5
    assert listener.n_loads == 0


def test_a_file_that_has_changed_is_heard_again(run, music):
    run(music, options=WRITE)
    encode(music / "1.flac", noise(2, SR), SR)
    results = run(music, options=WRITE)
    assert [(result.path.name, result.status.value) for result in results if not result.cached] == [
        ("1.flac", "written")
    ]


def test_results_come_in_the_order_of_the_walk_whatever_takes_long(run, tmp_path):
    folder = tmp_path / "music"
    folder.mkdir()
    for number, seconds in enumerate([100, 2, 60, 1.5, 2, 35]):
        encode(folder / f"{number}.flac", tone(seconds, SR), SR)
    results = run(folder, options=replace(WRITE, jobs=4))
    assert [result.path.name for result in results] == [f"{number}.flac" for number in range(6)]
    assert statuses(results) == ["written"] * 6


def test_each_bad_file_has_its_own_reason_and_the_others_are_written(run, music, catalog):
    (music / "5 corrupt.mp3").write_bytes(b"\xff\xfb\x90\x00" + bytes(range(256)) * 40)
    (music / "6 empty.mp3").write_bytes(b"")
    (music / "7 text.mp3").write_text("no music\n" * 40)
    encode(music / "8 silent.wav", np.zeros(2 * SR, np.float32), SR)
    encode(music / "9 short.wav", tone(0.5, SR), SR)
    results = run(music, options=WRITE)
    assert statuses(results) == ["written"] * 5 + ["failed"] * 5
    kinds = [result.error.kind.value for result in results if result.error]
    assert kinds == ["decode", "decode", "unsupported", "silent", "too-short"]
    assert len({result.error.reason for result in results if result.error}) == 5
    assert [failure.path.name for failure in catalog.failures()] == [result.path.name for result in results[5:]]
    assert catalog.failures()[0].reason == results[5].error.reason


def test_a_failed_file_is_tried_again_and_forgotten_once_it_is_well(run, music, catalog):
    broken = music / "2.ogg"
    broken.write_bytes(b"")
    assert statuses(run(music))[2] == statuses(run(music))[2] == "failed"
    encode(broken, tone(1.5, SR), SR)
    assert statuses(run(music))[2] == "preview"
    assert catalog.failures() == []


def test_an_unforeseen_exception_costs_one_file(run, music, catalog):
    def stumble(windows: np.ndarray) -> None:
        if windows.std() < 0.1:
            raise ZeroDivisionError("something odd")

    encode(music / "2.ogg", tone(1.5, SR, amplitude=0.01), SR)
    results = run(music, options=WRITE, listener=Listener(stumble))
    assert statuses(results) == ["written", "written", "failed", "written", "written"]
    error = results[2].error
    assert error.kind is FailureKind.CRASH
    assert "ZeroDivisionError: something odd" in error.reason
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_scores_of_a_file_that_changed_while_it_was_heard_are_not_kept(run, music):
    def disturb(windows: np.ndarray) -> None:
        os.utime(music / "0.mp3", (1, 1))

    run(music / "0.mp3", listener=Listener(disturb))
    assert not run(music / "0.mp3")[0].cached
    assert run(music / "0.mp3")[0].cached


def test_a_file_that_changed_after_it_was_heard_is_not_written(run, music):
    replaced: list[bytes] = []

    def replace_audio(windows: np.ndarray) -> None:
        encode(music / "1.flac", noise(2, SR), SR)
        replaced.append((music / "1.flac").read_bytes())

    (result,) = run(music / "1.flac", options=WRITE, listener=Listener(replace_audio))
    assert result.status is Status.FAILED
    assert "changed by another program" in result.error.reason
    assert (music / "1.flac").read_bytes() == replaced[-1]
    assert not run(music / "1.flac")[0].cached


@needs_links
def test_a_hard_linked_file_is_skipped_with_the_reason_and_not_heard(run, music, tmp_path):
    for path in music.iterdir():
        os.link(path, tmp_path / path.name)
    listener = Listener()
    for options in (PREVIEW, WRITE):
        results = run(music, options=options, listener=listener)
        assert statuses(results) == ["skipped"] * 5
        assert "2 hard links" in results[0].error.reason
    assert listener.n_loads == 0


def test_before_values_are_in_the_catalog_and_belong_to_a_run(run, music, catalog):
    befores = {path: snapshot(path).to_json() for path in music.iterdir()}
    run(music, options=replace(WRITE, arguments="scan --write-tags", version="1.0"))
    (told,) = catalog.runs()
    assert (told.arguments, told.version) == ("scan --write-tags", "1.0")
    assert ScanOptions().version == UndoOptions().version == metadata.version("mtag")
    assert told.finished >= told.started
    changes = catalog.changes(told.id)
    assert {change.path: change.before for change in changes} == befores
    assert all(change.after == snapshot(change.path).to_json() for change in changes)


@pytest.mark.skipif(sys.platform == "win32", reason="write protection works otherwise on Windows")
def test_a_file_that_cannot_be_written_is_a_failure_without_a_change(run, music, catalog):
    (music / "1.flac").chmod(0o444)
    results = run(music, options=WRITE)
    assert statuses(results) == ["written", "failed", "written", "written", "written"]
    assert results[1].error.kind is FailureKind.PERMISSION
    (told,) = catalog.runs()
    assert [change.path.name for change in catalog.changes(told.id)] == ["0.mp3", "2.ogg", "3.m4a", "4.wav"]


def test_where_no_tag_is_sure_enough_nothing_is_written(run, music):
    results = run(music, options=replace(WRITE, min_score=0.95))
    assert statuses(results) == ["unchanged"] * 5
    assert all(result.abstained for result in results)
    assert [result.tags[0].tag for result in results] == ["rock"] * 5


def test_a_damaged_outcome_is_found_out_again(run, music, catalog):
    results = run(music, options=WRITE)
    with catalog._transaction() as connection:
        connection.execute("UPDATE outcomes SET outcome = replace(outcome, 'unchanged', 'unchangad')")
        connection.execute("UPDATE outcomes SET outcome = '7' WHERE track = 1")
    again = run(music, options=WRITE)
    assert statuses(again) == ["unchanged"] * 5
    assert [result.genres for result in again] == [result.genres for result in results]


def test_a_persons_own_genre_stays_unless_it_is_to_be_replaced(run, music, bundle, catalog):
    path = music / "1.flac"
    tags = FLAC(path)
    tags["genre"] = ["Zydeco"]
    tags.save()
    (kept,) = run(path, options=WRITE)
    assert (kept.genres, kept.new_genres) == (("Zydeco",), False)
    assert run(path, options=WRITE)[0] == replace(kept, status=Status.UNCHANGED, cached=True)  # from the catalog
    (replaced,) = run(path, options=replace(WRITE, policy=GenrePolicy.REPLACE))
    assert (replaced.genres, replaced.new_genres) == (("Rock",), True)
    (again,) = run(path, options=replace(WRITE, policy=GenrePolicy.REPLACE))
    assert kept.own_genres == replaced.own_genres == again.own_genres == ("Zydeco",)
    assert read_fields(path).genres == ("Rock",)


def test_a_genre_that_an_earlier_scan_wrote_is_not_taken_for_the_persons_own(run, music):
    path = music / "1.flac"
    run(path, options=replace(WRITE, min_score=0.05))
    assert len(read_fields(path).genres) > 1
    run(path, options=WRITE)
    assert read_fields(path).genres == ("Rock",)
    assert statuses(run(path, options=WRITE)) == ["unchanged"]


def test_a_hard_linked_file_that_a_kill_left_half_written_is_mended_before_it_is_read(run, music, tmp_path):
    path = music / "1.flac"
    (tmp_path / "seeded.flac").hardlink_to(path)
    whole = path.read_bytes()
    _, copy = half_written(path, b"old content" * 9, whole, n_blocks=1)
    assert path.read_bytes() != whole
    run(path, options=WRITE)
    assert path.read_bytes() == whole
    assert not copy.exists()


def test_a_hard_linked_file_that_was_mended_is_written_like_any_other(run, music, tmp_path):
    path = music / "1.flac"
    (tmp_path / "seeded.flac").hardlink_to(path)
    half_written(path, b"old content" * 9, path.read_bytes(), n_blocks=1)
    assert statuses(run(path, options=replace(WRITE, hardlinks=HardLinks.INPLACE))) == ["written"]
    assert read_fields(tmp_path / "seeded.flac").genres == ("Rock",)


def test_a_copy_whose_sound_is_another_is_refused_even_where_the_files_own_is_known(run, music, monkeypatch):
    run(music / "0.mp3", options=WRITE)  # from now on sounds are taken as files are heard
    before = (music / "1.flac").read_bytes()
    digest = Decoders.packet_digest
    monkeypatch.setattr(Decoders, "packet_digest", lambda *asked: digest(*asked) + ".mtag-" * is_litter(asked[1].name))
    (result,) = run(music / "1.flac", options=WRITE)
    assert "audio would not have stayed the same" in result.error.reason
    assert (music / "1.flac").read_bytes() == before


def test_top_limits_the_words(run, music):
    (result,) = run(music / "0.mp3", options=replace(PREVIEW, top=1))
    assert result.comment == "mtag: guitar"
    assert len(result.tags) == 1


def test_fast_and_full_scores_are_kept_apart(run, music):
    run(music / "0.mp3")
    assert not run(music / "0.mp3", options=replace(PREVIEW, fast=True))[0].cached
    assert run(music / "0.mp3")[0].cached


def test_litter_of_a_killed_run_goes_with_the_next_write(run, music):
    litter = touch(music / litter_name("0.mp3"))
    run(music)
    assert litter.exists()
    run(music, options=WRITE)
    assert not litter.exists()


def test_after_a_stop_no_file_is_begun_and_the_results_end(bundle, catalog, music):
    stop, first = threading.Event(), threading.Event()

    def hold_all_but_the_first(windows: np.ndarray) -> None:
        if first.is_set():
            assert stop.wait(60)
        first.set()

    results = []
    listener = Listener(hold_all_but_the_first)
    for result in scan(find_files([music]), bundle, catalog, WRITE, load=listener.load, stop=stop):
        results.append(result)
        stop.set()
    assert statuses(results) == ["written"] * 2
    untouched = [path for path in find_files([music]) if path not in {result.path for result in results}]
    assert all(read_fields(path) == Fields() for path in untouched)
    assert catalog.runs()[0].finished is not None


def test_a_file_that_a_stopped_mtag_works_on_is_not_waited_for_for_ever(bundle, catalog, music, monkeypatch):
    monkeypatch.setattr(library, "PATIENCE_SECONDS", 0.2)
    song = music / "4.wav"
    with Catalog.open(catalog.path) as other:
        run = other.begin_run("", "1.0")
        other.record_change(run, song, "{}", "{}")
        results = {
            result.path: result for result in scan(find_files([music]), bundle, catalog, WRITE, load=Listener().load)
        }
        assert results.pop(song).error.reason == "is being changed by another mtag"
    assert {result.status for result in results.values()} == {Status.WRITTEN}


def test_a_file_that_another_mtag_works_on_is_waited_for_and_then_written(run, catalog, music, monkeypatch):
    look, looks = Catalog.is_being_changed, []
    with Catalog.open(catalog.path) as other:
        change = other.record_change(other.begin_run("", ""), music / "1.flac", "{}", "{}")

        def patient(mine: Catalog, path: Path) -> bool:
            looks.append(path)
            if len(looks) == library.N_ATTEMPTS:
                other.drop_change(change)
            return look(mine, path)

        monkeypatch.setattr(Catalog, "is_being_changed", patient)
        assert statuses(run(music / "1.flac", options=WRITE)) == ["written"]


def test_after_a_stop_nobody_waits_for_another_mtag(bundle, catalog, music, monkeypatch):
    stop, looks = threading.Event(), []

    def look(mine: Catalog, path: Path) -> bool:
        looks.append(path)
        stop.set()
        return len(looks) < 100

    monkeypatch.setattr(Catalog, "is_being_changed", look)
    with Catalog.open(catalog.path) as other:
        other.record_change(other.begin_run("", ""), music / "1.flac", "{}", "{}")
        list(scan([music / "1.flac"], bundle, catalog, WRITE, load=Listener().load, stop=stop))
    assert len(looks) == 1


def test_weights_that_cannot_be_loaded_end_the_scan(bundle, catalog, music):
    def load():
        raise WeightsError("no weights here")

    with pytest.raises(WeightsError, match="no weights here"):
        list(scan(find_files([music]), bundle, catalog, PREVIEW, load=load))


def test_a_catalog_that_gives_way_ends_the_scan_before_a_file_is_changed(bundle, catalog, music):
    results = scan(find_files([music]), bundle, catalog, WRITE, load=Listener().load)
    assert next(results).status is Status.WRITTEN
    catalog.close()
    with pytest.raises(CatalogError):
        list(results)
    assert read_fields(music / "4.wav") == Fields()


def test_no_library_at_all_gives_no_results_and_loads_nothing(bundle, catalog):
    assert list(scan([], bundle, catalog, WRITE, load=pytest.fail)) == []


# What is known already


@pytest.fixture
def unopened(monkeypatch):
    """From here on no file may be opened for its tag."""

    def refuse() -> None:
        monkeypatch.setattr("mtag.tagfile.read_fields", pytest.fail)

    return refuse


@pytest.mark.parametrize("options", [PREVIEW, WRITE])
def test_an_unchanged_file_is_not_even_opened_and_its_result_is_the_same(run, music, options, unopened):
    run(music, options=options)
    second = run(music, options=options)
    unopened()
    third = run(music, options=options)
    assert third == second
    assert all(result.cached for result in third)


def test_a_file_that_was_written_need_not_be_opened_by_the_next_run(run, music, unopened):
    run(music, options=WRITE)
    unopened()
    assert statuses(run(music, options=WRITE)) == ["unchanged"] * 5
    assert statuses(run(music)) == ["unchanged"] * 5


def test_a_preview_is_no_answer_where_files_are_to_be_written(run, music):
    run(music)
    assert statuses(run(music, options=WRITE)) == ["written"] * 5


@pytest.mark.parametrize("other", [{"top": 1}, {"min_score": 0.75}, {"policy": GenrePolicy.REPLACE}])
def test_other_options_look_at_every_file_again(run, music, other):
    run(music / "1.flac", options=WRITE)
    foreign = FLAC(music / "1.flac")
    foreign["genre"] = ["Jazz"]
    foreign.save()
    run(music / "1.flac", options=WRITE)
    (result,) = run(music / "1.flac", options=replace(WRITE, **other))
    assert result.status is Status.WRITTEN


def test_thresholds_of_another_bundle_look_at_every_file_again(run, bundle, catalog, music):
    run(music / "1.flac", options=WRITE)
    thresholds = {name: dict.fromkeys(scores, 1.0) for name, scores in bundle.manifest["thresholds"]["scores"].items()}
    stricter = replace(bundle, manifest={**bundle.manifest, "thresholds": {"scores": thresholds}})
    (result,) = scan([music / "1.flac"], stricter, catalog, WRITE, load=pytest.fail)
    assert (result.status, result.genres, result.abstained) == (Status.WRITTEN, (), True)


@pytest.mark.parametrize(
    "other",
    [{"fast": True}, {"windows": 3}, {"version": "2"}, {"style": Style(3)}, {"vocabulary": Vocabulary(max_genres=1)}],
)
def test_whatever_decides_over_a_file_is_in_the_fingerprint_and_how_it_is_done_is_not(other):
    assert replace(WRITE, **other).fingerprint() != WRITE.fingerprint()
    assert replace(WRITE, jobs=7, device="cpu", write=False, arguments="x").fingerprint() == WRITE.fingerprint()


def test_a_tag_that_somebody_edited_without_a_trace_in_size_and_time_is_noticed(run, music):
    path = music / "1.flac"
    run(path, options=replace(WRITE, policy=GenrePolicy.REPLACE))
    stat = path.stat()
    foreign = FLAC(path)
    foreign["genre"] = ["Soul"]
    foreign.save()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    (result,) = run(path, options=replace(WRITE, policy=GenrePolicy.REPLACE))
    assert (result.status, result.genres, result.cached) == (Status.WRITTEN, ("Rock",), True)


# The same file by another name


def test_renamed_and_moved_files_are_recognised_without_listening(run, music, tmp_path):
    run(music, options=WRITE)
    (music / "0.mp3").rename(music / "renamed.mp3")
    music.rename(tmp_path / "moved")
    results = run(tmp_path / "moved", options=WRITE, listener=Listener(pytest.fail))
    assert statuses(results) == ["unchanged"] * 5
    assert all(result.cached for result in results)


def test_a_file_that_moved_to_another_disk_is_recognised_by_its_content(run, music, tmp_path):
    run(music)
    shutil.copytree(music, tmp_path / "copied")  # copies have the same times
    shutil.rmtree(music)
    results = run(tmp_path / "copied", listener=Listener(pytest.fail))
    assert all(result.cached for result in results)


def retagged(path: Path) -> Path:
    """The same file after another program has written a long title into its tag."""
    file = mutagen.File(path, easy=True)
    if file.tags is None:
        file.add_tags()
    if path.suffix == ".wav":  # of which mutagen knows no easy names
        file["TIT2"] = TIT2(3, ["x" * 9000])
    else:
        file["title"] = "x" * 9000
    file.save()
    return path


def test_a_file_that_another_program_has_tagged_is_not_listened_to_again(run, music, catalog):
    run(music, options=WRITE)
    sizes = [path.stat().st_size for path in find_files([music])]
    for path in music.iterdir():
        retagged(path)
    assert all(path.stat().st_size > size for path, size in zip(find_files([music]), sizes, strict=True))
    results = run(music, options=WRITE, listener=Listener(pytest.fail))
    assert statuses(results) == ["unchanged"] * 5
    assert all(result.cached for result in results)
    assert catalog.info().n_tracks == 5


def test_a_file_that_was_tagged_and_renamed_at_once_takes_its_history_along(run, music, catalog):
    run(music / "1.flac", options=WRITE)
    retagged((music / "1.flac").rename(music / "A better name.flac"))
    (result,) = run(music / "A better name.flac", options=WRITE, listener=Listener(pytest.fail))
    assert (result.status, result.cached) == (Status.UNCHANGED, True)
    assert [change.place for change in catalog.changes(1)] == [music / "A better name.flac"]
    assert catalog.info().n_tracks == 1


def test_copies_of_a_file_are_heard_once_and_each_has_its_own_history(run, music, catalog):
    run(music / "1.flac", options=WRITE)
    retagged(Path(shutil.copy(music / "1.flac", music / "copy.flac")))
    results = run(music / "1.flac", music / "copy.flac", options=WRITE, listener=Listener(pytest.fail))
    assert statuses(results) == ["unchanged", "unchanged"]
    assert [change.place for change in catalog.changes(1)] == [music / "1.flac"]
    assert catalog.info().n_tracks == 2


def test_other_music_under_a_known_name_is_heard(run, music):
    run(music / "1.flac")
    encode(music / "1.flac", noise(1.5, SR), SR)
    assert not run(music / "1.flac")[0].cached


def test_scores_of_other_models_stay_where_only_the_tag_has_changed(run, music):
    fast = replace(WRITE, fast=True)
    run(music / "1.flac", options=WRITE)
    run(music / "1.flac", options=fast)
    retagged(music / "1.flac")
    for options in (WRITE, fast):
        assert run(music / "1.flac", options=options, listener=Listener(pytest.fail))[0].cached


def test_a_first_preview_takes_no_sounds_and_what_comes_after_writing_is_known_without_it(run, music, monkeypatch):
    taken: list[Path] = []

    def take(decoders: Decoders, path: Path) -> str:
        taken.append(path)
        return packet_digest(path)

    monkeypatch.setattr(Decoders, "packet_digest", take)
    run(music)
    assert not taken
    run(music / "1.flac", options=WRITE)
    assert taken.count(music / "1.flac") == 1  # the other is the copy's
    taken.clear()
    shutil.copy(music / "0.mp3", music / "new.mp3")
    assert not run(music / "new.mp3", options=WRITE)[0].cached
    assert taken.count(music / "new.mp3") == 1
    shutil.copy(music / "new.mp3", music / "newer.mp3")
    assert run(music / "newer.mp3")[0].cached


def test_a_file_without_an_end_to_its_packets_is_heard_all_the_same(run, music, monkeypatch):
    run(music / "0.mp3", options=WRITE)

    def fail(decoders: Decoders, path: Path) -> str:
        raise FileError(path, FailureKind.DECODE, "cannot be read to its end")

    monkeypatch.setattr(Decoders, "packet_digest", fail)
    assert statuses(run(music / "1.flac")) == ["preview"]
    os.utime(music / "1.flac", (5, 5))
    assert not run(music / "1.flac")[0].cached


def test_other_music_of_the_same_size_and_time_is_heard(run, tmp_path):
    encode(tmp_path / "a.wav", tone(1.5, SR), SR)
    os.utime(tmp_path / "a.wav", (5, 5))
    run(tmp_path / "a.wav")
    (tmp_path / "a.wav").rename(tmp_path / "a.bak")
    encode(tmp_path / "b.wav", noise(1.5, SR), SR)
    os.utime(tmp_path / "b.wav", (5, 5))
    assert (tmp_path / "b.wav").stat().st_size == (tmp_path / "a.bak").stat().st_size
    assert not run(tmp_path / "b.wav")[0].cached


# Only what was heard


def test_without_listening_only_files_of_known_scores_are_dealt_with(run, catalog, music):
    run(music / "1.flac")
    deaf = replace(WRITE, listen=False, top=1)
    results = run(music, options=deaf, listener=Listener(pytest.fail))
    assert statuses(results) == ["skipped", "written", "skipped", "skipped", "skipped"]
    assert results[1].comment == "mtag: guitar"
    assert results[0].error.kind is FailureKind.UNHEARD
    assert "mtag scan" in results[0].error.reason
    assert catalog.failures() == []  # to be skipped is none


def test_without_listening_a_file_is_known_by_its_sound_and_other_music_under_its_name_is_not(run, music):
    run(music / "1.flac", music / "4.wav", options=WRITE)
    retagged(music / "1.flac")
    encode(music / "4.wav", noise(1.5, SR), SR)
    deaf = replace(WRITE, listen=False, top=1)
    results = run(music / "1.flac", music / "4.wav", options=deaf, listener=Listener(pytest.fail))
    assert statuses(results) == ["written", "skipped"]
    assert results[1].error.kind is FailureKind.UNHEARD


# Failures


def crash(windows: np.ndarray) -> None:
    raise ZeroDivisionError("something odd")


def test_what_crashed_is_not_tried_again_until_it_is_asked_for_or_has_changed(run, music, catalog):
    path = music / "1.flac"
    assert statuses(run(path, listener=Listener(crash))) == ["failed"]
    (skipped,) = run(path, listener=Listener(pytest.fail))
    assert (skipped.status, skipped.error.kind) == (Status.SKIPPED, FailureKind.CRASH)
    assert "--retry-failed" in skipped.error.reason
    assert [failure.path for failure in catalog.failures()] == [path]
    assert statuses(run(path, options=replace(PREVIEW, retry_failed=True), listener=Listener(crash))) == ["failed"]
    os.utime(path, (9, 9))
    assert statuses(run(path)) == ["preview"]
    assert catalog.failures() == []


def test_only_what_failed_can_be_tried(run, music, catalog):
    (music / "2.ogg").write_bytes(b"")
    run(music)
    encode(music / "2.ogg", tone(1.5, SR), SR)
    assert [path.name for path in only_failed(find_files([music]), catalog)] == ["2.ogg"]
    run(music)
    missing = music / "missing"
    assert [type(file) for file in only_failed(find_files([music, missing]), catalog)] == [FileError]


# Several at once


@needs_links
def test_a_file_of_several_names_is_heard_once_however_it_is_named(run, music, catalog, monkeypatch):
    monkeypatch.setattr("mtag.library._Scan._is_guarded", lambda *_: False)
    os.link(music / "1.flac", music / "twin.flac")
    listener = Listener()
    assert [result.path.name for result in run(music, listener=listener)][1::4] == ["1.flac", "twin.flac"]
    assert listener.n_windows == 5
    assert all(result.cached for result in run(music, listener=Listener(pytest.fail)))


def test_a_file_that_another_scan_has_written_meanwhile_is_taken_as_it_is(run, bundle, catalog, music):
    def get_ahead(windows: np.ndarray) -> None:
        with Catalog.open(catalog.path) as theirs:
            list(scan(find_files([music]), bundle, theirs, WRITE, load=Listener().load))

    (result,) = run(music / "1.flac", options=WRITE, listener=Listener(get_ahead))
    assert (result.status, result.genres, result.error) == (Status.UNCHANGED, ("Rock",), None)


def test_a_file_that_another_scan_writes_at_the_last_moment_is_taken_as_it_is(run, bundle, catalog, music, monkeypatch):
    change = Recorder.change

    def too_late(*arguments: object) -> bool:
        monkeypatch.undo()
        with Catalog.open(catalog.path) as theirs:
            list(scan([music / "1.flac"], bundle, theirs, WRITE, load=Listener().load))
        return change(*arguments)

    monkeypatch.setattr(Recorder, "change", too_late)
    (result,) = run(music / "1.flac", options=WRITE)
    assert (result.status, result.genres, result.error) == (Status.UNCHANGED, ("Rock",), None)


def test_two_scans_of_one_folder_at_once_both_end_well(bundle, catalog, originals, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(8):
        for original in originals.iterdir():
            shutil.copy(original, folder / f"{number}-{original.name}")

    def scan_all() -> list[ScanResult]:
        with Catalog.open(catalog.path) as mine:
            files = list(find_files([folder]))
            return list(scan(files, bundle, mine, replace(WRITE, jobs=2), load=Listener().load))

    with ThreadPoolExecutor() as pool:
        both = [future.result() for future in [pool.submit(scan_all), pool.submit(scan_all)]]
    for results in both:
        assert {result.status for result in results} <= {Status.WRITTEN, Status.UNCHANGED}
    written = [result.path for results in both for result in results if result.status is Status.WRITTEN]
    assert len(written) == len(set(written)) == 40
    assert all(read_fields(path).genres == ("Rock",) for path in folder.iterdir())
    changes = [change for run in catalog.runs() for change in catalog.changes(run.id)]
    assert len(changes) == 40
    assert all(change.after for change in changes)


# What is told of it


def test_the_best_tags_come_best_first_with_their_kinds():
    ranked = rank(scores_of({"no vocals": 0.95, "piano": 0.7, "choir": 0.5}), TAGS, 4)
    assert [(tag.tag, tag.kind) for tag in ranked[:3]] == [
        ("no vocals", Kind.NEGATIVE),
        ("piano", Kind.INSTRUMENT),
        ("choir", Kind.VOCAL),
    ]
    assert len(ranked) == 4
    assert ranked[3].score == pytest.approx(0.1)


def test_a_summary_counts_each_file_once():
    failure = FileError(Path("a"), FailureKind.SILENT, "is silent")
    summary = Summary()
    for result in (
        ScanResult(Path("a"), Status.FAILED, error=failure),
        ScanResult(Path("b"), Status.WRITTEN, duration=60.0),
        ScanResult(Path("c"), Status.UNCHANGED, duration=30.0, abstained=True),
        ScanResult(Path("d"), Status.UNCHANGED, duration=30.0, cached=True),
        ScanResult(Path("e"), Status.SKIPPED, error=SkippedError(Path("e"), FailureKind.UNHEARD, "is not heard yet")),
    ):
        summary.add(result)
    assert summary.n_files == 5
    assert dict(summary.counts) == {Status.FAILED: 1, Status.WRITTEN: 1, Status.UNCHANGED: 2, Status.SKIPPED: 1}
    assert dict(summary.failures) == {"silent": 1}
    assert (summary.abstained, summary.heard, summary.heard_seconds, summary.cached) == (1, 2, 90.0, 1)


def test_a_settled_future_gives_what_it_was_given():
    assert settled(NOTHING).result() is NOTHING
    assert isinstance(settled(StopIteration("x")).exception(), StopIteration)


# A part of each track


def test_scores_of_a_few_windows_are_kept_apart_from_those_of_the_whole_track(run, music):
    few = replace(PREVIEW, windows=2)
    assert not any(result.cached for result in run(music, options=few))
    assert all(result.cached for result in run(music, options=few))
    assert not any(result.cached for result in run(music, options=replace(PREVIEW, windows=3)))
    assert not any(result.cached for result in run(music))
