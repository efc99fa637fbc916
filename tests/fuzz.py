"""Damaged files of every kind, scanned and written to by mtag as it is.

    python -m tests.fuzz --files 20000 --seed 1

Whatever they hold: the run goes on and ends, no file takes longer than the watchdog allows, memory stays bounded, and
a file is altered only if FFmpeg, mutagen and its raw items say the same of it before and after.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import gallery
from tests.mutants import mutant
from tests.plain import plain
from tests.portrait import Portrait, harm, sound
from tests.raw import Raw, items
from tests.workshop import ROOT, Workshop

BATCH = 250  # files a process
WATCHDOG = 60.0  # seconds in which a run has to be done with another file
MEMORY_BYTES = 1 << 30  # that no process may pass
# Where a packet before the tag was cut short, FFmpeg takes the tag for sound.
TAGGED_BEHIND = (b"MAC ", b"wvpk", b"MPCK", b"MP+")
BY_DESIGN = ("unsupported", "decode", "too-short", "silent", "tag-parse")  # what may be wrong with a damaged file


@dataclass
class Findings:
    """What a run over damaged files has shown."""

    defects: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)  # files by status, or by kind of failure
    peak_bytes: int = 0  # of any process
    slowest: float = 0.0  # seconds between two results


class Fuzzer:
    """Makes damaged files, has them scanned, and looks at what is left of them."""

    def __init__(self, root: Path, seed: int) -> None:
        self.shop = Workshop(root)
        self.seed = seed
        self.findings = Findings()
        self.kept = root / "defects"  # the files that show them
        gallery.fill(self.shop.originals)
        self.sources = [(name, (self.shop.originals / name).read_bytes()) for name in self.shop.names()]

    def run(self, numbers: Sequence[int]) -> None:
        """One process over so many files."""
        folder = self.shop.library
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.shop.forget()
        contents = dict(mutant(self.sources, self.seed, number) for number in numbers)
        for name, data in contents.items():
            (folder / name).write_bytes(data)
        results = self._command("scan", folder, "--write-tags", "--json")
        for name, data in contents.items():
            with self._keeping(name, data):
                self._judge(folder / name, data, results.get(name))
        written = [name for name, result in results.items() if result["status"] == "written"]
        if written:
            self._command("undo", "last", "--json")
        for name in written:
            with self._keeping(name, contents[name]):
                self._judge_restored(folder / name, contents[name])
        left = {path.name for path in folder.iterdir()} - contents.keys()
        if left:
            self._blame(f"left behind: {left}")

    @contextlib.contextmanager
    def _keeping(self, name: str, data: bytes) -> Iterator[None]:
        """Keep a file for whoever looks into the defects that it shows."""
        n_defects = len(self.findings.defects)
        yield
        if len(self.findings.defects) > n_defects:
            self.kept.mkdir(exist_ok=True)
            (self.kept / name).write_bytes(data)

    def _blame(self, what: str) -> None:
        self.findings.defects.append(what)
        print(f"DEFECT {what}", file=sys.stderr, flush=True)

    def _command(self, *arguments: str | Path) -> dict[str, Any]:
        """Run mtag; gives its results by name, and notes what it needed."""
        command = [sys.executable, "-m", "mtag", *map(str, arguments)]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
            "MTAG_WEIGHTS": str(self.shop.bundle),
            "MTAG_CATALOG": str(self.shop.catalog),
            "MTAG_CONFIG": os.devnull,
        }
        with tempfile.TemporaryFile() as err:
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=err, start_new_session=True
            )
            lines = self._watch(process)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            err.seek(0)
            said = err.read().decode("utf-8", "replace")
        self.findings.peak_bytes = max(self.findings.peak_bytes, usage.ru_maxrss * 1024)
        results = {Path(line["path"]).name: line for line in map(json.loads, lines) if "path" in line}
        if process.returncode not in (0, 1, 3) or "Traceback" in said:
            self._blame(f"{arguments[0]} ended with {process.returncode} after {[*results][-3:]}: {said[-600:]}")
        if usage.ru_maxrss * 1024 > MEMORY_BYTES:
            self._blame(f"a process took {usage.ru_maxrss >> 10} MiB; files {[*results][:1]} to {[*results][-1:]}")
        return results

    def _watch(self, process: subprocess.Popen[bytes]) -> list[bytes]:
        """Take the lines of a process as they come; one that does not go on is killed."""
        assert process.stdout is not None
        text = b""
        with selectors.DefaultSelector() as selector, process.stdout as out:
            selector.register(out, selectors.EVENT_READ)
            while True:
                began = time.monotonic()
                if not selector.select(WATCHDOG):
                    self._blame(f"no result for {WATCHDOG:.0f} s after {text.splitlines()[-1:]!r:.200}")
                    os.killpg(process.pid, signal.SIGKILL)
                    return text.splitlines()[:-1]
                read = os.read(out.fileno(), 1 << 16)
                self.findings.slowest = max(self.findings.slowest, time.monotonic() - began)
                if not read:
                    return text.splitlines()
                text += read

    def _judge(self, path: Path, data: bytes, result: dict[str, Any] | None) -> None:
        outcome = "none" if result is None else result["error"]["kind"] if result["error"] else result["status"]
        self.findings.outcomes[outcome] += 1
        if outcome not in ("written", "unchanged", *BY_DESIGN):
            self._blame(f"{path.name} was {outcome}: {result and result['error']}")
        if not path.exists():
            self._blame(f"{path.name} is gone")
            return
        now = path.read_bytes()
        if now == data:
            if outcome == "written":
                self._blame(f"{path.name} is said to be written and is as it was")
        elif outcome != "written":
            self._blame(f"{path.name} was altered though it is said to be {outcome}")
        elif wrong := self._harm(path, data):
            self._blame(f"{path.name} {wrong}")

    def _harm(self, path: Path, data: bytes) -> str | None:
        """What a write has done to a file that it ought not have done."""
        before, after = self._look_before(data, path.suffix), _look(path)
        for part, then in before.items():
            if isinstance(after[part], Exception) and not isinstance(then, Exception):
                return f"has no readable {part} any more: {after[part]!r}"
        if isinstance(before["tags"], Exception):
            return f"was written though mutagen could not read it: {before['tags']!r}"
        if data.startswith(TAGGED_BEHIND) and _rest(before) == _rest(after):
            after["sound"] = before["sound"]
        return harm(_portrait(before, before), _portrait(after, before))

    def _judge_restored(self, path: Path, data: bytes) -> None:
        """After an undo everything has to be as it was, but for padding and offsets."""
        if path.read_bytes() == data:
            return
        before, after = self._look_before(data, path.suffix), _look(path)
        for part in ("tags", "items"):
            if not isinstance(before[part], Exception) and before[part] != after[part]:
                self._blame(
                    f"{path.name} has other {part} after an undo: {before[part]!r:.900}; now {after[part]!r:.900}"
                )

    def _look_before(self, data: bytes, suffix: str) -> dict[str, Any]:
        original = self.shop.root / f"original{suffix}"  # FFmpeg goes by names, too: a damaged head leaves it no choice
        original.write_bytes(data)
        return _look(original)


def _rest(parts: dict[str, Any]) -> list[Raw]:
    """Digests of all bytes outside the tag, if those could be told from it."""
    return [item for item in parts["items"] if item.key == "rest"] if isinstance(parts["items"], list) else []


def _look(path: Path) -> dict[str, Any]:
    """The parts of a portrait; an exception is told in place of a part."""
    parts: dict[str, Any] = {}
    for part, look in (("sound", sound), ("tags", plain), ("items", items)):
        try:
            parts[part] = look(path)
        except Exception as error:
            parts[part] = error
    return parts


def _portrait(parts: dict[str, Any], before: dict[str, Any]) -> Portrait:
    """A portrait without what could not be read at first: these parsers are for whole files."""
    stored = parts["items"] if isinstance(before["items"], list) else ()
    heard = "" if isinstance(before["sound"], Exception) else str(parts["sound"])
    return Portrait(heard, tuple(stored), *map(tuple, parts["tags"]))


def fuzz(root: Path, numbers: Sequence[int], seed: int) -> Findings:
    """Scan damaged files, some hundred a process; each has a number, and is the same for the same number and seed."""
    fuzzer = Fuzzer(root, seed)
    for start in range(0, len(numbers), BATCH):
        fuzzer.run(numbers[start : start + BATCH])
    return fuzzer.findings


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--files", type=int, default=20_000, metavar="N", help="damaged files")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first of them")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--folder", type=Path, help="where to work; best on a disk in memory")
    options = parser.parse_args()
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(prefix="mtag-fuzz-", dir=options.folder or (memory if memory.is_dir() else None)))
    began = time.monotonic()
    findings = fuzz(root, range(options.first, options.first + options.files), options.seed)
    outcomes = ", ".join(f"{n} {what}" for what, n in findings.outcomes.most_common())
    print(f"{findings.outcomes.total()} files in {time.monotonic() - began:.0f} s: {outcomes}")
    print(f"peak memory {findings.peak_bytes >> 20} MiB, longest wait for a result {findings.slowest:.1f} s")
    print(f"{len(findings.defects)} defects" + (f"; see {root / 'defects'}" if findings.defects else ""))
    if findings.defects:
        sys.exit(1)
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
