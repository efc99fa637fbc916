"""A file overwritten under all its names is whole afterwards, or can be made whole."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mtag import inplace
from mtag.atomic import HardLinks, is_litter, litter_name, remove_litter, rewrite
from mtag.copying import Patch
from mtag.dressing import Mtime
from mtag.errors import FailureKind, FileError

OLD, NEW = b"old content" * 2000, b"new content, and longer" * 2000
STAMP = 1_000_000_000_123_456_700


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a second name in another folder."""
    path = tmp_path / "music" / "song.mp3"
    path.parent.mkdir()
    path.write_bytes(OLD)
    os.utime(path, ns=(STAMP, STAMP))
    (tmp_path / "seeded.mp3").hardlink_to(path)
    return path


def become(path: Path, content: bytes, check: Callable[[Path], None] = lambda copy: None, **options: Mtime) -> bool:
    return rewrite(
        path, lambda source: [Patch(0, len(source.read()), content)], check, hardlinks=HardLinks.INPLACE, **options
    )


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path.parent))


@pytest.mark.parametrize("content", [NEW, b"short", b"", OLD[:-1], OLD + b"x"])
def test_all_names_get_the_new_content_and_nothing_is_left(file: Path, tmp_path: Path, content: bytes) -> None:
    before = file.stat()
    assert become(file, content)
    after = file.stat()
    assert file.read_bytes() == (tmp_path / "seeded.mp3").read_bytes() == content
    assert (after.st_ino, after.st_nlink, after.st_mode) == (before.st_ino, 2, before.st_mode)
    assert names(file) == ["song.mp3"]


@pytest.mark.parametrize("mtime", Mtime)
def test_the_time_stamp_is_now_or_kept_or_two_seconds_later(file: Path, mtime: Mtime) -> None:
    begun = time.time()
    become(file, NEW, mtime=mtime)
    if mtime is Mtime.NOW:
        assert begun - 2 < file.stat().st_mtime < time.time() + 2
    else:
        assert file.stat().st_mtime_ns == STAMP + (2_000_000_000 if mtime is Mtime.BUMP else 0)
    assert file.stat().st_atime_ns == STAMP


def test_a_file_with_one_name_is_replaced_as_ever(file: Path, tmp_path: Path) -> None:
    (tmp_path / "seeded.mp3").unlink()
    inode = file.stat().st_ino
    become(file, NEW)
    assert file.read_bytes() == NEW
    assert os.name == "nt" or file.stat().st_ino != inode


def test_a_copy_that_is_refused_leaves_the_file_untouched(file: Path) -> None:
    def refuse(copy: Path) -> None:
        assert copy.read_bytes() == NEW
        raise FileError(file, FailureKind.TAG_PARSE, "is refused")

    before = file.stat()
    with pytest.raises(FileError, match="refused"):
        become(file, NEW, refuse)
    assert file.read_bytes() == OLD
    assert (file.stat().st_mtime_ns, file.stat().st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)
    assert names(file) == ["song.mp3"]


def test_a_file_that_another_program_changes_meanwhile_is_left_to_it(file: Path) -> None:
    with pytest.raises(FileError, match="another program"):
        become(file, NEW, lambda copy: file.write_bytes(b"theirs") and None)
    assert file.read_bytes() == b"theirs"
    assert names(file) == ["song.mp3"]


class Killed(BaseException):
    """The process ends here."""


