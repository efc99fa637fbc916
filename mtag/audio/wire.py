"""What a decoder's process and the one that hears say to each other: tasks one way, messages the other."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

MAX_BYTES = 1 << 26  # in one message: far more than any has that a sound process sends

_HEADER = struct.Struct("<cI")  # kind and bytes that follow

Read = Callable[[int], bytearray]  # gives just as many bytes as it is asked for


class Job(str, Enum):
    """What can be asked of a decoder."""

    BLOCKS = "blocks"
    DIGEST = "digest"
    SPREAD = "spread"


class Kind(bytes, Enum):
    """What a message is, and what follows its header."""

    UNABLE = b"U"  # text: why the process cannot start
    READY = b"R"  # nothing: the process has started
    ALIVE = b"A"  # nothing: more of the file has been read
    SAMPLES = b"S"  # float32
    LENGTH = b"L"  # float64: the track's, in seconds; before the samples of a stretch
    DIGEST = b"D"  # ASCII
    END = b"E"  # nothing: the task is done
    FAILURE = b"F"  # JSON: kind and reason of a FileError
    CRASH = b"C"  # JSON: an unforeseen exception in a sentence, and its traceback


@dataclass(frozen=True)
class Task:
    """One file, and what to do with it."""

    job: Job
    path: str
    n_windows: int = 0  # with SPREAD

    def to_line(self) -> bytes:
        """One line of ASCII, whatever the name."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Task:
        """Read a line that `to_line` wrote."""
        values = json.loads(line)
        return cls(Job(values["job"]), values["path"], values["n_windows"])

    @classmethod
    def of(cls, job: Job, path: Path, n_windows: int = 0) -> Task:
        """A task for a process whose working folder may be another."""
        return cls(job, str(path.absolute()), n_windows)


def header(kind: Kind, n_bytes: int) -> bytes:
    """The head of a message."""
    return _HEADER.pack(kind.value, n_bytes)


def read_message(read: Read) -> tuple[Kind, bytearray]:
    """Read one message.

    Raises
    ------
    EOFError
        What comes is no message; `read` raises it where the other side is gone.
    """
    kind, size = _HEADER.unpack(read(_HEADER.size))
    if kind not in _KINDS or size > MAX_BYTES:
        raise EOFError
    return _KINDS[kind], read(size)


_KINDS = {kind.value: kind for kind in Kind}
