from __future__ import annotations

import errno
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtag.catalog import Catalog, Change, default_path, opening, salvage
from mtag.catalog.schema import _MIGRATIONS, APPLICATION_ID, SCHEMA_VERSION
from mtag.catalog.scores import Heard, Models
from mtag.errors import CatalogError, FailureKind

FINGERPRINT = "0123456789abcdef"
ROOT = Path(__file__).parents[1]
PRELUDE = """
import itertools, os, sys, time
from pathlib import Path
import numpy as np
from mtag.catalog import Catalog
from mtag.catalog.scores import Heard
STAT = os.stat(sys.executable)
HEARD = Heard(np.zeros(50, np.float32), 1.0, 1)
"""
one_catalog_will_do = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def heard(seed: int = 0) -> Heard:
    return Heard(np.random.default_rng(seed).random(50, np.float32), 245.5, 9)


def stat(size: int = 1000, mtime_ns: int = 5, inode: int = 7, device: int = 1, ctime_ns: int = 0) -> os.stat_result:
    return os.stat_result((0o100644, inode, device, 1, 0, 0, size, 0, 0, 0, 0.0, 0.0, 0.0, 0, mtime_ns, ctime_ns))


@pytest.fixture
def catalog(tmp_path):
    with Catalog.open(tmp_path / "catalog.db") as opened:
        yield opened


