"""What a disk, a system and other programs can do to a run that writes, short of killing it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from mutagen.flac import FLAC
from mutagen.id3 import ID3, TPE2

from tests.portrait import harm, portray
from tests.workshop import BALLAST, Ended, Workshop, expect

Deed = Callable[[Workshop, random.Random], str]  # does something to a library, and says how many it struck, and how
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
NOBODY = 65534
N_INTRUSIONS = 8  # times at most that another program saves files: not each time is one of them in mtag's hands
FS_IMMUTABLE, GET_FLAGS, SET_FLAGS = 0x10, 0x80086601, 0x40086602  # Linux: chattr +i


def _scan(shop: Workshop, *codes: int, **fate: object) -> Ended:
    """Write to the library."""
    return shop.mtag("scan", shop.library, "--write-tags", "--json", **fate).check(*codes or (0,))


def _failed(shop: Workshop, ended: Ended, kind: str) -> set[str]:
    """Names of the files that failed, all for one reason; the others are written and these are as they were."""
    *results, _ = ended.records
    failed = {str(Path(r["path"]).relative_to(shop.library)): r["error"] for r in results if r["status"] == "failed"}
    others = {name: error for name, error in failed.items() if error["kind"] != kind}
    expect(not others, f"not {kind}: {others}")
    expect(bool(failed), f"no file failed, and some had to as {kind}")
    shop.judge("original", names=failed)
    shop.judge("tagged", names=set(shop.names()) - failed.keys())
    shop.expect_no_litter()
    shop.expect_sound_catalog()
    return set(failed)


def _recovers(shop: Workshop) -> None:
    """The next run completes."""
    _scan(shop)
    shop.judge("tagged")
    shop.expect_no_litter()


def interrupted(shop: Workshop, rng: random.Random) -> str:
    """Ctrl-C at random instants: nothing half done, nothing left behind, and the exit code that says so."""
    codes: Counter[int] = Counter()
    for _ in range(3):
        fate = {"event": rng.randrange(shop.events), "lines": rng.randrange(40), "signal": int(signal.SIGINT)}
        codes[shop.mtag("scan", shop.library, "--write-tags", **fate).check(0, 130).code] += 1
        shop.judge("original", "tagged")
        shop.expect_no_litter()
        shop.expect_sound_catalog()
        if codes[0]:
            shop.fresh()
    expect(bool(codes[130]), "no run was interrupted")
    _recovers(shop)
    return f"{codes[130]} of 3 runs ended early"


def size_limit(shop: Workshop, rng: random.Random) -> str:
    """No file may grow past a limit, as with a quota: at first the large ones fail, then the catalog itself."""
    large = [name for name in shop.names() if (shop.library / name).stat().st_size > 120_000][:3]
    for name in large:
        path = shop.library / name
        ended = shop.mtag("scan", path, "--write-tags", "--json", limits=[path.stat().st_size - 1000]).check(3)
        expect(ended.records[0]["error"]["kind"] == "no-space", f"{name}: {ended.records[0]['error']}")
        shop.judge("original")
        shop.expect_no_litter()
    shop.mtag("scan", shop.library, "--write-tags", limits=[200_000]).check(1, 3)
    states = Counter(shop.judge("original", "tagged").values())
    shop.expect_sound_catalog()
    _recovers(shop)
    return f"{len(large)} files failed; {states['tagged']} written before the catalog was full"


def full_disk(shop: Workshop, rng: random.Random) -> str:
    """A disk with less room than the largest files need for their copies."""
    with _mounted(shop, "size") as told:
        if told:
            return told
        failed = _failed(shop, _scan(shop, 1, 3), "no-space")
        (shop.library / BALLAST).unlink()
        _recovers(shop)
        _fill_up(shop.library, 100_000)
        shop.mtag("strip", shop.library).check(1, 3)
        states = Counter(shop.judge("original", "tagged").values())
        (shop.library / BALLAST).unlink()
        shop.mtag("strip", shop.library).check()
        shop.judge("original")
        shop.expect_no_litter()
    return f"{len(failed)} files could not be written, and {states['tagged']} not be stripped"


def full_disk_with_catalog(shop: Workshop, rng: random.Random) -> str:
    """The catalog is on the full disk too: what cannot be noted is not written."""
    with _mounted(shop, "size", ballast=False) as told:
        if told:
            return told
        catalog = shop.library / ".catalog" / "catalog.db"
        catalog.parent.mkdir()
        shutil.copy(shop.seed, catalog)
        _fill_up(shop.library, 400_000)
        shop.mtag("scan", shop.library, "--write-tags", catalog=catalog).check(1, 3)
        states = Counter(shop.judge("original", "tagged").values())
        (shop.library / BALLAST).unlink()
        shop.mtag("scan", shop.library, "--write-tags", catalog=catalog).check()
        shop.judge("tagged")
        shutil.rmtree(catalog.parent)
        shop.expect_no_litter()
    return f"{states['original']} files as before, {states['tagged']} written"


def read_only_disk(shop: Workshop, rng: random.Random) -> str:
    """A disk that is mounted to be read only."""
    with _mounted(shop, "ro") as told:
        if told:
            return told
        failed = _failed(shop, _scan(shop, 1, 3), "permission")
        expect(failed == set(shop.names()), "a file on a read-only disk was written")
    return f"{len(failed)} files failed"


@contextlib.contextmanager
def _mounted(shop: Workshop, how: str, ballast: bool = True) -> Iterator[str]:
    """The library on a disk in memory; says why not where that is not allowed."""
    content = list(shop.library.iterdir())
    n_bytes = sum(path.stat().st_size + 8192 for path in shop.library.rglob("*"))
    aside = shop.library.rename(shop.root / "aside")
    shop.library.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes + (1 << 24)}", "tmpfs", str(shop.library)]
    if not IS_ROOT or subprocess.run(command, capture_output=True).returncode:
        shop.library.rmdir()
        aside.rename(shop.library)
        yield "skipped: needs root and mount"
        return
    try:
        for path in content:
            source = aside / path.name
            shutil.copytree(source, path) if source.is_dir() else shutil.copy2(source, path)
        if how == "ro":
            subprocess.run(["mount", "-o", "remount,ro", str(shop.library)], check=True)
        elif ballast:
            _fill_up(shop.library, 100_000)
        yield ""
    finally:
        subprocess.run(["umount", str(shop.library)], check=True)
        shutil.rmtree(aside)


def _fill_up(folder: Path, left: int) -> None:
    """Leave so many bytes of a disk."""
    stat = os.statvfs(folder)
    with (folder / BALLAST).open("wb") as file:
        file.write(bytes(max(0, stat.f_bavail * stat.f_bsize - left)))


def read_only_files(shop: Workshop, rng: random.Random) -> str:
    """Files that their owner has protected, root's own run included."""
    chosen = rng.sample(shop.names(), len(shop.names()) // 3)
    for name in chosen:
        (shop.library / name).chmod(rng.choice((0o444, 0o400)))
    failed = _failed(shop, _scan(shop, 1, 3), "permission")
    expect(failed == set(chosen), "other files failed than those that are protected")
    modes = {(shop.library / name).stat().st_mode & 0o222 for name in chosen}
    expect(modes == {0}, "a protected file is no longer protected")
    for name in chosen:
        (shop.library / name).chmod(0o644)
    _recovers(shop)
    return f"{len(failed)} files failed"


def unreadable_files(shop: Workshop, rng: random.Random) -> str:
    """Files that may not even be read, for a root without its powers too."""
    chosen = rng.sample(shop.names(), len(shop.names()) // 4)
    for name in chosen:
        (shop.library / name).chmod(0)
    ended = _scan(shop, 1, 3, humble=_must_be_humble())
    for name in chosen:
        (shop.library / name).chmod(0o644)
    failed = _failed(shop, ended, "permission")
    expect(failed == set(chosen), "other files failed than those that may not be read")
    _recovers(shop)
    return f"{len(failed)} files failed"


def read_only_folder(shop: Workshop, rng: random.Random) -> str:
    """A folder in which no copy can be made."""
    folders = [path for path in shop.library.rglob("*") if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    ended = _scan(shop, 1, 3, humble=_must_be_humble())
    failed = _failed(shop, ended, "permission")
    for folder in folders:
        folder.chmod(0o755)
    expect(failed == set(shop.names()), "a file in a protected folder was written")
    _recovers(shop)
    return f"{len(failed)} files failed"


def foreign_owner(shop: Workshop, rng: random.Random) -> str:
    """Files of somebody else in a folder of one's own, which a rename would get past."""
    if not IS_ROOT:
        return "skipped: needs root"
    chosen = rng.sample(shop.names(), len(shop.names()) // 4)
    for name in chosen:
        os.chown(shop.library / name, NOBODY, NOBODY)
    failed = _failed(shop, _scan(shop, 1, 3, humble=True), "permission")
    expect(failed == set(chosen), "other files failed than those of somebody else")
    _recovers(shop)  # as root proper
    owners = {(shop.library / name).stat().st_uid for name in chosen}
    expect(owners == {NOBODY}, "root has taken files away from their owner")
    return f"{len(failed)} files failed"


def immutable_files(shop: Workshop, rng: random.Random) -> str:
    """Files that not even root may change."""
    chosen = rng.sample(shop.names(), len(shop.names()) // 4)
    try:
        for name in chosen:
            _make_immutable(shop.library / name, True)
        failed = _failed(shop, _scan(shop, 1, 3), "permission")
    except OSError:
        return "skipped: needs root, and a disk that knows such files"
    finally:
        for name in chosen:
            with contextlib.suppress(OSError):
                _make_immutable(shop.library / name, False)
    expect(failed == set(chosen), "other files failed than those that are immutable")
    _recovers(shop)
    return f"{len(failed)} files failed"


def _must_be_humble() -> bool:
    return IS_ROOT and sys.platform == "linux"


def _make_immutable(path: Path, wanted: bool) -> None:
    import fcntl

    with path.open("rb") as file:
        flags = struct.unpack("l", fcntl.ioctl(file, GET_FLAGS, bytes(struct.calcsize("l"))))[0]
        flags = flags | FS_IMMUTABLE if wanted else flags & ~FS_IMMUTABLE
        fcntl.ioctl(file, SET_FLAGS, struct.pack("l", flags))


def changed_meanwhile(shop: Workshop, rng: random.Random) -> str:
    """Another program saves a file while mtag has its copy in hand: its work stays, mtag's is given up."""
    names = [name for name in shop.names() if name.endswith((".mp3", ".flac"))]
    left = 0
    for event in rng.sample(range(len(shop.names())), N_INTRUSIONS):
        if left:
            break
        shop.fresh()
        fate = {"event": event, "names": ("open",), "signal": int(signal.SIGSTOP)}
        running = shop.start("scan", shop.library, "--write-tags", "--json", **fate)
        os.waitid(os.P_PID, running.process.pid, os.WSTOPPED | os.WNOWAIT | os.WEXITED)
        intruded = {name: _intrude(shop.library / name, rng) for name in names}
        running.process.send_signal(signal.SIGCONT)
        ended = running.wait().check(0, 1)
        for name, before in intruded.items():
            now = portray(shop.library / name)
            wrong = harm(before, now)
            expect(wrong is None, f"{name}, which another program had saved meanwhile, {wrong}")
        shop.judge("original", "tagged", names=set(shop.names()) - intruded.keys())
        shop.expect_no_litter()
        left += sum(bool(r.get("error")) for r in ended.records)
    expect(left > 0, "no file was in hand when the other program saved it")
    shop.mtag("scan", shop.library, "--write-tags").check()
    return f"{left} files were left to the other program"


def _intrude(path: Path, rng: random.Random) -> object:
    """Save a file as a tag editor does: in place."""
    if path.suffix == ".flac":
        file = FLAC(path)
        file["ALBUMARTIST"] = ["intruder " * rng.choice((1, 4000))]
        file.save()
    else:
        try:
            tag = ID3(path, translate=False, load_v1=False)
        except Exception:
            tag = ID3()
        tag.add(TPE2(encoding=3, text=["intruder " * rng.choice((1, 4000))]))
        tag.save(path, v2_version=3 if tag.version == (2, 3, 0) else 4, v1=0)
    return portray(path)


def two_at_once(shop: Workshop, rng: random.Random) -> str:
    """Two runs over the same files, with one catalog and with two."""
    for other in (shop.catalog, shop.root / "other" / "catalog.db"):
        shop.fresh()
        other.parent.mkdir(exist_ok=True)
        if other != shop.catalog:
            shutil.copy(shop.seed, other)
        first = shop.start("scan", shop.library, "--write-tags")
        second = shop.start("scan", shop.library, "--write-tags", catalog=other)
        codes = {first.wait().check(0, 1).code, second.wait().check(0, 1).code}
        shop.judge("tagged")
        shop.expect_no_litter()
        shop.expect_sound_catalog()
        _recovers(shop)
    return f"2 runs a time, exit codes {sorted(codes)}"


HARDSHIPS: dict[str, Deed] = {
    deed.__name__.replace("_", " "): deed
    for deed in (
        interrupted,
        size_limit,
        full_disk,
        full_disk_with_catalog,
        read_only_disk,
        read_only_files,
        unreadable_files,
        read_only_folder,
        foreign_owner,
        immutable_files,
        changed_meanwhile,
        two_at_once,
    )
}
