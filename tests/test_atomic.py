"""A file is replaced whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtag import atomic, copying, writers
from mtag.atomic import HardLinkedError, HardLinks, is_litter, litter_name, remove_litter, rewrite
from mtag.copying import Patch
from mtag.dressing import Mtime
from mtag.errors import FailureKind, FileError
from mtag.writers import is_open_for_writing

POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no such thing")
OLD, NEW = b"old content", b"new content"
CHMOD = os.chmod  # a test puts another in its place


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "song.mp3"
    path.write_bytes(OLD)
    return path


def become(content: bytes) -> Callable[[BinaryIO], Sequence[Patch]]:
    """An edit that replaces everything."""
    return lambda source: [Patch(0, len(source.read()), content)]


def accept(copy: Path) -> None:
    """A check that finds nothing wrong."""


def patches_in(size: int) -> st.SearchStrategy[list[Patch]]:
    """Patches in order that do not overlap."""
    offsets = st.lists(st.integers(0, size), min_size=2, max_size=8).map(sorted)
    stretches = offsets.map(lambda ends: list(zip(ends[::2], ends[1::2], strict=False)))
    return stretches.flatmap(
        lambda pairs: st.tuples(
            *(st.binary(max_size=9).map(lambda data, a=a, b=b: Patch(a, b, data)) for a, b in pairs)
        )
    ).map(list)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), chunk=st.sampled_from([1, 7, 1 << 20]))
def test_patches_are_applied_and_all_else_is_copied(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, chunk: int
) -> None:
    content = data.draw(st.binary(min_size=1, max_size=60))
    patches = data.draw(patches_in(len(content)))
    path = tmp_path_factory.mktemp("patched") / "file"
    path.write_bytes(content)
    expected = bytearray(content)
    for patch in sorted(patches, reverse=True):
        expected[patch.start : patch.stop] = patch.data
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(copying, "CHUNK_BYTES", chunk)
        patching.setattr("os.fsync", lambda descriptor: None)
        rewrite(path, lambda source: patches, accept)
    assert path.read_bytes() == bytes(expected)
    assert os.listdir(path.parent) == ["file"]


def test_a_long_file_is_copied_by_the_system_or_by_hand_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = random.Random(0).randbytes(3 * copying.CHUNK_BYTES + 5)
    patches = [Patch(5, 9, b"longer than it was"), Patch(len(content) - 3, len(content), b"")]
    path = tmp_path / "long"
    for function in ("copy_file_range", None):
        path.write_bytes(content)
        if function is None and hasattr(os, "copy_file_range"):
            monkeypatch.setattr(os, "copy_file_range", fail(errno.EXDEV))
        rewrite(path, lambda source: patches, accept)
        assert path.read_bytes() == content[:5] + patches[0].data + content[9:-3]


def fail(number: int) -> Callable[..., int]:
    def failing(*arguments: object, **options: object) -> int:
        raise OSError(number, os.strerror(number))

    return failing


def test_no_patches_no_writing(file: Path) -> None:
    before = file.stat()
    assert not rewrite(file, lambda source: [], lambda copy: pytest.fail("nothing to check"))
    assert file.stat() == before


def test_the_check_sees_the_finished_copy_beside_the_untouched_file(file: Path) -> None:
    def check(copy: Path) -> None:
        assert copy.parent == file.parent
        assert is_litter(copy.name)
        assert copy.suffix == file.suffix
        assert copy.read_bytes() == NEW
        assert file.read_bytes() == OLD

    assert rewrite(file, become(NEW), check)
    assert file.read_bytes() == NEW


def test_a_copy_that_is_refused_leaves_no_trace(file: Path) -> None:
    def check(copy: Path) -> None:
        raise FileError(file, FailureKind.TAG_PARSE, "is refused")

    before = file.stat()
    with pytest.raises(FileError, match="refused"):
        rewrite(file, become(NEW), check)
    assert (file.read_bytes(), file.stat()) == (OLD, before)
    assert list(file.parent.iterdir()) == [file]


def test_an_interrupt_leaves_no_trace(file: Path) -> None:
    def check(copy: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rewrite(file, become(NEW), check)
    assert file.read_bytes() == OLD
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("function", ["os.fsync", "os.replace", "shutil.copystat"])
@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, FailureKind.NO_SPACE),
        (getattr(errno, "EDQUOT", errno.ENOSPC), FailureKind.NO_SPACE),
        (errno.EFBIG, FailureKind.NO_SPACE),
        (errno.EACCES, FailureKind.PERMISSION),
        (errno.EROFS, FailureKind.PERMISSION),
        (errno.EPERM, FailureKind.PERMISSION),
        (errno.EIO, FailureKind.PERMISSION),
    ],
)
def test_errors_of_the_system_are_told_apart_and_leave_no_trace(
    file: Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int, kind: FailureKind
) -> None:
    monkeypatch.setattr(function, fail(number))
    with pytest.raises(FileError) as caught:
        rewrite(file, become(NEW), accept)
    monkeypatch.undo()
    assert (caught.value.path, caught.value.kind) == (file, kind)
    assert file.read_bytes() == OLD
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit the size of files")
@pytest.mark.parametrize("size", [200_000, 6_000])  # of the latter a part fits, and the rest waits in a buffer
def test_a_full_disk_is_told_and_leaves_no_trace(tmp_path: Path, size: int) -> None:
    import resource

    path = tmp_path / "song.mp3"
    path.write_bytes(b"x" * size)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limits[1]))
        with pytest.raises(FileError) as caught:
            rewrite(path, lambda source: [Patch(0, 1, b"yy")], accept)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert caught.value.kind is FailureKind.NO_SPACE
    assert path.read_bytes() == b"x" * size
    assert list(tmp_path.iterdir()) == [path]


@POSIX
def test_the_content_is_on_the_disk_before_the_file_is_replaced_and_its_name_after_that(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, replace, done = os.fsync, os.replace, list[str]()

    def synced(descriptor: int) -> None:
        place = os.fstat(descriptor)
        done.append("folder" if os.path.samestat(place, file.parent.stat()) else f"{place.st_size} bytes")
        sync(descriptor)

    def replaced(copy: Path, path: Path) -> None:
        done.append("replaced")
        replace(copy, path)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr("os.replace", replaced)
    rewrite(file, become(NEW), accept)
    assert done == [f"{len(NEW)} bytes", "replaced", "folder"]


@POSIX
@pytest.mark.parametrize("mode", [0o644, 0o600, 0o664, 0o200 | 0o444])
def test_permissions_and_owner_stay(file: Path, mode: int) -> None:
    file.chmod(mode)
    before = file.stat()
    rewrite(file, become(NEW), accept)
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="only Linux has these functions")
def test_extended_attributes_stay(file: Path) -> None:
    try:
        os.setxattr(file, "user.rating", b"five")
    except OSError:
        pytest.skip("this file system keeps no extended attributes")
    rewrite(file, become(NEW), accept)
    assert os.getxattr(file, "user.rating") == b"five"


@pytest.mark.parametrize("mtime", Mtime)
def test_the_time_stamp_is_now_or_kept_or_two_seconds_later(file: Path, mtime: Mtime) -> None:
    old = 1_000_000_000_123_456_700
    os.utime(file, ns=(old - 5_000_000_000, old))
    begun = time.time()
    rewrite(file, become(NEW), accept, mtime=mtime)
    stat = file.stat()
    if mtime is Mtime.NOW:
        assert begun - 2 < stat.st_mtime < time.time() + 2
    else:
        assert stat.st_mtime_ns == old + (2_000_000_000 if mtime is Mtime.BUMP else 0)
    assert stat.st_atime_ns == old - 5_000_000_000


@pytest.fixture
def nobodys(file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file on a FAT disk that root has mounted for everybody: it has the permissions that all files have there."""

    def refuse(path: object, *arguments: object, **options: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", path)

    file.chmod(0o600)  # as the copy is made
    for name in ("chown", "chmod", "utime"):
        monkeypatch.setattr(os, name, refuse)
    return file


@POSIX
def test_where_nobody_may_set_permissions_and_times_a_file_can_be_written(nobodys: Path) -> None:
    assert rewrite(nobodys, become(NEW), accept)
    assert nobodys.read_bytes() == NEW


@POSIX
@pytest.mark.parametrize("mtime", [Mtime.KEEP, Mtime.BUMP])
def test_a_time_stamp_that_cannot_be_kept_is_told(nobodys: Path, mtime: Mtime) -> None:
    with pytest.raises(FileError, match="time stamps cannot be set here") as caught:
        rewrite(nobodys, become(NEW), accept, mtime=mtime)
    assert caught.value.kind is FailureKind.PERMISSION
    assert [path.read_bytes() for path in nobodys.parent.iterdir()] == [OLD]


@POSIX
def test_permissions_that_would_be_lost_are_a_reason_not_to_write(nobodys: Path) -> None:
    CHMOD(nobodys, 0o640)
    with pytest.raises(FileError) as caught:
        rewrite(nobodys, become(NEW), accept)
    assert caught.value.kind is FailureKind.PERMISSION
    assert [path.read_bytes() for path in nobodys.parent.iterdir()] == [OLD]


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="only Linux has these functions")
def test_attributes_that_would_be_lost_are_a_reason_not_to_write(
    nobodys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        os.setxattr(nobodys, "user.rating", b"five")
    except OSError:
        pytest.skip("this file system keeps no extended attributes")
    monkeypatch.setattr("shutil.copystat", fail(errno.EPERM))
    with pytest.raises(FileError):
        rewrite(nobodys, become(NEW), accept)
    assert nobodys.read_bytes() == OLD


@POSIX
@pytest.mark.parametrize("is_root", [True, False])
def test_the_owner_is_kept_where_that_is_allowed_and_else_the_group(
    file: Path, monkeypatch: pytest.MonkeyPatch, is_root: bool
) -> None:
    given: list[tuple[int, int]] = []

    def chown(path: Path, uid: int, gid: int) -> None:
        assert is_litter(path.name)
        if uid != -1 and not is_root:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        given.append((uid, gid))

    monkeypatch.setattr("os.chown", chown)
    rewrite(file, become(NEW), accept)
    assert given == [(file.stat().st_uid if is_root else -1, file.stat().st_gid)]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files cannot be counted here")
@pytest.mark.parametrize("hardlinks", [HardLinks.SKIP, HardLinks.INPLACE])
def test_nothing_stays_open(file: Path, hardlinks: HardLinks) -> None:
    if hardlinks is HardLinks.INPLACE:
        file.with_name("other.mp3").hardlink_to(file)
    before = len(os.listdir("/proc/self/fd"))
    rewrite(file, become(NEW), accept, hardlinks=hardlinks)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_the_system_lets_nobody_write_is_left_alone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(FileError, match="write-protected"):
        rewrite(file, become(NEW), accept)
    assert file.read_bytes() == OLD


@pytest.mark.skipif(not hasattr(os, "statvfs"), reason="the system does not tell here")
def test_a_disk_that_can_only_be_read_is_no_protected_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = os.statvfs(file)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.setattr("os.statvfs", lambda path: os.statvfs_result((*told[:8], told.f_flag | os.ST_RDONLY, told[9])))
    with pytest.raises(FileError, match="lies on a disk that can only be read"):
        rewrite(file, become(NEW), accept)


@pytest.mark.parametrize("mode", [0o444, 0o400])
def test_a_write_protected_file_is_left_alone_even_by_root(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(FileError, match="write-protected") as caught:
        rewrite(file, become(NEW), accept)
    assert caught.value.kind is FailureKind.PERMISSION
    assert file.read_bytes() == OLD
    file.chmod(0o644)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_write_protected_folder_is_told(file: Path) -> None:
    file.parent.chmod(0o555)
    try:
        with pytest.raises(FileError) as caught:
            rewrite(file, become(NEW), accept)
    finally:
        file.parent.chmod(0o755)
    assert caught.value.kind is FailureKind.PERMISSION
    assert file.read_bytes() == OLD


@pytest.mark.parametrize("change", ["content", "time", "replaced"])
def test_a_file_that_another_program_changes_meanwhile_is_left_to_it(file: Path, change: str) -> None:
    def check(copy: Path) -> None:
        if change == "content":
            file.write_bytes(b"somebody else's content")
        elif change == "time":
            os.utime(file, ns=(0, 12345))
        else:
            other = file.with_name("other")
            other.write_bytes(OLD)
            os.utime(other, ns=(0, file.stat().st_mtime_ns))
            other.replace(file)

    if os.name == "nt" and change == "replaced":
        pytest.skip("Windows replaces no open file")
    with pytest.raises(FileError, match="another program"):
        rewrite(file, become(NEW), check)
    assert file.read_bytes() != NEW
    assert list(file.parent.iterdir()) == [file]


@POSIX
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be asked")
@pytest.mark.parametrize("hardlinks", HardLinks)
def test_a_file_that_another_program_has_open_for_writing_is_left_to_it(file: Path, hardlinks: HardLinks) -> None:
    if hardlinks is HardLinks.INPLACE:
        file.with_name("other.mp3").hardlink_to(file)
    before = file.read_bytes()
    with file.open("ab"), pytest.raises(FileError, match="open for writing") as caught:
        rewrite(file, become(NEW), accept, hardlinks=hardlinks)
    assert caught.value.kind is FailureKind.PERMISSION
    assert file.read_bytes() == before
    assert not [path for path in file.parent.iterdir() if is_litter(path.name)]
    with file.open("rb"):
        assert rewrite(file, become(NEW), accept, hardlinks=hardlinks)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be asked")
def test_who_opens_a_file_at_the_moment_it_is_looked_at_does_not_end_mtag(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    call, signals, refused = fcntl.fcntl, list[int](), list[Path]()

    def opened(descriptor: int, command: int, *rest: int) -> int:
        if command == fcntl.F_SETLEASE and rest == (fcntl.F_UNLCK,):
            try:
                os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))
            except BlockingIOError:
                refused.append(file)
        return call(descriptor, command, *rest)

    monkeypatch.setattr("fcntl.fcntl", opened)
    before = signal.signal(signal.SIGIO, lambda number, frame: signals.append(number))
    try:
        assert not is_open_for_writing(file)
    finally:
        signal.signal(signal.SIGIO, before)
    if not refused:
        pytest.skip("this file system gives no leases")
    assert not signals


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be asked")
def test_a_file_system_that_refuses_leases_for_other_reasons_is_not_asked(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with file.open("ab"):
        assert is_open_for_writing(file)
        monkeypatch.setattr(writers, "LOCAL", frozenset())  # as on NFS
        assert not is_open_for_writing(file)


def test_a_writer_that_puts_the_time_stamp_back_is_noticed_too(file: Path) -> None:
    def check(copy: Path) -> None:
        stat = file.stat()
        with file.open("r+b") as other:
            other.write(b"OLD")
        while file.stat().st_ctime_ns == stat.st_ctime_ns or file.stat().st_mtime_ns != stat.st_mtime_ns:
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    with pytest.raises(FileError, match="another program"):
        rewrite(file, become(NEW), check)
    assert file.read_bytes() == b"OLD content"


@POSIX
def test_a_hard_link_made_meanwhile_is_not_parted(file: Path) -> None:
    other = file.with_name("other.mp3")
    with pytest.raises(FileError, match="another program"):
        rewrite(file, become(NEW), lambda copy: other.hardlink_to(file))
    assert file.samefile(other)
    assert file.read_bytes() == OLD


@POSIX
def test_a_folder_that_may_not_be_listed_is_no_failure_once_the_file_is_replaced(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def guarded(path: Path, flags: int, *rest: int) -> int:
        if Path(path) == file.parent:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, *rest)

    monkeypatch.setattr("os.open", guarded)
    assert rewrite(file, become(NEW), accept)
    assert file.read_bytes() == NEW


def test_a_full_disk_that_takes_no_new_file_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.open", fail(errno.ENOSPC))
    with pytest.raises(FileError, match="no space is left") as caught:
        rewrite(file, become(NEW), accept)
    assert caught.value.kind is FailureKind.NO_SPACE


def test_a_copy_that_another_process_has_begun_under_the_same_name_is_left_to_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda n: "00" * n)
    theirs = file.with_name(litter_name(file.name))
    theirs.write_bytes(b"half a copy")
    with pytest.raises(FileError):
        rewrite(file, become(NEW), accept)
    assert (theirs.read_bytes(), file.read_bytes()) == (b"half a copy", OLD)


def test_a_folder_that_takes_no_new_file_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.open", fail(errno.EACCES))
    with pytest.raises(FileError, match="no file can be created in its folder") as caught:
        rewrite(file, become(NEW), accept)
    assert caught.value.kind is FailureKind.PERMISSION
    assert file.read_bytes() == OLD


@POSIX
def test_a_copy_that_is_taken_for_litter_before_it_is_locked_is_begun_anew(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, removed = atomic._lock, []

    def late(copy: BinaryIO, *, wait: bool = False) -> bool:
        if wait and not removed:
            removed.append(remove_litter(file.parent))
        return lock(copy, wait=wait)

    monkeypatch.setattr(atomic, "_lock", late)
    assert rewrite(file, become(NEW), accept)
    assert removed == [1]
    assert file.read_bytes() == NEW
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="only Linux has these functions")
def test_access_lists_stay(file: Path) -> None:
    entries = ((0x01, 6, -1), (0x02, 7, 12345), (0x04, 4, -1), (0x10, 7, -1), (0x20, 4, -1))
    access_list = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(file, "system.posix_acl_access", access_list)
    except OSError:
        pytest.skip("this file system keeps no access lists")
    mode = file.stat().st_mode
    rewrite(file, become(NEW), accept)
    assert os.getxattr(file, "system.posix_acl_access") == access_list
    assert file.stat().st_mode == mode


@POSIX
def test_a_symbolic_link_stays_one_and_its_target_is_written(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    link = folder / "link.mp3"
    link.symlink_to(file)
    rewrite(link, become(NEW), accept)
    assert link.is_symlink()
    assert file.read_bytes() == NEW
    assert list(folder.iterdir()) == [link]


def test_hard_links_are_refused_or_broken(file: Path) -> None:
    other = file.with_name("other.mp3")
    other.hardlink_to(file)
    with pytest.raises(HardLinkedError) as caught:
        rewrite(file, become(NEW), accept)
    assert caught.value.path == file
    assert file.read_bytes() == OLD
    rewrite(file, become(NEW), accept, hardlinks=HardLinks.BREAK)
    assert (file.read_bytes(), other.read_bytes()) == (NEW, OLD)


@pytest.mark.parametrize(
    "name",
    [
        "song.mp3",
        "a" * 251 + ".mp3",
        "ä" * 125 + ".opus",
        "no suffix",
        ".hidden",
        "x" * 240 + "." + "y" * 14,
        "new\nline.mp3",
        "🎵" * 62,
    ],
)
def test_names_of_copies_are_hidden_known_and_short_enough(name: str, tmp_path: Path) -> None:
    copy = litter_name(name)
    assert copy.startswith(".")
    assert is_litter(copy)
    assert len(os.fsencode(copy)) <= 255
    assert not is_litter(name)
    if "." in name[1:]:
        assert os.path.splitext(copy)[1] == os.path.splitext(name)[1]
    try:
        (tmp_path / name).write_bytes(OLD)
    except OSError:
        pytest.skip("this file system does not take such a name")
    rewrite(tmp_path / name, become(NEW), accept)
    assert (tmp_path / name).read_bytes() == NEW


@POSIX
def test_a_name_that_is_not_utf8_can_be_written_to(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe caf\xe9 " + b"x" * 230 + b".mp3")
    try:
        path.write_bytes(OLD)
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    rewrite(path, become(NEW), accept)
    assert path.read_bytes() == NEW


def test_litter_of_killed_processes_is_removed_and_nothing_else(tmp_path: Path) -> None:
    litter = [tmp_path / litter_name(name) for name in ("a.mp3", "b.flac", "no suffix")]
    others = [
        tmp_path / name
        for name in (".hidden.mp3", "a.mp3", "song.mtag-0123abcd.mp3", ".a.mtag-xyz.mp3", ".a.mtag-0123abcd.b.c")
    ]
    for path in (*litter, *others):
        path.write_bytes(OLD)
    (tmp_path / litter_name("folder.mp3")).mkdir()
    link = tmp_path / litter_name("link.mp3")
    link.symlink_to(others[1])
    assert remove_litter(tmp_path) == 3
    assert link.is_symlink()
    assert not any(path.exists() for path in litter)
    assert all(path.read_bytes() == OLD for path in others)
    assert remove_litter(tmp_path) == 0


def test_where_locks_do_not_work_litter_belongs_to_nobody_after_a_day(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_lock", lambda copy, wait=False: None)
    copy = file.with_name(litter_name(file.name))
    copy.write_bytes(NEW)
    os.utime(copy, (0, 0))  # as old as what it is to replace
    now = time.time()
    for hours, is_left in ((23, True), (25, False)):
        monkeypatch.setattr("time.time", lambda hours=hours: now + hours * 3600)
        assert remove_litter(file.parent) == (not is_left)
        assert copy.exists() is is_left


def test_litter_that_cannot_be_read_is_left_and_hinders_nobody(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = file.with_name(litter_name(file.name))
    copy.write_bytes(NEW)
    monkeypatch.setattr("mtag.inplace.finish", fail(errno.EIO))
    assert remove_litter(file.parent) == 0
    assert copy.exists()


def test_a_copy_that_a_process_works_on_is_no_litter(file: Path) -> None:
    removed = []
    os.utime(file, (0, 0))  # its copy gets this time, too

    def check(copy: Path) -> None:
        os.utime(copy, (0, 0))
        removed.append(remove_litter(copy.parent))

    rewrite(file, become(NEW), check, mtime=Mtime.KEEP)
    assert removed == [0]
    assert file.read_bytes() == NEW


def test_litter_in_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileError):
        remove_litter(tmp_path / "none")


def test_where_blocks_can_be_shared_only_the_patches_are_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def clone(source: BinaryIO, target: BinaryIO) -> bool:
        source.seek(0)
        target.write(source.read())
        return True

    monkeypatch.setattr(copying, "_clone", clone)
    monkeypatch.setattr(copying, "_copy_stretch", lambda *arguments: pytest.fail("copied once more"))
    rewrite(file, lambda source: [Patch(0, 3, b"OLD"), Patch(4, 4, b""), Patch(9, 11, b"NT")], accept)
    assert file.read_bytes() == b"OLD conteNT"


@pytest.mark.parametrize("data", [b"longer than that", b""])
def test_blocks_are_not_shared_where_a_patch_moves_what_lies_behind_it(
    file: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(copying, "_clone", lambda source, target: pytest.fail("cannot be shared"))
    rewrite(file, lambda source: [Patch(0, 3, data)], accept)
    assert file.read_bytes() == data + OLD[3:]


def test_a_file_that_is_cut_while_it_is_copied_is_an_error(file: Path, tmp_path: Path) -> None:
    with file.open("rb") as source, (tmp_path / "copy").open("w+b") as copy, pytest.raises(OSError, match="shorter"):
        copying.copy_patched(source, copy, [Patch(0, 3, b"longer")], len(OLD) + 1)


KILLED = """
import sys
from pathlib import Path
from mtag.atomic import Patch, rewrite

path = Path(sys.argv[1])
sizes = [int(size) for size in sys.argv[2].split(",")]
print("ready", flush=True)
n = 0
while True:
    n += 1
    content = bytes([n % 250 + 1]) * sizes[n % len(sizes)]
    rewrite(path, lambda source: [Patch(0, len(source.read()), content)], lambda copy: None)
"""


@POSIX
def test_a_kill_at_any_instant_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    sizes = (10, 300_000, 2_500_000)
    path.write_bytes(b"\1" * 10)
    rng = random.Random(0)
    for _ in range(12):
        command = [sys.executable, "-c", KILLED, str(path), ",".join(map(str, sizes))]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(rng.random() * 0.1)
            process.kill()
        content = path.read_bytes()
        assert len(content) in sizes
        assert len(set(content)) == 1
        remove_litter(tmp_path)
        assert list(tmp_path.iterdir()) == [path]
