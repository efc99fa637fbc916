"""A command, run and watched: how long it took, when its lines came, and the memory of all its processes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOOK_SECONDS = 0.5  # between two looks at the memory: each takes 6 ms of a core that the run may want


@dataclass(frozen=True)
class Run:
    """What a run cost."""

    seconds: float  # of wall time, from the start of the process to its end
    cpu_seconds: float  # of all its processes
    peak_mb: float  # proportional set size of all its processes: shared pages count once
    moments: tuple[float, ...]  # when each line of standard output came, in seconds from the start
    output: str

    @property
    def seconds_a_line(self) -> float:
        """Time from line to line, start-up left out."""
        return (self.moments[-1] - self.moments[0]) / (len(self.moments) - 1)


def run(*command: str | Path, environment: dict[str, str] | None = None) -> Run:
    """Run this Python with some arguments in the repository's root.

    Raises
    ------
    CalledProcessError
        It did not end well.
    """
    before = os.times()
    began = time.perf_counter()
    moments, lines = [], []
    with subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
    ) as process:
        memory = _Memory(process.pid)
        assert process.stdout
        for line in process.stdout:
            moments.append(time.perf_counter() - began)
            lines.append(line)
    seconds = time.perf_counter() - began
    memory.stop()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, [str(part) for part in command])
    after = os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Run(seconds, cpu, memory.peak / 1e6, tuple(moments), "".join(lines))


class _Memory:
    """A thread that adds up the memory of a process and its descendants; Linux only, else it sees nothing."""

    def __init__(self, pid: int) -> None:
        self.peak = 0  # bytes
        self._pid = pid
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            self.peak = max(self.peak, sum(map(_memory_of, _family(self._pid))))


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return [pid]
    return [pid, *(descendant for child in children for descendant in _family(child))]


def _memory_of(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    return 0


def machine() -> str:
    """What the figures were measured on, for the page that keeps them."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ", ".join(f"{name} {_version(name)}" for name in ("av", "soxr", "numpy", "onnxruntime"))
    return f"{model}, {cores} cores; {platform.system()}, Python {platform.python_version()}, {packages}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
