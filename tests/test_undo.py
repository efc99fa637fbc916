from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import mutagen
import pytest

from mtag.atomic import litter_name
from mtag.audio.decode import packet_digest
from mtag.bundle import Bundle, load_bundle
from mtag.catalog import Catalog
from mtag.catalog.scores import Heard
from mtag.errors import CatalogError, FailureKind
from mtag.library import ScanOptions, scan
from mtag.pending import settle
from mtag.results import Restored, ScanResult, Status
from mtag.strip import strip
from mtag.tagfile import Field, GenrePolicy, HardLinks, Mtime, read_fields, snapshot
from mtag.undo import LAST, UndoOptions, changes_of, find_run, undo
from mtag.walk import find_files
from tests.tagged import all_kinds
from tests.tiny_bundle import HEARD, scores_of, write_tiny_bundle

ROOT = Path(__file__).parents[1]
RETAG = ScanOptions(write=True, listen=False, policy=GenrePolicy.REPLACE)
needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need privileges on Windows")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("bundle")))


@pytest.fixture
def catalog(tmp_path):
    with Catalog.open(tmp_path / "catalog.db") as opened:
        yield opened


@cache
def sound_of(name: str) -> str:
    """The sound of one of the files, taken once."""
    return packet_digest(all_kinds() / name)


@pytest.fixture
def music(catalog, bundle, tmp_path) -> Path:
    """Files of every kind whose scores are known."""
    folder = Path(shutil.copytree(all_kinds(), tmp_path / "music"))
    for path in folder.iterdir():
        if path.suffix == ".ape":  # cannot be encoded here, so it has no audio that could be compared
            path.unlink()
        else:
            catalog.remember(
                path, path.stat(), bundle.fingerprint(), Heard(scores_of(HEARD), 1.2, 1, sound_of(path.name))
            )
    return folder


def write(catalog: Catalog, bundle: Bundle, *paths: Path, **options: object) -> list[ScanResult]:
    files = find_files(paths, every_name=True)
    return list(scan(files, bundle, catalog, replace(RETAG, **options), load=pytest.fail))


def take_back(catalog: Catalog, name: str = LAST, *paths: Path, **options: object) -> list[Restored]:
    changes = changes_of(catalog, find_run(catalog, name), paths)
    return list(undo(changes, catalog, UndoOptions(**options)))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def edit(path: Path, field: str, text: str) -> None:
    """What another program does to a FLAC file's field."""
    file = mutagen.File(path)
    file[field] = text
    file.save()


def test_undo_gives_every_kind_of_file_back_as_it_was(catalog, bundle, music):
    before = {path: read_fields(path) for path in music.iterdir()}
    texts = {path: repr(mutagen.File(path).tags) for path in music.iterdir()}
    assert {result.status for result in write(catalog, bundle, music)} == {Status.WRITTEN}
    results = take_back(catalog)
    assert {(result.path, result.status) for result in results} == {(path, Status.WRITTEN) for path in before}
    for path, fields in before.items():
        assert read_fields(path) == fields
        assert read_fields(path).provenance == ""
        assert repr(mutagen.File(path).tags) == texts[path], path
    assert {result.status for result in take_back(catalog, "1")} == {Status.UNCHANGED}


def test_strip_gives_every_kind_of_file_back_as_it_was_and_can_be_undone(catalog, bundle, music):
    texts = {path: repr(mutagen.File(path).tags) for path in music.iterdir()}
    write(catalog, bundle, music)
    write(catalog, bundle, music, min_score=0.75)
    written = {path: read_fields(path) for path in music.iterdir()}
    results = list(strip(find_files([music]), catalog, UndoOptions()))
    assert {result.status for result in results} == {Status.WRITTEN}
    assert all(Field.COMMENT in result.fields for result in results)
    assert {path: repr(mutagen.File(path).tags) for path in music.iterdir()} == texts
    again = list(strip(find_files([music]), catalog, UndoOptions()))
    assert {result.status for result in again} == {Status.UNCHANGED}
    assert [run.command for run in catalog.runs()] == ["scan", "scan", "strip"]
    take_back(catalog)
    for path, fields in written.items():
        assert (read_fields(path), read_fields(path).provenance) == (fields, fields.provenance)