def run_python(script: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-c", PRELUDE + script, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_where_there_are_no_inodes_their_number_tells_nothing(catalog):
    catalog.remember(Path("/a.mp3"), stat(inode=0), FINGERPRINT, heard(), b"digest")
    (relative,) = catalog.relatives(Path("/b.mp3"), stat(inode=0))
    assert not relative.is_same_inode


def test_the_made_up_stat_says_what_the_tests_mean():
    made = stat(size=3, mtime_ns=12_345_678_901, inode=8, device=9, ctime_ns=4)
    told = made.st_size, made.st_mtime_ns, made.st_ino, made.st_dev, made.st_ctime_ns
    assert told == (3, 12_345_678_901, 8, 9, 4)


def test_what_was_heard_is_recalled_exactly(catalog):
    catalog.remember(Path("song.mp3"), stat(), FINGERPRINT, heard())
    recalled = catalog.recall(Path("song.mp3"), stat(), FINGERPRINT)
    np.testing.assert_array_equal(recalled.scores, heard().scores)
    assert recalled.scores.dtype == np.float32
    assert (recalled.duration, recalled.n_windows) == (245.5, 9)


def test_what_was_heard_survives_closing(tmp_path):
    with Catalog.open(tmp_path / "deep" / "catalog.db") as first:
        first.remember(Path("song.mp3"), stat(), FINGERPRINT, heard())
    with Catalog.open(tmp_path / "deep" / "catalog.db") as second:
        assert second.notice is None
        assert second.recall(Path("song.mp3"), stat(), FINGERPRINT) is not None


@pytest.mark.parametrize(
    ("path", "state", "fingerprint"),
    [
        ("other.mp3", stat(), FINGERPRINT),
        ("song.mp3", stat(size=1001), FINGERPRINT),
        ("song.mp3", stat(mtime_ns=6), FINGERPRINT),
        ("song.mp3", stat(), "another model"),
    ],
)
def test_another_file_a_changed_one_or_another_model_is_heard_anew(catalog, path, state, fingerprint):
    catalog.remember(Path("song.mp3"), stat(), FINGERPRINT, heard())
    assert catalog.recall(Path(path), state, fingerprint) is None


def test_scores_of_two_models_lie_side_by_side(catalog):
    catalog.remember(Path("song.mp3"), stat(), "full", heard(1))
    catalog.remember(Path("song.mp3"), stat(), "fast", heard(2))
    np.testing.assert_array_equal(catalog.recall(Path("song.mp3"), stat(), "full").scores, heard(1).scores)
    np.testing.assert_array_equal(catalog.recall(Path("song.mp3"), stat(), "fast").scores, heard(2).scores)


def test_a_changed_file_takes_the_other_models_old_scores_with_it(catalog):
    catalog.remember(Path("song.mp3"), stat(), "full", heard(1))
    catalog.remember(Path("song.mp3"), stat(size=2), "fast", heard(2))
    assert catalog.recall(Path("song.mp3"), stat(size=2), "full") is None
    assert catalog.recall(Path("song.mp3"), stat(size=2), "fast") is not None


def test_scores_of_other_models_stay_while_the_sound_does(catalog):
    catalog.remember(Path("song.mp3"), stat(), "full", replace(heard(1), sound="do"))
    catalog.remember(Path("song.mp3"), stat(size=2), "fast", replace(heard(2), sound="do"))
    assert catalog.recall(Path("song.mp3"), stat(size=2), "full") is not None
    catalog.remember(Path("song.mp3"), stat(size=3), "fast", replace(heard(3), sound="re"))
    assert catalog.recall(Path("song.mp3"), stat(size=3), "full") is None


def test_a_sound_is_recalled_in_any_thread_whatever_the_file(catalog):
    catalog.remember(Path("song.mp3"), stat(), FINGERPRINT, replace(heard(), sound="do"))
    asked = [("do", FINGERPRINT), ("re", FINGERPRINT), ("do", "another model")]
    with ThreadPoolExecutor(1) as pool:
        known, *unknown = pool.map(lambda question: catalog.recall_sound(*question), asked)
    np.testing.assert_array_equal(known.scores, heard().scores)
    assert (known.duration, known.n_windows, known.sound, known.is_recalled) == (245.5, 9, "do", True)
    assert unknown == [None, None]


def test_a_relative_path_is_the_absolute_one(catalog, tmp_path, monkeypatch):
    catalog.remember(tmp_path / "song.mp3", stat(), FINGERPRINT, heard())
    monkeypatch.chdir(tmp_path)
    assert catalog.recall(Path("song.mp3"), stat(), FINGERPRINT) is not None


@pytest.mark.skipif(sys.platform == "win32", reason="names are not bytes on Windows")
@given(name=st.binary(min_size=1, max_size=255).filter(lambda name: not set(name) & {0, 47}))
@one_catalog_will_do
def test_any_name_that_a_file_can_have_comes_back(catalog, name):
    path = Path(os.path.abspath(os.path.join("/music", os.fsdecode(name))))
    catalog.record_failure(path, stat(), FailureKind.DECODE, f"{path} is broken")
    assert path in [failure.path for failure in catalog.failures()]


@given(numbers=st.tuples(*[st.integers(0, 2**64 - 1)] * 2, st.integers(-(2**63), 2**64 - 1)))
@one_catalog_will_do
def test_numbers_beyond_sqlite_can_be_kept(catalog, numbers):
    inode, device, mtime_ns = numbers
    state = stat(inode=inode, device=device, mtime_ns=mtime_ns)
    catalog.remember(Path("song.mp3"), state, FINGERPRINT, heard())
    assert catalog.recall(Path("song.mp3"), state, FINGERPRINT) is not None


def test_scores_stay_valid_after_the_file_was_written(catalog):
    catalog.remember(Path("song.mp3"), stat(), FINGERPRINT, heard())
    run = catalog.begin_run("--write-tags", "1.0")
    change = catalog.record_change(run, Path("song.mp3"), '{"before": 1}', '{"after": 2}')
    catalog.confirm_change(change, stat(size=2000, mtime_ns=99, inode=8))
    assert catalog.recall(Path("song.mp3"), stat(), FINGERPRINT) is None
    assert catalog.recall(Path("song.mp3"), stat(size=2000, mtime_ns=99), FINGERPRINT) is not None


def test_a_moved_track_takes_its_scores_and_its_changes_along(catalog):
    catalog.remember(Path("/old.mp3"), stat(), FINGERPRINT, heard(1), b"digest")
    run = catalog.begin_run("", "1.0")
    catalog.confirm_change(catalog.record_change(run, Path("/old.mp3"), "{}", "{}"), stat(), b"after")
    (relative,) = catalog.relatives(Path("/new.mp3"), stat(inode=9))
    assert (relative.path, relative.is_same_inode, relative.digest) == (Path("/old.mp3").absolute(), False, b"after")
    catalog.remember(Path("/new.mp3"), stat(size=1), FINGERPRINT, heard(2))  # another file that was there before
    catalog.move_track(relative.id, Path("/new.mp3"), stat(inode=9))
    np.testing.assert_array_equal(catalog.recall(Path("/new.mp3"), stat(), FINGERPRINT).scores, heard(1).scores)
    assert catalog.recall(Path("/old.mp3"), stat(), FINGERPRINT) is None
    (change,) = catalog.changes(run)
    assert (change.path, change.place) == (Path("/old.mp3").absolute(), Path("/new.mp3").absolute())


def test_a_copied_track_has_the_scores_of_both_models(catalog):
    catalog.remember(Path("/a.mp3"), stat(), "full", heard(1))
    catalog.remember(Path("/a.mp3"), stat(), "fast", heard(2))
    (relative,) = catalog.relatives(Path("/b.mp3"), stat())
    assert relative.is_same_inode
    catalog.copy_track(relative.id, Path("/b.mp3"), stat())
    for name in ("/a.mp3", "/b.mp3"):
        for fingerprint, seed in (("full", 1), ("fast", 2)):
            recalled = catalog.recall(Path(name), stat(), fingerprint)
            np.testing.assert_array_equal(recalled.scores, heard(seed).scores)


@pytest.mark.parametrize("other", [stat(size=1001), stat(mtime_ns=6)])
def test_a_file_of_another_size_or_time_is_no_relative(catalog, other):
    catalog.remember(Path("/a.mp3"), stat(), FINGERPRINT, heard())
    assert catalog.relatives(Path("/b.mp3"), other) == []
    assert catalog.relatives(Path("/a.mp3"), stat()) == []


def test_an_outcome_is_kept_while_nothing_at_all_happens_to_the_file(catalog):
    song = Path("song.mp3")
    catalog.keep_outcome(song, stat(), "options", "never heard")
    assert catalog.outcome(song, stat(), "options") is None
    catalog.remember(song, stat(), FINGERPRINT, heard())
    catalog.keep_outcome(song, stat(), "options", "caf\udce9")
    assert catalog.outcome(song, stat(), "options") == "caf\\udce9"
    assert catalog.outcome(song, stat(), "other options") is None
    assert catalog.outcome(song, stat(inode=8), "options") == "caf\\udce9"  # FAT numbers its files as they are met
    for changed in (stat(size=1), stat(mtime_ns=6), stat(ctime_ns=1)):
        assert catalog.outcome(song, changed, "options") is None
    run = catalog.begin_run("", "1.0")
    catalog.confirm_change(catalog.record_change(run, song, "{}", "{}"), stat())
    assert catalog.outcome(song, stat(), "options") is None


def test_the_outcome_of_a_changed_file_is_forgotten_with_its_scores(catalog):
    catalog.remember(Path("song.mp3"), stat(), FINGERPRINT, heard())
    catalog.keep_outcome(Path("song.mp3"), stat(), "options", "outcome")
    catalog.remember(Path("song.mp3"), stat(size=2), FINGERPRINT, heard())
    catalog.remember(Path("song.mp3"), stat(), FINGERPRINT, heard())
    assert catalog.outcome(Path("song.mp3"), stat(), "options") is None


def test_tracks_come_by_path_with_the_names_of_their_scores(catalog):
    catalog.know_models("full", Models("1+2+3", ("rock", "pop")))
    for name in ("/b/c.mp3", "/b.mp3", "/b/a.mp3", "/b0.mp3"):
        catalog.remember(Path(name), stat(), "full", heard())
    catalog.remember(Path("/b.mp3"), stat(), "unknown", heard())
    told = [(track.path.name, track.models and track.models.name) for track in catalog.tracks()]
    assert told == [("b.mp3", "1+2+3"), ("b.mp3", None), ("a.mp3", "1+2+3"), ("c.mp3", "1+2+3"), ("b0.mp3", "1+2+3")]
    assert [track.path.name for track in catalog.tracks(Path("/b"))] == ["a.mp3", "c.mp3"]
    assert [track.models.tags for track in catalog.tracks(Path("/b/a.mp3"))] == [("rock", "pop")]
    info = catalog.info()
    assert (info.n_tracks, info.n_scores) == (4, {"1+2+3": 4, "unknown": 1})


def test_what_is_forgotten_is_forgotten_with_its_failure_but_can_still_be_undone(catalog):
    for name in ("/a/song.mp3", "/b/song.mp3"):
        catalog.remember(Path(name), stat(), FINGERPRINT, heard())
        catalog.record_failure(Path(name), stat(), FailureKind.DECODE, "broken")
    run = catalog.begin_run("", "1.0")
    catalog.confirm_change(catalog.record_change(run, Path("/a/song.mp3"), "before", "after"), stat())
    assert catalog.forget(Path("/a")) == 1
    assert [track.path.parent.name for track in catalog.tracks()] == ["b"]
    assert [failure.path.parent.name for failure in catalog.failures()] == ["b"]
    assert [(change.before, change.place) for change in catalog.changes(run)] == [
        ("before", Path("/a/song.mp3").absolute())
    ]


def test_failures_are_told_and_forgotten_by_folder(catalog):
    for name in ("/a/1.mp3", "/a/2.mp3", "/b/1.mp3"):
        catalog.record_failure(Path(name), stat(), FailureKind.DECODE, "broken")
    assert [failure.path.name for failure in catalog.failures(Path("/a"))] == ["1.mp3", "2.mp3"]
    assert catalog.forget_failures(Path("/a/1.mp3")) == 1
    assert catalog.forget_failures() == 2
    assert catalog.failures() == []


def test_a_vacuum_gives_space_back(catalog):
    for number in range(2000):
        catalog.remember(Path(f"/{number}.mp3"), stat(), FINGERPRINT, heard(number))
    full = catalog.n_bytes()
    catalog.forget(Path("/"))
    catalog.vacuum()
    assert catalog.n_bytes() < full / 4


def test_what_a_file_said_is_on_the_disk_before_it_is_touched(catalog):
    run, told = catalog.begin_run("", "1.0"), []
    catalog._connection.set_trace_callback(told.append)
    catalog.record_change(run, Path("song.mp3"), "{}", "{}")
    steps = [told.index(sql) for sql in ("PRAGMA synchronous = FULL", "COMMIT", "PRAGMA synchronous = NORMAL")]
    assert steps == sorted(steps)  # no kill shows it, only a power cut
    assert any(sql.startswith("INSERT INTO changes") for sql in told[steps[0] : steps[1]])


def test_a_change_in_a_file_that_another_run_is_changing_is_refused(catalog):
    with Catalog.open(catalog.path) as other:
        theirs = other.begin_run("", "1.0")
        change = other.record_change(theirs, Path("song.mp3"), "{}", "{}")
        ours = catalog.begin_run("", "1.0")
        assert catalog.record_change(ours, Path("song.mp3"), "{}", "{}") is None
        assert catalog.record_change(ours, Path("another.mp3"), "{}", "{}") is not None
        assert catalog.is_being_changed(Path("song.mp3"))
        assert catalog.left_pending() == []
        other.drop_change(change)
        assert not catalog.is_being_changed(Path("song.mp3"))
        assert catalog.record_change(ours, Path("song.mp3"), "{}", "{}") is not None


def test_what_a_killed_run_left_pending_is_told_from_work_in_hand(catalog):
    script = """
catalog = Catalog.open(Path(sys.argv[1]))
catalog.record_change(catalog.begin_run("", "1.0"), Path("/song.mp3"), "before", "after")
print("ready", flush=True)
time.sleep(60)
"""
    process = run_python(script, str(catalog.path))
    process.stdout.readline()
    assert catalog.left_pending() == []
    process.kill()
    process.wait()
    process.stdout.close()
    (left,) = catalog.left_pending()
    assert (left.before, left.after, left.is_pending) == ("before", "after", True)
    ours = catalog.begin_run("", "1.0")
    assert catalog.record_change(ours, Path("/song.mp3"), "{}", "{}") is not None  # a dead run stops nobody
    catalog.sweep()
    assert [path.name for path in catalog.path.parent.glob("*-run-*")] == [f"catalog.db-run-{ours}"]
    catalog.finish_run(ours)
    assert not list(catalog.path.parent.glob("*-run-*"))


def test_the_lock_of_a_run_that_was_killed_right_after_its_end_is_cleared_away(catalog: Catalog) -> None:
    run = catalog.begin_run("", "")
    catalog.finish_run(run)
    lock = catalog.path.with_name(f"{catalog.path.name}-run-{run}")
    lock.touch()
    about_to_begin = catalog.path.with_name(f"{catalog.path.name}-run-{run + 1}")
    about_to_begin.touch()
    catalog.sweep()
    assert not lock.exists()
    assert about_to_begin.exists()


def test_an_older_catalog_is_copied_and_brought_to_the_present_format(tmp_path):
    place = tmp_path / "catalog.db"
    connection = sqlite3.connect(place)
    for statement in _MIGRATIONS[0]:
        connection.execute(statement)
    connection.execute("PRAGMA user_version = 1")
    row = (os.fsencode(os.path.abspath("/song.mp3")), 1000, 5, 1, 7, 245.5, 9)
    connection.execute("INSERT INTO tracks VALUES (1, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.execute("INSERT INTO scores VALUES (1, ?, ?)", (FINGERPRINT, heard().scores.tobytes()))
    connection.execute("INSERT INTO runs VALUES (1, 5.0, 6.0, '{}', '0.1')")
    connection.execute("INSERT INTO changes VALUES (1, 1, ?, 'before', 'after', 'done')", row[:1])
    connection.commit()
    connection.close()
    with Catalog.open(place) as catalog:
        assert f"{place}.older-1" in catalog.notice
        assert catalog.recall(Path("/song.mp3"), stat(), FINGERPRINT) is not None
        assert catalog.runs()[0].command == "scan"
        (relative,) = catalog.relatives(Path("/new.mp3"), stat())
        catalog.move_track(relative.id, Path("/new.mp3"), stat())
        assert catalog.changes(1)[0].place == Path("/new.mp3").absolute()
    with sqlite3.connect(f"{place}.older-1") as kept:
        assert kept.execute("PRAGMA user_version").fetchone() == (1,)
        assert kept.execute("SELECT before FROM changes").fetchone() == ("before",)
    kept.close()
    with Catalog.open(place) as again:
        assert again.notice is None


def test_a_run_lists_its_changes_with_what_was_before(catalog):
    first, second = (catalog.begin_run(arguments, "1.0") for arguments in ("a", "b"))
    done = catalog.record_change(first, Path("/a.mp3"), '{"genre": []}', '{"genre": ["Pop"]}')
    catalog.record_change(first, Path("/b.mp3"), '{"genre": ["Rock"]}', '{"genre": ["Pop"]}')
    catalog.confirm_change(done, stat())
    catalog.finish_run(second)
    assert [(change.path, change.before, change.after, change.is_pending) for change in catalog.changes(first)] == [
        (Path("/a.mp3").absolute(), '{"genre": []}', '{"genre": ["Pop"]}', False),
        (Path("/b.mp3").absolute(), '{"genre": ["Rock"]}', '{"genre": ["Pop"]}', True),
    ]
    assert catalog.changes(second) == []


def test_only_runs_that_changed_files_are_listed(catalog):
    first, _, third = (catalog.begin_run(arguments, "1.0") for arguments in ("a", "b", "c"))
    for run in (third, first, third):
        catalog.record_change(run, Path(f"/{run}.mp3"), "{}", "{}")
    catalog.finish_run(third)
    assert [(run.arguments, run.version, run.finished is None, run.n_files) for run in catalog.runs()] == [
        ("a", "1.0", True, 1),
        ("c", "1.0", False, 2),
    ]


def test_a_change_that_came_to_nothing_leaves_no_trace_but_a_confirmed_one_stays(catalog):
    run = catalog.begin_run("", "1.0")
    dropped, kept = (catalog.record_change(run, Path(name), "{}", "{}") for name in ("a.mp3", "b.mp3"))
    catalog.confirm_change(kept, stat())
    catalog.drop_change(dropped)
    catalog.drop_change(kept)
    assert [change.id for change in catalog.changes(run)] == [kept]


def test_a_change_belongs_to_a_run(catalog):
    with pytest.raises(CatalogError, match="FOREIGN KEY"):
        catalog.record_change(12345, Path("song.mp3"), "{}", "{}")


def test_a_failure_is_kept_until_the_file_is_well(catalog):
    catalog.record_failure(Path("/b.mp3"), stat(), FailureKind.DECODE, "cannot be decoded")
    catalog.record_failure(Path("/a.mp3"), stat(), FailureKind.SILENT, "is silent")
    catalog.record_failure(Path("/b.mp3"), stat(size=9), FailureKind.TAG_PARSE, "has a tag that cannot be read")
    assert [(f.path.name, f.size, f.kind, f.reason) for f in catalog.failures()] == [
        ("a.mp3", 1000, FailureKind.SILENT, "is silent"),
        ("b.mp3", 9, FailureKind.TAG_PARSE, "has a tag that cannot be read"),
    ]
    catalog.forget_failure(Path("/b.mp3"))
    assert [failure.path.name for failure in catalog.failures()] == ["a.mp3"]


@pytest.mark.skipif(os.name == "nt", reason="no such signal there")
def test_ctrl_c_is_heard_while_another_program_writes_to_the_catalog(catalog):
    script = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
with Catalog.open(Path(sys.argv[1])) as catalog:
    print("open", flush=True)
    catalog.remember(Path("/song.mp3"), STAT, "0123456789abcdef", HEARD)
"""
    process = run_python(script, str(catalog.path))
    with catalog._transaction():
        pass  # the log is there, and a reader hinders nobody
    catalog._connection.execute("BEGIN IMMEDIATE")
    assert process.stdout.readline() == "open\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0
    process.stdout.close()
    catalog._connection.execute("ROLLBACK")


def test_several_processes_begin_a_catalog_and_write_at_once(tmp_path):
    script = """
with Catalog.open(Path(sys.argv[1])) as catalog:
    for number in range(40):
        catalog.remember(Path(f"/{sys.argv[2]}/{number}.mp3"), STAT, "0123456789abcdef", HEARD)
"""
    place = tmp_path / "catalog.db"
    processes = [run_python(script, str(place), name) for name in ("a", "b", "c")]
    assert [process.wait() for process in processes] == [0, 0, 0]
    for process in processes:
        process.stdout.close()
    with Catalog.open(place) as catalog:
        for name in ("a", "b", "c"):
            assert all(
                catalog.recall(Path(f"/{name}/{n}.mp3"), os.stat(sys.executable), FINGERPRINT) for n in range(40)
            )


def test_a_kill_loses_at_most_the_file_in_hand(tmp_path):
    script = """
with Catalog.open(Path(sys.argv[1])) as catalog:
    for number in itertools.count():
        catalog.remember(Path(f"/{number}.mp3"), STAT, "0123456789abcdef", HEARD)
        print(number, flush=True)
"""
    process = run_python(script, str(tmp_path / "catalog.db"))
    told = [int(process.stdout.readline()) for _ in range(20)]
    process.kill()
    told += map(int, process.stdout.read().split())
    process.wait()
    process.stdout.close()
    with Catalog.open(tmp_path / "catalog.db") as catalog:
        assert catalog.notice is None
        assert all(catalog.recall(Path(f"/{n}.mp3"), os.stat(sys.executable), FINGERPRINT) for n in told)


@pytest.fixture
def filled(tmp_path):
    """A closed catalog of a few hundred tracks."""
    place = tmp_path / "catalog.db"
    with Catalog.open(place) as catalog:
        for number in range(300):
            catalog.remember(Path(f"/{number}.mp3"), stat(), FINGERPRINT, heard(number))
    return place


def test_a_damaged_catalog_is_moved_aside_and_one_sentence_says_so(filled):
    content = filled.read_bytes()
    damaged = content[:8192] + bytes(range(256)) * 64 + content[8192 + 16384 :]
    filled.write_bytes(damaged)
    with Catalog.open(filled) as catalog:
        assert catalog.notice.startswith("the catalog was damaged; it was moved to ")
        assert f"{filled}.corrupt-1" in catalog.notice
        assert "\n" not in catalog.notice
        catalog.remember(Path("/song.mp3"), stat(), FINGERPRINT, heard())
    assert Path(f"{filled}.corrupt-1").read_bytes() == damaged
    with Catalog.open(filled) as again:
        assert again.notice is None
        assert again.recall(Path("/song.mp3"), stat(), FINGERPRINT) is not None


@pytest.fixture
def with_run(filled) -> Path:
    """A catalog of 300 tracks with a run that changed each of them."""
    with Catalog.open(filled) as catalog:
        run = catalog.begin_run("{}", "1.0")
        for track in list(catalog.tracks()):
            change = catalog.record_change(run, track.path, f'{{"before": {int(track.path.stem)}}}', '{"after": 1}')
            catalog.confirm_change(change, stat())
        catalog.finish_run(run)
        catalog.record_failure(Path("/bad.mp3"), stat(), FailureKind.CRASH, "crashed")
        catalog.vacuum()
    return filled


def overwrite_pages(place: Path, is_hit: Callable[[int, bytes], bool]) -> int:
    """Damage some pages of a file, given number and content; gives how many."""
    content = place.read_bytes()
    size = int.from_bytes(content[16:18], "big")
    pages = [content[start : start + size] for start in range(0, len(content), size)]
    hit = [is_hit(number, page) for number, page in enumerate(pages, 1)]
    place.write_bytes(b"".join(b"\xaa" * size if bad else page for bad, page in zip(hit, pages, strict=True)))
    return sum(hit)


def root_page(place: Path, table: str) -> int:
    with closing(sqlite3.connect(place)) as connection:
        return connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]


def saved_changes(place: Path) -> list[Change]:
    """All changes of a catalog that has just been damaged, which must say what they said."""
    with Catalog.open(place) as catalog:
        assert "with what could be read of it: " in catalog.notice
        changes = [change for run in catalog.runs() for change in catalog.changes(run.id)]
        assert f"{len(changes):,} changes" in catalog.notice
        assert f"{catalog.info().n_tracks:,} tracks" in catalog.notice
        for track in catalog.tracks():
            np.testing.assert_array_equal(track.heard.scores, heard(int(track.path.stem)).scores)
    assert all(change.before == f'{{"before": {int(change.path.stem)}}}' for change in changes)
    with Catalog.open(place) as again:
        assert again.notice is None
    return changes


@pytest.mark.parametrize("table", ["runs", "tracks", "scores", "models", "failures", "changes_of_run"])
def test_damage_to_other_tables_costs_no_change(with_run, table):
    root = root_page(with_run, table)
    assert overwrite_pages(with_run, lambda number, page: number == root) == 1
    assert len(saved_changes(with_run)) == 300


@pytest.mark.parametrize("lost", [{1, 3}, {2, 4}, {1, 4}])
def test_damage_to_some_changes_costs_only_those(with_run, lost):
    leaves: list[set[int]] = []  # the changes on each page

    def is_lost(_: int, page: bytes) -> bool:
        found = {int(number) for number in re.findall(rb'{"before": (\d+)}{"after": 1}done', page)}
        leaves.extend([found] if found else [])
        return bool(found) and len(leaves) in lost

    assert overwrite_pages(with_run, is_lost) == len(lost)
    spared = [changes for number, changes in enumerate(leaves, 1) if number not in lost]
    assert len(spared) == 2
    assert {int(change.path.stem) for change in saved_changes(with_run)} == set().union(*spared)


def test_a_damaged_catalog_of_an_older_format_is_saved_too(tmp_path):
    place = tmp_path / "catalog.db"
    with closing(sqlite3.connect(place)) as connection:
        for statement in (*_MIGRATIONS[0], "PRAGMA user_version = 1"):
            connection.execute(statement)
        connection.execute("INSERT INTO runs VALUES (1, 5.0, 6.0, '{}', '0.1')")
        connection.execute("INSERT INTO changes VALUES (1, 1, ?, '{\"before\": 7}', NULL, 'done')", (b"/7.mp3",))
        connection.commit()
    root = root_page(place, "runs")
    assert overwrite_pages(place, lambda number, page: number == root) == 1
    assert [change.path.name for change in saved_changes(place)] == ["7.mp3"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_rescue_that_was_cut_off_is_tried_again(with_run, monkeypatch, error):
    root = root_page(with_run, "runs")
    overwrite_pages(with_run, lambda number, page: number == root)

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(salvage, "_copy_rows", fail)
        with pytest.raises((CatalogError, KeyboardInterrupt)):
            Catalog.open(with_run)
    assert len(saved_changes(with_run)) == 300
    assert sorted(path.name for path in with_run.parent.iterdir()) == ["catalog.db", "catalog.db.corrupt-1"]


def test_a_kill_between_a_catalog_and_its_log_costs_nothing(with_run):
    with Catalog.open(with_run) as catalog:
        run = catalog.begin_run("{}", "1.0")
        catalog.record_change(run, Path("/300.mp3"), '{"before": 300}', "{}")
        log = Path(f"{with_run}-wal").read_bytes()
        content = with_run.read_bytes()
    for path in with_run.parent.iterdir():
        path.unlink()
    Path(f"{with_run}.damaged").write_bytes(content)
    Path(f"{with_run}-wal").write_bytes(log)
    assert len(saved_changes(with_run)) == 301


def test_processes_that_find_the_same_damage_share_one_rescue(with_run):
    root = root_page(with_run, "runs")
    overwrite_pages(with_run, lambda number, page: number == root)

    def open_and_write(number: int) -> None:
        with Catalog.open(with_run) as catalog:
            catalog.record_failure(Path(f"/{number}.mp3"), stat(), FailureKind.CRASH, "crashed")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_and_write, range(8)))
    with Catalog.open(with_run) as catalog:
        assert len(catalog.failures()) == 9
        assert catalog.info().n_changes == 300
    assert sorted(path.name for path in with_run.parent.iterdir()) == ["catalog.db", "catalog.db.corrupt-1"]


def default_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the catalog lies, of a user who has chosen no other place."""
    monkeypatch.delenv("MTAG_CATALOG", raising=False)
    monkeypatch.setattr("mtag.catalog.default_path", lambda: folder / "catalog.db")
    return folder / "catalog.db"


def test_rubbish_has_nothing_that_could_be_saved(tmp_path, monkeypatch):
    place = default_place(tmp_path, monkeypatch)
    place.write_bytes(b"rubbish" * 1000)
    with Catalog.open() as catalog:
        assert catalog.notice.endswith("with what could be read of it: 0 tracks and 0 changes.")


def test_each_damaged_catalog_keeps_its_own_name(filled):
    for number in (1, 2, 3):
        filled.write_bytes(filled.read_bytes()[:5000])
        with Catalog.open(filled) as catalog:
            assert f".corrupt-{number} " in catalog.notice


def test_rubbish_in_the_catalogs_own_place_is_moved_aside(tmp_path, monkeypatch):
    place = default_place(tmp_path, monkeypatch)
    place.write_bytes(b"rubbish" * 1000)
    with Catalog.open() as catalog:
        assert catalog.path == place
        assert "damaged" in catalog.notice
    assert Path(f"{place}.corrupt-1").read_bytes() == b"rubbish" * 1000


def test_a_catalog_of_a_newer_mtag_is_refused_and_left_alone(filled):
    with closing(sqlite3.connect(filled)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = filled.read_bytes()
    with pytest.raises(CatalogError, match="newer mtag"):
        Catalog.open(filled)
    assert filled.read_bytes() == before
    assert [path.name for path in filled.parent.iterdir()] == ["catalog.db"]


@pytest.mark.parametrize("by_variable", [False, True])
@pytest.mark.parametrize("content", [b"ID3 a song" * 500, b"short"])
def test_a_file_that_is_no_catalog_is_refused_and_left_alone(tmp_path, monkeypatch, content, by_variable):
    place = tmp_path / "song.mp3"
    place.write_bytes(content)
    monkeypatch.setenv("MTAG_CATALOG", str(place))
    with pytest.raises(CatalogError, match="not a catalog"):
        Catalog.open(None if by_variable else place)
    assert [path.name for path in tmp_path.iterdir()] == ["song.mp3"]
    assert place.read_bytes() == content


def test_another_programs_database_is_refused_and_left_alone(tmp_path):
    place = tmp_path / "places.sqlite"
    connection = sqlite3.connect(place)
    connection.execute("CREATE TABLE tracks (name TEXT)")
    connection.close()
    before = place.read_bytes()
    with pytest.raises(CatalogError, match="not a catalog"):
        Catalog.open(place)
    assert place.read_bytes() == before


def test_a_catalog_is_known_by_its_header_even_if_it_was_killed_early(tmp_path):
    catalog = Catalog.open(tmp_path / "catalog.db")
    header = (tmp_path / "catalog.db").read_bytes()[68:72]
    catalog.close()
    assert header == APPLICATION_ID.to_bytes(4, "big")


def test_a_place_that_cannot_be_is_one_sentence(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CatalogError, match="cannot be used"):
        Catalog.open(tmp_path / "file" / "catalog.db")
    for place in (tmp_path, Path(os.devnull), Path("/"), Path()):
        with pytest.raises(CatalogError, match="cannot be used"):
            Catalog.open(place)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CatalogError, match="no regular file"):
        Catalog.open(tmp_path / "pipe")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_nothing_is_noted_in_a_catalog_that_was_deleted_or_replaced(with_run):
    with Catalog.open(with_run) as catalog:
        run = catalog.begin_run("{}", "1.0")
        with_run.rename(f"{with_run}.away")
        with pytest.raises(CatalogError, match="moved or deleted"):
            catalog.record_change(run, Path("/300.mp3"), "{}", "{}")
        with Catalog.open(with_run), pytest.raises(CatalogError, match="moved or deleted"):
            catalog.begin_run("{}", "1.0")


def test_a_damaged_catalog_that_a_run_is_at_work_with_is_not_put_aside(with_run):
    with Catalog.open(with_run) as catalog:
        run = catalog.begin_run("{}", "1.0")
        root = root_page(with_run, "failures")
        catalog.vacuum()
        overwrite_pages(with_run, lambda number, page: number == root)
        with pytest.raises(CatalogError, match="is damaged, and another mtag is at work with it"):
            Catalog.open(with_run)
        assert catalog.record_change(run, Path("/300.mp3"), '{"before": 300}', "{}")
    assert len(saved_changes(with_run)) == 301


def test_a_catalog_is_the_same_by_a_link(tmp_path, with_run):
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(with_run)
    with Catalog.open(link) as catalog, Catalog.open(with_run) as other:
        assert other.is_alive(catalog.begin_run("{}", "1.0"))


def test_a_rescue_is_gone_on_with_whatever_a_killed_one_has_left(with_run):
    root = root_page(with_run, "runs")
    overwrite_pages(with_run, lambda number, page: number == root)
    with_run.rename(f"{with_run}.damaged")
    with_run.write_bytes(bytes(8192))  # what SQLite writes before its transaction's first page
    assert len(saved_changes(with_run)) == 300


def test_a_catalog_whose_tables_are_not_known_any_more_gives_way_at_once(with_run):
    content = with_run.read_bytes()
    with_run.write_bytes(content[:2000] + b"\xaa" * 2096 + content[4096:])
    with Catalog.open(with_run) as catalog:
        aside = Path(f"{with_run}.corrupt-1")
        assert f"{aside} " in catalog.notice
    assert len(aside.read_bytes()) == len(content)
    with Catalog.open(with_run) as again:
        assert again.notice is None


def test_one_damaged_row_costs_no_other(with_run):
    with Catalog.open(with_run) as catalog:
        catalog.record_failure(Path("/other.mp3"), stat(), FailureKind.DECODE, "cannot be decoded")
    with closing(sqlite3.connect(with_run)) as connection, connection:
        connection.execute("UPDATE failures SET kind = 'crasj' WHERE path = ?", (b"/bad.mp3",))
        connection.execute("UPDATE changes SET before = CAST(x'7bff' AS TEXT) WHERE id = 1")
        connection.execute("UPDATE failures SET reason = CAST(x'ff' AS TEXT) WHERE path = ?", (b"/other.mp3",))
    with Catalog.open(with_run) as catalog:
        assert [failure.path.name for failure in catalog.failures()] == ["other.mp3"]
        (run,) = catalog.runs()
        assert len(catalog.changes(run.id)) == 300
        assert catalog.forget_failures() == 2


def test_a_backup_that_does_not_succeed_leaves_nothing(tmp_path, monkeypatch):
    place = tmp_path / "catalog.db"
    with closing(sqlite3.connect(place)) as connection:
        for statement in (*_MIGRATIONS[0], "PRAGMA user_version = 1"):
            connection.execute(statement)
        connection.commit()

    def fill_up(_: sqlite3.Connection) -> None:
        Path(f"{place}.older-1").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(opening, "closing", fill_up)
    with pytest.raises(CatalogError, match="No space left"):
        Catalog.open(place)
    assert [path.name for path in tmp_path.iterdir()] == ["catalog.db"]


@pytest.mark.skipif(os.name == "nt", reason="no such permissions there")
def test_locks_that_another_user_has_left_are_no_hindrance(with_run, monkeypatch):
    for name in ("catalog.db-lock", "catalog.db-run-1"):
        (with_run.parent / name).touch()
    real = Path.open

    def refusing(path: Path, mode: str = "r", *rest: object) -> object:
        if mode in ("ab", "rb+") and path.name != "catalog.db":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, mode, *rest)

    monkeypatch.setattr(Path, "open", refusing)
    with Catalog.open(with_run) as catalog:
        assert not catalog.is_alive(1)


def test_the_catalog_lies_where_the_environment_says_or_in_the_users_data(tmp_path, monkeypatch):
    monkeypatch.setenv("MTAG_CATALOG", str(tmp_path / "mine.db"))
    assert default_path() == tmp_path / "mine.db"
    monkeypatch.delenv("MTAG_CATALOG")
    assert default_path().name == "catalog.db"
    assert "mtag" in default_path().parts
