"""A process that decodes for another: whatever a file does to it, the other lives on.

Tasks come in as lines on standard input, and messages go out on what was standard output. When the input ends, so
does the process, even in the middle of a task: nobody is left who would want its end.
"""

from __future__ import annotations

import gc
import json
import os
import queue
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from mtag.audio.decode import Progressed, packet_digest, read_blocks
from mtag.audio.mix import Waveform
from mtag.audio.spread import read_spread
from mtag.audio.wire import Job, Kind, Task, header
from mtag.errors import FileError

MEMORY_LIMIT = 1 << 30  # bytes that a file may take beyond what the process takes without it
ALIVE_SECONDS = 1.0  # at most so often it is said that a file is being read

for library in ("av.filter", "soxr"):  # decoding imports them when it needs them; here it is certain that it will
    import_module(library)


class Channel:
    """The way messages go out."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._sent = 0.0  # when, on the monotonic clock

    def send(self, kind: Kind, content: bytes | memoryview = b"") -> None:
        """Send a message, however long the other side takes to read it."""
        size = memoryview(content).nbytes
        self._write(memoryview(header(kind, size)))
        if size:
            self._write(memoryview(content).cast("B"))
        self._sent = time.monotonic()

    def alive(self) -> None:
        """Say that the work goes on, where that has not been said for a while."""
        if time.monotonic() - self._sent > ALIVE_SECONDS:
            self.send(Kind.ALIVE)

    def _write(self, rest: memoryview) -> None:
        while rest.nbytes:
            rest = rest[self._file.write(rest) :]


Decode = Callable[[Path, Progressed], Iterator[Waveform]]


def main(decode: Decode = read_blocks) -> None:
    """Serve until the input ends."""
    channel = Channel(os.dup(sys.stdout.fileno()))
    _silence_output()
    _limit_resources()
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(tasks,), daemon=True).start()
    gc.disable()  # decoding makes tens of thousands of objects a track, and hardly a cycle
    gc.freeze()  # what is here now stays, and need not be looked through after each file
    channel.send(Kind.READY)
    while True:
        _serve(tasks.get(), channel, decode)
        gc.collect()


def _receive(tasks: queue.SimpleQueue[Task]) -> None:
    for line in sys.stdin.buffer:
        tasks.put(Task.from_line(line))
    os._exit(0)


def _serve(task: Task, channel: Channel, decode: Decode) -> None:
    path = Path(task.path)
    try:
        if task.job is Job.DIGEST:
            channel.send(Kind.DIGEST, packet_digest(path, channel.alive).encode())
        elif task.job is Job.SPREAD:
            for stretch in read_spread(path, task.n_windows, channel.alive):
                channel.send(Kind.LENGTH, struct.pack("<d", stretch.track_seconds))
                channel.send(Kind.SAMPLES, stretch.window.data)
        else:
            for block in decode(path, channel.alive):
                channel.send(Kind.SAMPLES, block.data)
    except FileError as error:
        channel.send(Kind.FAILURE, json.dumps([error.kind.value, error.reason]).encode())
    except MemoryError:
        reason = f"asks for more than the {MEMORY_LIMIT >> 30} GB of memory that a file may take"
        channel.send(Kind.CRASH, json.dumps([reason, traceback.format_exc()]).encode())
    except Exception as error:
        reason = f"stopped its decoder with {type(error).__name__}: {error}"
        channel.send(Kind.CRASH, json.dumps([reason, traceback.format_exc()]).encode())
    else:
        channel.send(Kind.END)


def _silence_output() -> None:
    """Keep what libraries print away from the messages."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def _limit_resources() -> None:
    """Let a file that asks for too much memory fail, rather than the whole machine; only Linux does so."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a decoder that dies leaves no litter
    if sys.platform != "linux":
        return
    n_pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = n_pages * resource.getpagesize() + MEMORY_LIMIT
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


if __name__ == "__main__":
    main()