def test_strip_needs_no_catalog(catalog, bundle, music):
    path = music / "full.flac"
    before = repr(mutagen.File(path).tags)
    write(catalog, bundle, path)
    (result,) = strip([path], None, UndoOptions())
    assert result.status is Status.WRITTEN
    assert repr(mutagen.File(path).tags) == before


@pytest.mark.parametrize("way", ["undo", "strip"])
def test_a_dry_run_tells_and_touches_nothing(catalog, bundle, music, way):
    write(catalog, bundle, music)
    before = contents(music)
    stripped = strip(find_files([music]), catalog, UndoOptions(write=False))
    results = take_back(catalog, write=False) if way == "undo" else list(stripped)
    assert {result.status for result in results} == {Status.PREVIEW}
    assert all(Field.COMMENT in result.fields for result in results)
    assert contents(music) == before
    assert len(catalog.runs()) == 1


def test_an_undo_can_be_undone(catalog, bundle, music):
    write(catalog, bundle, music)
    written = {path: read_fields(path) for path in music.iterdir()}
    take_back(catalog)
    take_back(catalog)
    assert {path: read_fields(path) for path in music.iterdir()} == written
    assert [(run.command, run.n_files) for run in catalog.runs()] == [
        ("scan", len(written)),
        ("undo", len(written)),
        ("undo", len(written)),
    ]


def test_scores_stay_valid_through_undo_and_strip(catalog, bundle, music):
    write(catalog, bundle, music)
    take_back(catalog)
    assert {result.status for result in write(catalog, bundle, music)} == {Status.WRITTEN}
    list(strip(find_files([music]), catalog, UndoOptions()))
    assert {result.status for result in write(catalog, bundle, music)} == {Status.WRITTEN}


def test_a_field_that_somebody_changed_since_is_left_alone_and_told(catalog, bundle, music):
    path = music / "bare.flac"
    write(catalog, bundle, path)
    edit(path, "genre", "Zydeco")
    (result,) = take_back(catalog)
    assert (result.status, result.left) == (Status.WRITTEN, (Field.GENRE,))
    assert Field.COMMENT in result.fields
    assert (read_fields(path).genres, read_fields(path).comments) == (("Zydeco",), ())


def test_a_file_all_of_whose_fields_were_changed_is_skipped_unless_it_is_forced(catalog, bundle, music):
    path = music / "bare.flac"
    write(catalog, bundle, path)
    edit(path, "genre", "Zydeco")
    edit(path, "comment", "a comment of my own")
    before = path.read_bytes()
    (result,) = take_back(catalog)
    assert (result.status, result.error.kind) == (Status.SKIPPED, FailureKind.CHANGED)
    assert "genre and comment" in result.error.reason
    assert path.read_bytes() == before
    (forced,) = take_back(catalog, force=True)
    assert (forced.status, forced.left) == (Status.WRITTEN, ())
    assert (read_fields(path).genres, read_fields(path).comments) == ((), ())


def test_what_mtag_never_touched_may_have_changed(catalog, bundle, music):
    path = music / "bare.flac"
    write(catalog, bundle, path)
    edit(path, "title", "A new title")
    edit(path, "mood", "Tense")
    (result,) = take_back(catalog)
    assert (result.status, result.left) == (Status.WRITTEN, ())
    assert mutagen.File(path)["title"] == ["A new title"]
    assert read_fields(path).moods == ("Tense",)


