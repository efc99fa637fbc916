"""One process that decodes, as the thread that waits for it sees it, and the watchdog over all of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, cast

from mtag.audio.wire import Kind, Task, read_message
from mtag.errors import DecoderError, FailureKind, FileError

START_PATIENCE = 4  # times the usual patience, for the first sign of life: the disk may be cold
TICKS = 20  # times that a watchdog looks within its patience

# The process finds its modules where this one does, and nothing in the folder that it happens to run in. Service
# managers ask every process to end; the owner has uses for this one until it has come to its own end.
_CODE = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
entry, *sys.path = sys.argv[1:]
from importlib import import_module
try:
    main = import_module(entry).main
except Exception as error:
    reason = f"{type(error).__name__}: {error}".encode("utf-8", "replace")
    sys.stdout.buffer.write(b"U" + len(reason).to_bytes(4, "little") + reason)
    sys.exit(1)
main()
"""

# The terminal's Ctrl-C is for the owner alone. A process group is better than a session for that: Linux may share time
# out by sessions (autogroup), and the process would then not be as nice as its owner.
_APART: dict[str, Any]
if sys.platform == "win32":
    _APART = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
elif sys.version_info >= (3, 11):
    _APART = {"process_group": 0}
else:
    _APART = {"start_new_session": True}


class DiedError(Exception):
    """A process has ended in the middle of a task; the text is a predicate about the file that it was reading."""


class RemoteError(Exception):
    """An unforeseen exception in a process; the text is its traceback."""


class Process:
    """A process that takes one task after another.

    Parameters
    ----------
    entry
        The module that runs in it.

    Attributes
    ----------
    n_tasks
        How many it was given.
    is_free
        It waits for a task. One that does not, outside of `run`, was left in the middle of its work.
    is_stalled
        It was ended because it gave no sign of life.
    """

    def __init__(self, entry: str) -> None:
        self.n_tasks = 0
        self.is_free = True
        self.is_stalled = False
        self._is_ready = False
        self._is_awaited = False
        self._waited = 0.0  # seconds since its last sign of life, while a thread waits for one
        self._lock = threading.Lock()
        if not sys.executable or getattr(sys, "frozen", False):  # what is there would start the whole program again
            raise DecoderError("no process for decoding can be started: this program has no Python of its own to run")
        self._popen = subprocess.Popen(
            [sys.executable, "-c", _CODE, entry, *sys.path],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a dying library's last words
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            **_APART,
        )

    @property
    def pid(self) -> int:
        """The system's number of it."""
        return self._popen.pid

    def run_ahead(self, n_bytes: int) -> None:
        """Let it write so much ahead of the thread that listens to it, where the system allows that.

        At first it is what a pipe holds, 1 s of sound on Linux.
        """
        if sys.platform == "linux":
            import fcntl

            with suppress(OSError):  # the administrator allows less, or this user's pipes hold much already
                fcntl.fcntl(self._pipes[1], fcntl.F_SETPIPE_SZ, n_bytes)

    def run(self, task: Task, path: Path) -> Iterator[bytearray]:
        """Hand it a task, and give the contents of the messages that answer.

        Raises
        ------
        FileError
            What the process found wrong with the file.
        DiedError
            The process is gone.
        DecoderError
            It was never really there.
        """
        self.n_tasks += 1
        self.is_free = False
        try:
            self._pipes[0].write(task.to_line())
            while (message := self._next_message())[0] is not Kind.END:
                kind, content = message
                if kind is Kind.UNABLE:
                    reason = content.decode()
                    raise DecoderError(f"no process for decoding can be started: {sys.executable}: {reason}")
                if kind is Kind.FAILURE:
                    self.is_free = True
                    name, reason = json.loads(content)
                    raise FileError(path, FailureKind(name), reason)
                if kind is Kind.CRASH:
                    reason, traceback = json.loads(content)
                    raise FileError(path, FailureKind.CRASH, reason) from RemoteError(traceback)
                if kind in (Kind.SAMPLES, Kind.LENGTH, Kind.DIGEST):
                    yield content
        except (EOFError, OSError):
            raise self._death() from None
        self.is_free = True

    def lose_patience(self, seconds: float, patience: float) -> None:
        """Count time that has passed; end the process where a thread has waited too long for a sign of life."""
        with self._lock:
            self._waited += seconds if self._is_awaited else 0
            if self._is_awaited and self._waited > patience * (1 if self._is_ready else START_PATIENCE):
                self.is_stalled = True
                self._popen.kill()  # the thread that waits sees the end of the pipe

    def kill(self) -> None:
        """End it while another thread waits for it."""
        self._popen.kill()

    def end(self) -> None:
        """End it, and clear away."""
        self._popen.kill()
        self._popen.wait()
        for pipe in self._pipes:
            pipe.close()

    def disown(self) -> None:
        """Let go of it in a child that a fork has made: it is the parent's, and ends with that."""
        self._popen.returncode = 0  # nobody here may wait for it or kill it
        for pipe in self._pipes:
            pipe.close()

    @property
    def _pipes(self) -> tuple[FileIO, FileIO]:
        return cast("FileIO", self._popen.stdin), cast("FileIO", self._popen.stdout)

    def _next_message(self) -> tuple[Kind, bytearray]:
        with self._lock:
            self._waited, self._is_awaited = 0, True
        message = read_message(self._read)
        with self._lock:
            self._is_awaited, self._is_ready = False, True
        return message

    def _read(self, n_bytes: int) -> bytearray:
        content = bytearray(n_bytes)
        rest = memoryview(content)
        while rest and (n_read := self._pipes[1].readinto(rest)):
            rest = rest[n_read:]
        if rest:
            raise EOFError
        return content

    def _death(self) -> DiedError | DecoderError:
        code = self._popen.wait()
        if self.is_stalled:
            return DiedError("stalled its decoder")
        if not self._is_ready:
            return DecoderError(f"no process for decoding can be started: {sys.executable} {_ending(code)}")
        return DiedError(f"killed its decoder, which {_ending(code)}")


class Watchdog:
    """Ends processes that a thread has waited for in vain.

    Time counts only while this one runs: a machine that sleeps, or a stopped shell job, is nobody's fault.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._watched: set[Process] = set()
        self._thread: threading.Thread | None = None

    def add(self, process: Process) -> None:
        """Watch a process."""
        with self._lock:
            self._watched.add(process)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="mtag-watchdog", daemon=True)
                self._thread.start()

    def discard(self, process: Process) -> None:
        """Watch it no more."""
        with self._lock:
            self._watched.discard(process)

    def stop(self) -> None:
        """Watch nothing any more."""
        self._stopped.set()

    def _watch(self) -> None:
        tick = self._patience / TICKS
        while not self._stopped.wait(tick):
            with self._lock:
                watched = list(self._watched)
            for process in watched:
                process.lose_patience(tick, self._patience)


def _ending(code: int) -> str:
    """How a process ended, as a predicate about it."""
    if code < 0:
        with suppress(ValueError):
            return f"ended with {signal.Signals(-code).name} ({signal.strsignal(-code)})"
    return f"ended with exit code {code if code < 256 else hex(code)}"  # Windows tells in hexadecimal what happened
