"""Decoding in processes of its own, so that a file that kills or hangs a decoder costs that file alone."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from mtag.audio.decode import Waveform
from mtag.audio.process import DiedError, Process, Watchdog
from mtag.audio.spread import Stretch
from mtag.audio.wire import Job, Task
from mtag.errors import DecoderError, FailureKind, FileError

WORKER = "mtag.audio.worker"  # the module that runs in a process
PATIENCE_SECONDS = 30.0  # without a sign of life, before a process is ended
TASKS_A_PROCESS = 500  # then a fresh one takes over, and whatever the old one has leaked is gone


class Decoders:
    """Processes that decode: as many as threads ask at once. A context manager, safe to share between threads.

    A process serves one file after another. One that dies costs the file that it was reading, and only if a fresh
    process dies of that file too; one that gives no sign of life is ended. All end with this object, or with the
    process that owns it, however that ends.

    Parameters
    ----------
    worker
        Another module than the usual one.
    patience
        Seconds without a sign of life.
    ahead
        The processes may run some seconds ahead of the threads: all cores are busy then, but a single thread with its
        process also takes more than one.
    """

    def __init__(self, worker: str | None = None, patience: float | None = None, ahead: bool = False) -> None:
        self._worker = worker or WORKER
        self._patience = patience or PATIENCE_SECONDS
        self._ahead = ahead
        self._watchdog = Watchdog(self._patience)
        self._lock = threading.Lock()
        self._idle: list[Process] = []
        self._all: set[Process] = set()
        self._closed = False

    def __enter__(self) -> Decoders:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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

    def prepare(self) -> None:
        """Start a process ahead of its first task, unless there is one."""
        if not self._all:
            self._give_back(self._start())

    def read_blocks(self, path: Path) -> Iterator[Waveform]:
        """As `mtag.audio.read_blocks`, in another process.

        Raises
        ------
        FileError
            As there, and crash: the file has killed or stalled its decoder.
        DecoderError
            No process can be started.
        """
        for content in self._answers(Task.of(Job.BLOCKS, path), path):
            yield np.frombuffer(content, np.float32)

    def read_spread(self, path: Path, n_windows: int) -> Iterator[Stretch]:
        """As `mtag.audio.read_spread`, in another process; raises as `read_blocks`."""
        answers = self._answers(Task.of(Job.SPREAD, path, n_windows), path)
        for length in answers:
            yield Stretch(np.frombuffer(next(answers), np.float32), struct.unpack("<d", length)[0])

    def packet_digest(self, path: Path) -> str:
        """As `mtag.audio.packet_digest`, in another process; raises as `read_blocks`."""
        return b"".join(self._answers(Task.of(Job.DIGEST, path), path)).decode()

    def _answers(self, task: Task, path: Path) -> Iterator[bytearray]:
        """What a task gives. Where a used process dies, a former file may be to blame: a fresh one tries again."""
        n_given = 0
        while True:
            process = self._take()
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
            finally:
                self._give_back(process)

    def _take(self) -> Process:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._start()

    def _start(self) -> Process:
        try:
            process = Process(self._worker, self._ahead)
        except OSError as error:
            raise DecoderError(f"no process for decoding can be started ({error.strerror})") from error
        with self._lock:
            self._all.add(process)
        self._watchdog.add(process)
        return process

    def _give_back(self, process: Process) -> None:
        """Keep a process for the next task, or end it: in the middle of a task it is of no use any more."""
        with self._lock:
            if process.is_free and process.n_tasks < TASKS_A_PROCESS and not self._closed:
                self._idle.append(process)
                return
            self._all.discard(process)
        self._watchdog.discard(process)
        process.end()