def test_a_moved_file_is_found_through_the_catalog_or_under_the_path_that_is_named(catalog, bundle, music, tmp_path):
    write(catalog, bundle, music / "full.flac", music / "full.ogg")
    (music / "full.flac").rename(music / "renamed.flac")
    write(catalog, bundle, music / "renamed.flac")
    (tmp_path / "elsewhere").mkdir()
    (music / "full.ogg").rename(tmp_path / "elsewhere" / "moved.ogg")
    gone, found = take_back(catalog)
    assert (found.path.name, found.status) == ("renamed.flac", Status.WRITTEN)
    assert (gone.status, gone.error.kind) == (Status.FAILED, FailureKind.MISSING)
    (moved,) = take_back(catalog, "1", tmp_path / "elsewhere")
    assert (moved.path.name, moved.status) == ("moved.ogg", Status.WRITTEN)
    assert read_fields(moved.path).provenance == ""


def test_a_file_that_was_renamed_and_tagged_at_once_is_found_by_its_sound(catalog, bundle, music):
    before = read_fields(music / "full.flac")
    write(catalog, bundle, music / "full.flac")
    shutil.copy(music / "full.ogg", music / "never written.ogg")
    moved = (music / "full.flac").rename(music / "A better name.flac")
    edit(moved, "title", "y" * 9000)
    (restored,) = take_back(catalog, "1", music)
    assert (restored.path, restored.status) == (moved, Status.WRITTEN)
    assert read_fields(moved) == before
    assert mutagen.File(moved)["title"] == ["y" * 9000]


@needs_links
def test_a_file_is_found_under_any_name_of_its_folder(catalog, bundle, music, tmp_path):
    (tmp_path / "link").symlink_to(music)
    write(catalog, bundle, tmp_path / "link" / "full.flac")
    for folder in (music, tmp_path / "link", music / "full.flac"):
        assert [result.path.name for result in take_back(catalog, "1", folder, write=False)] == ["full.flac"]


def test_paths_choose_among_the_files_of_a_run(catalog, bundle, music):
    write(catalog, bundle, music)
    assert [result.path.name for result in take_back(catalog, LAST, music / "full.ogg")] == ["full.ogg"]
    with pytest.raises(CatalogError, match="run 1 changed no file there"):
        take_back(catalog, "1", music / "full")


def test_a_file_that_cannot_be_read_any_more_is_a_failure_and_the_others_are_restored(catalog, bundle, music):
    write(catalog, bundle, music)
    (music / "full.ogg").write_bytes(b"OggS rubbish")
    results = {result.path.name: result for result in take_back(catalog)}
    assert results.pop("full.ogg").status is Status.FAILED
    assert {result.status for result in results.values()} == {Status.WRITTEN}


def test_runs_that_are_not_there_or_still_at_work_are_refused(catalog):
    with pytest.raises(CatalogError, match="no run that could be undone"):
        find_run(catalog, LAST)
    run = catalog.begin_run("", "1.0")
    change = catalog.record_change(run, Path("a.flac"), "{}", "{}")
    with pytest.raises(CatalogError, match="still running"):
        find_run(catalog, LAST)
    catalog.confirm_change(change, None)
    catalog.finish_run(run)
    failed = catalog.begin_run("", "1.0")
    catalog.drop_change(catalog.record_change(failed, Path("a.flac"), "{}", "{}"))
    catalog.finish_run(failed)
    assert find_run(catalog, "1").id == find_run(catalog, LAST).id == 1
    with pytest.raises(CatalogError, match="no run 7"):
        find_run(catalog, "7")


def test_a_run_whose_results_nobody_takes_to_the_end_is_over(catalog, bundle, music):
    results = scan(find_files([music]), bundle, catalog, RETAG, load=pytest.fail)
    written = next(results).path
    results.close()
    taken_back = undo(changes_of(catalog, find_run(catalog, LAST)), catalog, UndoOptions())
    assert next(taken_back).path == written
    taken_back.close()
    stripped = strip(find_files([music]), catalog, UndoOptions())
    next(stripped)
    stripped.close()
    assert all(run.finished for run in catalog.runs())


# Times and links