def dying(write: Callable[..., None], after: int) -> Callable[..., None]:
    """A `_transfer` that stops after so many blocks."""
    left = [after]

    def transfer(copy: BinaryIO, target: BinaryIO, start: int, stop: int) -> None:
        while start < stop:
            if not left[0]:
                raise Killed
            left[0] -= 1
            end = min(start + inplace.BLOCK_BYTES, stop)
            write(copy, target, start, end)
            start = end

    return transfer


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such thing")
def test_the_journal_is_on_the_disk_before_the_file_is_touched_and_the_file_before_the_journal_goes(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, write, stamp, done = os.fsync, inplace._transfer, inplace._set_times, list[str]()

    def synced(descriptor: int) -> None:
        place = os.fstat(descriptor)
        known = {"folder": file.parent, "file": file, "copy": next(file.parent.glob(".*"))}
        done.append(next(name for name, path in known.items() if os.path.samestat(place, path.stat())))
        if done[-1] == "copy" and inplace._read(os.fdopen(os.dup(descriptor), "rb")):
            done[-1] = "journal"
        sync(descriptor)

    def transfer(*arguments: object) -> None:
        done.append("write")
        write(*arguments)

    def stamped(*arguments: object) -> None:
        done.append("times")
        stamp(*arguments)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr(inplace, "_transfer", transfer)
    monkeypatch.setattr(inplace, "_set_times", stamped)
    become(file, NEW)
    assert done == ["copy", "folder", "journal", "write", "write", "file", "times", "file"]


def half_written(path: Path, old: bytes, new: bytes, n_blocks: int) -> tuple[Path, Path]:
    """Leave a file as a process does that is killed over it; gives it and the journal beside it."""
    copy = path.with_name(litter_name(path.name))
    path.write_bytes(old)
    copy.write_bytes(new)
    with path.open("r+b") as target, copy.open("r+b") as file, pytest.MonkeyPatch.context() as patch:
        hashes = inplace._hashes(target, len(old), len(new))
        journal = inplace.Journal(path.stat().st_ino, len(old), len(new), (STAMP, STAMP), hashes)
        inplace._append(file, journal)
        patch.setattr(inplace, "_transfer", dying(inplace._transfer, n_blocks))
        with contextlib.suppress(Killed):
            inplace._redo(target, file, journal)
    return path, copy


@contextlib.contextmanager
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inplace, "BLOCK_BYTES", 4)
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@settings(deadline=None, max_examples=300)
@given(old=st.binary(max_size=22), new=st.binary(max_size=22), n_blocks=st.integers(0, 8))
def test_wherever_a_kill_comes_the_next_run_finds_or_makes_a_whole_file(
    tmp_path_factory: pytest.TempPathFactory, old: bytes, new: bytes, n_blocks: int
) -> None:
    with small_blocks():
        path, _ = half_written(tmp_path_factory.mktemp("killed") / "song.mp3", old, new, n_blocks)
        inode, untouched = path.stat().st_ino, path.read_bytes() == old
        assert remove_litter(path.parent) == 1
    assert path.read_bytes() == (old if untouched else new)
    assert untouched or path.stat().st_mtime_ns == STAMP
    assert path.stat().st_ino == inode
    assert names(path) == ["song.mp3"]


@settings(deadline=None, max_examples=200)
@given(
    old=st.binary(min_size=1, max_size=22),
    new=st.binary(max_size=22),
    n_blocks=st.integers(0, 6),
    theirs=st.binary(min_size=1, max_size=24),
)
def test_a_file_that_somebody_else_has_changed_is_never_overwritten(
    tmp_path_factory: pytest.TempPathFactory, old: bytes, new: bytes, n_blocks: int, theirs: bytes
) -> None:
    theirs = b"\xfa\xce\xfa\xce" + theirs
    # Whole blocks of either, or all of a shorter file with more behind it: then nobody has changed what was there.
    assume(not any(content and theirs.startswith(content[:4]) for content in (old, new)))
    with small_blocks():
        path, copy = half_written(tmp_path_factory.mktemp("changed") / "song.mp3", old, new, n_blocks)
        path.write_bytes(theirs)
        assert remove_litter(path.parent) == 0
    assert path.read_bytes() == theirs
    assert copy.exists()  # it may be the last whole copy


def test_what_somebody_adds_to_a_file_before_it_was_touched_stays(tmp_path: Path) -> None:
    path, _ = half_written(tmp_path / "song.mp3", OLD, NEW, 0)
    path.write_bytes(OLD + b"TAG" + bytes(125))
    assert remove_litter(tmp_path) == 1
    assert path.read_bytes() == OLD + b"TAG" + bytes(125)


def test_a_half_written_file_is_found_under_another_name_of_its_folder(tmp_path: Path) -> None:
    path, _ = half_written(tmp_path / "song.mp3", OLD, NEW, 2)
    renamed = path.rename(tmp_path / "renamed.mp3")
    assert remove_litter(tmp_path) == 1
    assert renamed.read_bytes() == NEW


def test_a_journal_whose_file_is_gone_is_kept(tmp_path: Path) -> None:
    path, copy = half_written(tmp_path / "song.mp3", OLD, NEW, 2)
    path.unlink()
    assert remove_litter(tmp_path) == 0
    assert copy.read_bytes().startswith(NEW)


def test_a_journal_that_was_cut_off_is_litter(tmp_path: Path) -> None:
    path, copy = half_written(tmp_path / "song.mp3", OLD, NEW, 0)
    copy.write_bytes(copy.read_bytes()[:-9])
    assert remove_litter(tmp_path) == 1
    assert path.read_bytes() == OLD


@pytest.mark.parametrize("at", [0, 40])
def test_a_journal_of_which_a_power_cut_has_spared_only_the_end_is_litter(tmp_path: Path, at: int) -> None:
    path, copy = half_written(tmp_path / "song.mp3", OLD, NEW, 0)
    data = copy.read_bytes()
    copy.write_bytes(data[: len(NEW) + at] + bytes(8) + data[len(NEW) + at + 8 :])
    assert remove_litter(tmp_path) == 1
    assert path.read_bytes() == OLD


