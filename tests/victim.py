"""Mtag as a process that counts its writing, and is killed or stopped at a chosen instant of it.

    VICTIM='{...}' python -m tests.victim scan FOLDER --write-tags

The environment's VICTIM holds a `Fate` as JSON. The instants are those of Python's audit events that change files, and
between two of them the lines that mtag executes.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any

import mtag

CHANGES = frozenset(
    {"fcntl.flock", "fcntl.ioctl", "open", "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename"}
    | {"os.setxattr", "os.truncate", "os.utime", "shutil.copystat", "sqlite3.connect"}
)
TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
HOME = os.path.dirname(mtag.__file__)


@dataclass(frozen=True)
class Fate:
    """What is to happen to a process, and when."""

    folder: str  # only what changes under it counts
    tally: int  # a file descriptor that is written a byte to at each event
    event: int | None = None  # at which event; None only counts
    lines: int = 0  # so many lines of mtag after it
    signal: int = 9  # what the process sends to itself
    names: tuple[str, ...] = tuple(sorted(CHANGES))  # the events that count
    humble: bool = False  # give up root's powers over other people's files

    def to_json(self) -> str:
        """For the environment."""
        return json.dumps(asdict(self))


class _Clock:
    """Counts events, then lines, then strikes."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.folder = os.fsencode(fate.folder)
        self.events = 0
        self.lines = 0
        self.pid = os.getpid()

    def hear(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name not in CHANGES or name not in self.fate.names or not self._counts(name, arguments):
            return
        with contextlib.suppress(OSError):
            os.write(self.fate.tally, b".")
        if self.events == self.fate.event:
            self._count_lines()
        self.events += 1

    def _counts(self, name: str, arguments: tuple[Any, ...]) -> bool:
        if os.getpid() != self.pid or (name == "open" and not arguments[2] & TO_WRITE):
            return False
        path = arguments[0] if arguments else None
        if isinstance(path, (str, bytes, os.PathLike)):
            return os.path.abspath(os.fsencode(path)).startswith(self.folder)
        return True

    def _count_lines(self) -> None:
        if self.fate.lines == 0:
            self._strike()
            return
        sys.settrace(self._trace)
        frame: FrameType | None = sys._getframe()
        while frame := frame and frame.f_back:
            frame.f_trace = self._trace(frame, "call", None)

    def _trace(self, frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(HOME):
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.fate.lines:
                sys.settrace(None)
                self._strike()
        return self._trace

    def _strike(self) -> None:
        os.kill(self.pid, self.fate.signal)


def give_up_powers() -> None:
    """Let Linux treat root like anybody else where permissions are concerned."""
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, nothing):
        raise OSError(ctypes.get_errno(), "capset")


if __name__ == "__main__":
    from mtag.cli.entry import main

    told = json.loads(os.environ.pop("VICTIM"))
    fate = Fate(**{**told, "names": tuple(told["names"])})
    if fate.humble:
        give_up_powers()
    sys.addaudithook(_Clock(fate).hear)
    main()