@pytest.mark.parametrize(("mtime", "later"), [(Mtime.KEEP, 0), (Mtime.BUMP, 2_000_000_000)])
def test_time_stamps_are_kept_or_bumped_all_the_way(catalog, bundle, music, mtime, later):
    paths = [music / "full.flac", music / "v23.mp3"]
    for path in paths:
        os.utime(path, (1, 1_000_000))
        catalog.remember(path, path.stat(), bundle.fingerprint(), Heard(scores_of(HEARD), 1.2, 1, sound_of(path.name)))
    write(catalog, bundle, *paths, mtime=mtime)
    assert {path.stat().st_mtime_ns for path in paths} == {1_000_000 * 10**9 + later}
    assert {result.status for result in write(catalog, bundle, *paths)} == {Status.UNCHANGED}
    take_back(catalog, mtime=mtime)
    assert {path.stat().st_mtime_ns for path in paths} == {1_000_000 * 10**9 + 2 * later}
    list(strip(paths, catalog, UndoOptions(mtime=mtime)))


@needs_links
def test_a_hard_linked_file_is_skipped_by_undo_and_strip_even_in_a_dry_run(catalog, bundle, music):
    write(catalog, bundle, music / "full.flac")
    os.link(music / "full.flac", music / "twin.flac")
    for options in (UndoOptions(), UndoOptions(write=False)):
        results = list(undo(changes_of(catalog, find_run(catalog, "1")), catalog, options))
        results += strip([music / "full.flac", music / "twin.flac"], catalog, options)
        assert {result.status for result in results} == {Status.SKIPPED}
        assert "hard links" in results[0].error.reason


@needs_links
def test_a_file_written_in_place_says_the_same_under_both_names(catalog, bundle, music):
    os.link(music / "full.flac", music / "twin.flac")
    results = write(catalog, bundle, music / "full.flac", music / "twin.flac", hardlinks=HardLinks.INPLACE)
    assert [result.status for result in results] == [Status.WRITTEN, Status.UNCHANGED]
    assert (music / "full.flac").samefile(music / "twin.flac")
    (result,) = take_back(catalog, hardlinks=HardLinks.INPLACE)
    assert result.status is Status.WRITTEN
    assert read_fields(music / "twin.flac").provenance == ""


@needs_links
def test_names_that_part_are_both_written(catalog, bundle, music):
    os.link(music / "full.flac", music / "twin.flac")
    results = write(catalog, bundle, music / "full.flac", music / "twin.flac", hardlinks=HardLinks.BREAK)
    assert [result.status for result in results] == [Status.WRITTEN] * 2
    assert not (music / "full.flac").samefile(music / "twin.flac")
    assert len(take_back(catalog)) == 2


# Killed runs

KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
import mtag.atomic, os
from mtag.catalog import Catalog
from mtag.bundle import load_bundle
from mtag.library import ScanOptions, scan
from mtag.tagfile import GenrePolicy

place, weights, song, when = sys.argv[1:]
rename = os.replace
def replace_file(source, target):
    if when == "after":
        rename(source, target)
    os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace_file
options = ScanOptions(write=True, listen=False, policy=GenrePolicy.REPLACE)
list(scan([Path(song)], load_bundle(Path(weights)), Catalog.open(Path(place)), options))
"""


def kill(catalog: Catalog, bundle: Bundle, song: Path, when: str) -> None:
    """A scan that is killed right before or after it renames the copy."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-c", KILLED, str(catalog.path), str(bundle.folder), str(song), when]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform == "win32", reason="kills need signals")
def test_a_run_killed_before_the_rename_leaves_nothing_to_undo(catalog, bundle, music):
    song = music / "full.flac"
    before = song.read_bytes()
    kill(catalog, bundle, song, "before")
    assert settle(catalog) == 1
    assert catalog.changes(1) == []
    assert song.read_bytes() == before
    assert not [path for path in music.iterdir() if path.name.startswith(".")]
    assert not list(catalog.path.parent.glob("*-run-*"))