def failing(error: BaseException, calls: set[int]) -> Callable[..., None]:
    """A `_transfer` that fails the first time, the second time or both, after it has written something."""
    write, count = inplace._transfer, [0]

    def transfer(copy: BinaryIO, target: BinaryIO, start: int, stop: int) -> None:
        count[0] += 1
        if count[0] in calls:
            write(copy, target, start, min(stop, start + inplace.BLOCK_BYTES))
            raise error
        write(copy, target, start, stop)

    return transfer


def test_where_the_new_end_finds_no_room_the_file_stays_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inplace, "_transfer", failing(OSError(errno.ENOSPC, "No space left on device"), {1}))
    with pytest.raises(FileError) as caught:
        become(file, NEW)
    assert caught.value.kind is FailureKind.NO_SPACE
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (OLD, STAMP)
    assert names(file) == ["song.mp3"]


def test_a_disk_that_fails_in_the_middle_is_told_and_the_next_run_mends_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inplace, "_transfer", failing(OSError(errno.EIO, "Input/output error"), {2}))
    with pytest.raises(FileError, match="the next run mends it"):
        become(file, NEW)
    monkeypatch.undo()
    assert file.read_bytes() not in (OLD, NEW)
    assert [is_litter(name) for name in names(file)] == [True, False]
    assert remove_litter(file.parent) == 1
    assert file.read_bytes() == NEW


def test_a_block_that_the_disk_has_lost_is_noticed_and_the_next_run_writes_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, begins = inplace._transfer, list[int]()

    def transfer(copy: BinaryIO, target: BinaryIO, start: int, stop: int) -> None:
        begins.append(start)
        write(copy, target, start + inplace.BLOCK_BYTES * (len(begins) == 2), stop)

    monkeypatch.setattr(inplace, "_transfer", transfer)
    with pytest.raises(FileError, match="does not read back"):
        become(file, NEW)
    monkeypatch.undo()
    assert remove_litter(file.parent) == 1
    assert file.read_bytes() == NEW


def test_who_may_write_a_file_but_does_not_own_it_leaves_its_times_to_the_system(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(os, "supports_fd", {*os.supports_fd, refuse})
    for mtime in (Mtime.KEEP, Mtime.BUMP):
        with pytest.raises(FileError, match="--mtime now needs none"):
            become(file, NEW, mtime=mtime)
        assert file.read_bytes() == OLD
        assert names(file) == ["song.mp3"]
    assert become(file, NEW)
    assert file.read_bytes() == NEW
    assert names(file) == ["song.mp3"]


@pytest.mark.parametrize("call", [1, 2])
def test_an_interrupt_waits_until_the_file_is_whole(file: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    monkeypatch.setattr(inplace, "_transfer", failing(KeyboardInterrupt(), {call}))
    with pytest.raises(KeyboardInterrupt):
        become(file, NEW)
    assert file.read_bytes() == (OLD if call == 1 else NEW)
    assert names(file) == ["song.mp3"]


def test_who_insists_on_an_interrupt_leaves_a_file_that_the_next_run_mends(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inplace, "_transfer", failing(KeyboardInterrupt(), {2, 3}))
    with pytest.raises(KeyboardInterrupt):
        become(file, NEW)
    monkeypatch.undo()
    assert file.read_bytes() not in (OLD, NEW)
    assert remove_litter(file.parent) == 1
    assert file.read_bytes() == NEW
    assert names(file) == ["song.mp3"]


def test_nobody_mends_a_file_that_is_being_overwritten(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, removed = inplace._transfer, []

    def transfer(copy: BinaryIO, target: BinaryIO, start: int, stop: int) -> None:
        removed.append(remove_litter(file.parent))
        write(copy, target, start, stop)

    monkeypatch.setattr(inplace, "_transfer", transfer)
    become(file, NEW)
    assert removed == [0, 0]
    assert file.read_bytes() == NEW


KILLED = """
import sys
from pathlib import Path
from mtag.atomic import HardLinks, Patch, rewrite

path = Path(sys.argv[1])
sizes = [int(size) for size in sys.argv[2].split(",")]
print("ready", flush=True)
n = 0
while True:
    n += 1
    content = bytes([n % 250 + 1]) * sizes[n % len(sizes)]
    rewrite(
        path, lambda source: [Patch(0, len(source.read()), content)], lambda copy: None, hardlinks=HardLinks.INPLACE
    )
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows kills otherwise")
def test_a_kill_at_any_instant_can_be_mended(file: Path, tmp_path: Path) -> None:
    sizes = (10, 300_000, 2_500_000)
    file.write_bytes(b"\1" * 10)
    rng = random.Random(0)
    for _ in range(12):
        command = [sys.executable, "-c", KILLED, str(file), ",".join(map(str, sizes))]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(rng.random() * 0.1)
            process.kill()
        remove_litter(file.parent)
        content = file.read_bytes()
        assert len(content) in sizes
        assert len(set(content)) == 1
        assert (tmp_path / "seeded.mp3").read_bytes() == content
        assert names(file) == ["song.mp3"]
