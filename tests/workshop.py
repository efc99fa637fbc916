"""A music library that is mistreated and judged: for the long drivers, which run mtag as other people run it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.portrait import Portrait, harm, portray
from tests.tiny_bundle import write_tiny_bundle
from tests.victim import Fate

ROOT = Path(__file__).parents[1]
BALLAST = "ballast"  # a file that only fills a disk
PATIENCE = 600.0  # seconds that a command may take
FAREWELL = 10.0  # seconds in which the helpers of a killed process have to be gone


class Defect(AssertionError):  # noqa: N818 - what a driver found
    """Mtag has done what it must never do."""


def expect(holds: bool, what: str) -> None:
    """Raise unless something holds."""
    if not holds:
        raise Defect(what)


@dataclass(frozen=True)
class Ended:
    """A command that has come to its end, or to an end."""

    arguments: tuple[str, ...]
    code: int  # minus the signal's number for a process that was killed
    out: bytes
    err: bytes
    events: int  # instants of writing that it reached

    @property
    def records(self) -> list[dict[str, Any]]:
        """Standard output as lines of JSON."""
        return [json.loads(line) for line in self.out.decode("utf-8").splitlines()]

    def check(self, *codes: int) -> Ended:
        """Raise unless it ended with one of these codes."""
        said = (self.err or self.out).decode("utf-8", "replace")
        expect(self.code in (codes or (0,)), f"mtag {' '.join(self.arguments)} ended with {self.code}: {said[-2000:]}")
        return self


@dataclass
class Workshop:
    """A folder with originals, the library that mtag is let loose on, and what is known of its files."""

    root: Path
    states: dict[str, dict[str, Portrait]] = field(default_factory=dict)  # by relative name and by state

    def __post_init__(self) -> None:
        self.originals, self.library = self.root / "originals", self.root / "library"
        self.catalog, self.seed = self.root / "catalog" / "catalog.db", self.root / "seed.db"
        self.bundle = self.root / "bundle"
        self.events = 0  # of a scan that writes everything and is left alone
        for folder in (self.originals, self.catalog.parent):
            folder.mkdir(parents=True, exist_ok=True)
        if not self.bundle.exists():
            write_tiny_bundle(self.bundle)

    # The library

    def names(self) -> list[str]:
        """Every file of the library, relative."""
        return sorted(str(path.relative_to(self.originals)) for path in self.originals.rglob("*") if path.is_file())

    def fresh(self) -> None:
        """Put library and catalog back as they were before mtag wrote anything."""
        shutil.rmtree(self.library, ignore_errors=True)
        shutil.copytree(self.originals, self.library)
        self.forget()
        if self.seed.exists():
            shutil.copy(self.seed, self.catalog)

    def forget(self) -> None:
        """Begin without a catalog."""
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.catalog}{suffix}").unlink(missing_ok=True)

    def hear(self) -> None:
        """Listen to everything once, so that no later run has to; and see what a run that is left alone writes."""
        self.fresh()
        self.note("original")
        self.mtag("scan", self.library).check()
        shutil.copy(self.catalog, self.seed)
        self.events = self.mtag("scan", self.library, "--write-tags").check().events
        self.note("tagged")
        for name, states in self.states.items():
            wrong = harm(states["original"], states["tagged"])
            expect(wrong is None, f"{name} {wrong} in a scan that was left alone")
            expect(states["tagged"] != states["original"], f"{name} was not written")
        self.fresh()

    def note(self, state: str) -> None:
        """Remember how every file is now."""
        for name in self.names():
            self.states.setdefault(name, {})[state] = portray(self.library / name)

    def judge(self, *allowed: str, names: Iterable[str] | None = None) -> dict[str, str]:
        """The state that each file is in; a defect unless it is wholly in one of those allowed."""
        found = {}
        for name in self.names() if names is None else names:
            try:
                now = portray(self.library / name)
            except Exception as error:
                raise Defect(f"{name} cannot be read any more: {error!r}") from error
            state = next((state for state in allowed if self.states[name][state] == now), None)
            if state is None:
                raise Defect(f"{name} is neither {' nor '.join(allowed)}: {self._difference(name, allowed[0], now)}")
            found[name] = state
        return found

    def _difference(self, name: str, state: str, now: Portrait) -> str:
        then = self.states[name][state]
        if wrong := harm(then, now):
            return wrong
        lost, new = (Counter(one.items) - Counter(other.items) for one, other in ((then, now), (now, then)))
        if lost or new:
            return f"of what was {state} it lacks {[*lost]!r:.900}, and it has {[*new]!r:.900}"
        return f"its items are in another order, {[item.key for item in now.items]}, or mutagen reads them differently"

    def expect_no_litter(self) -> None:
        """Only the library's own files may be there."""
        files = (path for path in self.library.rglob("*") if path.is_file() and path.name != BALLAST)
        there = sorted(str(path.relative_to(self.library)) for path in files)
        expect(there == self.names(), f"left behind: {sorted(set(there) ^ set(self.names()))}")
        catalog = {f"{self.catalog.name}{suffix}" for suffix in ("", "-wal", "-shm")}
        beside = {path.name for path in self.catalog.parent.iterdir()} - catalog
        expect(not beside, f"left beside the catalog: {beside}")

    # The catalog, by plain SQLite and on a copy

    def catalog_rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the catalog as it lies on the disk."""
        copy = self.root / "look" / self.catalog.name
        shutil.rmtree(copy.parent, ignore_errors=True)
        shutil.copytree(self.catalog.parent, copy.parent)
        connection = sqlite3.connect(copy)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def expect_sound_catalog(self) -> None:
        """The catalog has to be whole at any instant."""
        if self.catalog.exists():
            expect(self.catalog_rows("PRAGMA integrity_check") == [("ok",)], "the catalog is damaged")
        aside = [path.name for path in self.catalog.parent.glob("*.corrupt-*")]
        expect(not aside, f"the catalog was moved aside: {aside}")

    def runs(self) -> list[int]:
        """Numbers of the runs in the catalog, newest first."""
        return [row[0] for row in self.catalog_rows("SELECT id FROM runs ORDER BY id DESC")]

    # Mtag

    def mtag(self, *arguments: str | Path, **fate: Any) -> Ended:
        """Run a command to its end."""
        return self.start(*arguments, **fate).wait()

    def start(
        self, *arguments: str | Path, catalog: Path | None = None, limits: Sequence[int] | None = None, **fate: Any
    ) -> Running:
        """Start a command; `fate` as `Fate` has it, `limits` the size that no file may pass."""
        reader, tally = os.pipe()
        os.set_blocking(tally, False)
        told = [str(argument) for argument in arguments]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
            "MTAG_WEIGHTS": str(self.bundle),
            "MTAG_CATALOG": str(catalog or self.catalog),
            "MTAG_CONFIG": os.devnull,
            "VICTIM": Fate(str(self.root), tally, **fate).to_json(),
        }
        command = [sys.executable, "-m", "tests.victim", *told]
        if limits:
            command = [sys.executable, "-c", LIMITED, *map(str, limits), *command]
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[tally],
            start_new_session=True,
        )
        os.close(tally)
        return Running(tuple(told), process, reader)


# Sets a limit to the size of files, and becomes the command.
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass
class Running:
    """A command at work."""

    arguments: tuple[str, ...]
    process: subprocess.Popen[bytes]
    tally: int  # the end of the pipe that a byte comes from at each instant of writing
    events: int = 0

    def await_event(self) -> bool:
        """Wait for the next instant of writing; whether there was one."""
        heard = len(os.read(self.tally, 1))
        self.events += heard
        return bool(heard)

    def kill_after(self, seconds: float) -> None:
        """Kill it so long after its first instant of writing, wherever it is then."""
        self.await_event()
        time.sleep(seconds)
        self.process.kill()

    def wait(self) -> Ended:
        """Take its output until it ends; none of its helpers may outlive it."""
        try:
            out, err = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired as late:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise Defect(f"mtag {' '.join(self.arguments)} hangs") from late
        while read := len(os.read(self.tally, 1 << 16)):
            self.events += read
        os.close(self.tally)
        self._expect_no_orphans()
        return Ended(self.arguments, self.process.returncode, out, err, self.events)

    def _expect_no_orphans(self) -> None:
        deadline = time.monotonic() + FAREWELL
        while _is_alive(self.process.pid):
            if time.monotonic() > deadline:
                os.killpg(self.process.pid, signal.SIGKILL)
                raise Defect(f"mtag {' '.join(self.arguments)} left helpers behind")
            time.sleep(0.02)


def _is_alive(group: int) -> bool:
    """Whether a process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