@pytest.mark.skipif(sys.platform == "win32", reason="kills need signals")
def test_a_run_killed_after_the_rename_can_be_undone_and_its_scores_stay_valid(catalog, bundle, music):
    song = music / "full.flac"
    before = repr(mutagen.File(song).tags)
    kill(catalog, bundle, song, "after")
    assert settle(catalog) == 1
    assert settle(catalog) == 0
    (change,) = catalog.changes(1)
    assert not change.is_pending
    assert [result.status for result in write(catalog, bundle, song)] == [Status.UNCHANGED]
    (result,) = take_back(catalog, "1")
    assert (result.status, result.left) == (Status.WRITTEN, ())
    assert repr(mutagen.File(song).tags) == before


@pytest.mark.skipif(sys.platform == "win32", reason="kills need signals")
def test_what_somebody_changed_after_the_kill_is_theirs(catalog, bundle, music):
    song = music / "bare.flac"
    kill(catalog, bundle, song, "after")
    edit(song, "genre", "Zydeco")
    settle(catalog)
    (result,) = take_back(catalog, "1")
    assert (result.status, result.left) == (Status.WRITTEN, (Field.GENRE,))
    assert read_fields(song).genres == ("Zydeco",)


@pytest.mark.skipif(sys.platform == "win32", reason="kills need signals")
def test_a_file_that_is_away_stays_pending_for_another_time(catalog, bundle, music):
    song = music / "full.flac"
    kill(catalog, bundle, song, "after")
    song.rename(music / "away")
    assert settle(catalog) == 0
    (music / "away").rename(song)
    assert settle(catalog) == 1


def leave_pending(catalog: Catalog, song: Path) -> None:
    """What a run leaves behind that ends before it has touched a file."""
    said = snapshot(song).to_json()
    with Catalog.open(catalog.path) as killed:
        killed.record_change(killed.begin_run("", "1.0"), song, said, said)


@pytest.mark.parametrize("is_damaged", [True, False])
def test_what_cannot_be_looked_at_stays_pending_and_stops_nothing(catalog, music, tmp_path, is_damaged):
    song = music / "full.flac"
    leave_pending(catalog, song)
    if is_damaged:
        song.write_bytes(b"fLaC rubbish")
    else:
        music.rename(tmp_path / "away")  # say a disk that was pulled out
    assert settle(catalog) == 0
    assert [change.is_pending for change in catalog.changes(1)] == [True]


def test_scores_of_a_file_that_is_neither_as_before_nor_as_written_are_no_longer_its_own(catalog, bundle, music):
    song = music / "full.flac"
    leave_pending(catalog, song)
    edit(song, "genre", "Zydeco")
    assert settle(catalog) == 1
    assert catalog.recall(song, song.stat(), bundle.fingerprint()) is None


def test_a_file_that_has_moved_since_is_looked_at_where_it_is(catalog, music):
    song, moved = music / "full.flac", music / "moved.flac"
    leave_pending(catalog, song)
    song.rename(moved)
    (relative,) = [found for found in catalog.relatives(moved, moved.stat()) if found.path == song]
    catalog.move_track(relative.id, moved, moved.stat())
    assert settle(catalog) == 1
    assert catalog.changes(1) == []  # it says what it said before


@pytest.mark.skipif(sys.platform == "win32", reason="kills need signals")
@pytest.mark.parametrize("note", ['{"fields": ["lyrics"]}', "[]", '{"items": [], "spelling": "id3v9", "tagged": 1}'])
def test_what_only_a_newer_mtag_can_read_stays_for_that_and_stops_nothing(catalog, bundle, music, note):
    song = music / "full.flac"
    kill(catalog, bundle, song, "after")
    with catalog._transaction() as connection:
        connection.execute("UPDATE changes SET before = ?", (note,))
    assert settle(catalog) == 0
    (result,) = take_back(catalog, "1")
    assert (result.status, result.error.kind) == (Status.FAILED, FailureKind.TAG_PARSE)
    assert [result.status for result in write(catalog, bundle, song)] == [Status.UNCHANGED]


def test_litter_beside_the_files_is_cleared_by_undo(catalog, bundle, music):
    write(catalog, bundle, music / "full.flac")
    litter = music / litter_name("full.flac")
    litter.write_bytes(b"")
    take_back(catalog, write=False)
    assert litter.exists()
    take_back(catalog)
    assert not litter.exists()
