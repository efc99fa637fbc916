"""Decoding in processes of its own, so that a file that kills or hangs a decoder costs that file alone.

NumPy is imported where the first sound arrives, so that processes can start, on other cores, before it and much else
is loaded.
"""

from __future__ import annotations

import os
import struct
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mtag.audio.process import DiedError, Process, Watchdog
from mtag.audio.wire import Job, Task
from mtag.cores import all_cores
from mtag.errors import DecoderError, FailureKind, FileError

if TYPE_CHECKING:
    from mtag.audio.mix import Waveform
    from mtag.audio.spread import Stretch

WORKER = "mtag.audio.worker"  # the module that runs in a process
PATIENCE_SECONDS = 30.0  # without a sign of life, before a process is ended
AHEAD_BYTES = 1 << 20  # of sound, 16 s: all that Linux lets an ordinary user's pipe hold
ALL_AHEAD_BYTES = 1 << 24  # in all pipes: a quarter of what Linux lets a user's hold before it cuts new ones
TASKS_A_PROCESS = 500  # then a fresh one takes over, and whatever the old one has leaked is gone


class Decoders:
    """Processes that decode: as many as threads ask at once. A context manager, safe to share between threads.

    A process serves one file after another. One that dies costs the file that it was reading, and only if a fresh
    process dies of that file too; one that gives no sign of life is ended. All end when this object is closed, or with
    the process that owns it, however that ends. After a fork the child starts processes of its own.

    Parameters
    ----------
    worker
        Another module than the usual one.
    patience
        Seconds without a sign of life.
    ahead
        Bytes of sound, float32, that each process may run ahead of its thread: all cores are busy then, but a single
        thread with its process also takes more than one.
    """

    def __init__(self, worker: str | None = None, patience: float | None = None, ahead: int = 0) -> None:
        self._worker = worker or WORKER
        self._patience = patience or PATIENCE_SECONDS
        self._ahead = ahead
        self._closed = False
        self._all: set[Process] = set()
        self._begin()
        _EVERY.add(self)

    def _begin(self) -> None:
        self._watchdog = Watchdog(self._patience)
        self._lock = threading.Lock()
        self._idle: list[Process] = []

    def after_fork(self) -> None:
        """Part with the processes: they serve the parent, and two who listen to one would get each other's sound."""
        for process in self._all:
            process.disown()
        self._all.clear()
        self._begin()

    @classmethod
    def for_jobs(cls, jobs: int) -> Decoders:
        """Decoders for so many tracks heard at once; they run ahead where these are to take all cores."""
        # Whoever asks for fewer jobs than cores wants the others left alone.
        return cls(ahead=min(AHEAD_BYTES, ALL_AHEAD_BYTES // jobs) if jobs >= all_cores() else 0)

    def __enter__(self) -> Decoders:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes, those at work too."""
        with self._lock:
            self._closed = True
            idle, at_work = set(self._idle), self._all - set(self._idle)
            self._idle.clear()
            self._all.clear()
        self._watchdog.stop()
        for process in at_work:
            process.kill()  # the thread that waits for it notices, and clears away
        for process in idle:
            process.end()

    @property
    def processes(self) -> tuple[Process, ...]:
        """Those that there are, idle or at work."""
        with self._lock:
            return tuple(self._all)

    def prepare(self, n_processes: int = 1) -> None:
        """Start processes ahead of their first tasks, until there are so many."""
        for _ in range(len(self._all), n_processes):
            self._give_back(self._start())

    def read_blocks(self, path: Path) -> Iterator[Waveform]:
        """As `mtag.audio.decode.read_blocks`, in another process.

        Raises
        ------
        FileError
            As there, and crash: the file has killed or stalled its decoder.
        DecoderError
            No process can be started.
        """
        import numpy as np

        for content in self._answers(Task.of(Job.BLOCKS, path), path):
            yield np.frombuffer(content, np.float32)

    def read_spread(self, path: Path, n_windows: int) -> Iterator[Stretch]:
        """As `mtag.audio.spread.read_spread`, in another process; raises as `read_blocks`."""
        import numpy as np

        from mtag.audio.spread import Stretch

        answers = self._answers(Task.of(Job.SPREAD, path, n_windows), path)
        for length in answers:
            yield Stretch(np.frombuffer(next(answers), np.float32), struct.unpack("<d", length)[0])

    def packet_digest(self, path: Path) -> str:
        """As `mtag.audio.decode.packet_digest`, in another process; raises as `read_blocks`."""
        return b"".join(self._answers(Task.of(Job.DIGEST, path), path)).decode()

    def _answers(self, task: Task, path: Path) -> Iterator[bytearray]:
        """What a task gives. Where a used process dies, a former file may be to blame: a fresh one tries again."""
        n_given, has_died = 0, False
        while True:
            process = self._start() if has_died else self._take()
            try:
                for number, content in enumerate(process.run(task, path)):
                    if number >= n_given:  # the second time, what was given already is the same
                        n_given += 1
                        yield content
                return
            except DiedError as death:
                if process.is_stalled:
                    reason = f"{death}: no sign of life for {self._patience:g} s"
                    raise FileError(path, FailureKind.CRASH, reason) from death
                if process.n_tasks == 1 or self._closed:
                    raise FileError(path, FailureKind.CRASH, str(death)) from death
                has_died = True
            finally:
                self._give_back(process)

    def adopt(self, process: Process) -> None:
        """Take in a process of `WORKER` that has been started already, and had no task yet."""
        self._welcome(process)
        self._give_back(process)

    def _take(self) -> Process:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._start()

    def _start(self) -> Process:
        try:
            process = Process(self._worker)
        except OSError as error:
            raise DecoderError(f"no process for decoding can be started ({error.strerror})") from error
        self._welcome(process)
        return process

    def _welcome(self, process: Process) -> None:
        if self._ahead:
            process.run_ahead(self._ahead)
        with self._lock:
            self._all.add(process)
        self._watchdog.add(process)

    def _give_back(self, process: Process) -> None:
        """Keep a process for the next task, or end it: in the middle of a task it is of no use any more."""
        with self._lock:
            if process.is_free and process.n_tasks < TASKS_A_PROCESS and not self._closed:
                self._idle.append(process)
                return
            self._all.discard(process)
        self._watchdog.discard(process)
        process.end()


_EVERY: weakref.WeakSet[Decoders] = weakref.WeakSet()


def _after_fork() -> None:
    for decoders in list(_EVERY):
        decoders.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
