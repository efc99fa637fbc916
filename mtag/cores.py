"""The processor cores of this machine."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")  # where Linux tells what groups of processes may use, a container's among them
OWN_GROUP = Path("/proc/self/cgroup")


def all_cores() -> int:
    """Cores that this process may use; where a container or service gets a share of their time, as many as that is."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([n_cores, *map(math.ceil, _shares())]))


def _shares() -> Iterator[float]:
    """The cores' worth of time that this process's groups may use, as far as they are limited."""
    with suppress(OSError, ValueError):
        for line in OWN_GROUP.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if not controllers:  # version 2
                for group in _up(GROUPS, name):
                    yield from _share(group / "cpu.max")
            elif "cpu" in controllers.split(","):  # version 1
                for group in _up(GROUPS / controllers, name):
                    yield from _share(group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us")


def _up(root: Path, name: str) -> Iterator[Path]:
    """A group and those around it; a container may see its own as the root, by whatever name."""
    group = root / name.lstrip("/")
    while group != root and root in group.parents:
        yield group
        group = group.parent
    yield root


def _share(*files: Path) -> Iterator[float]:
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = " ".join(file.read_text() for file in files).split()
        if float(quota) > 0:  # "max" is no number, -1 is no limit
            yield float(quota) / float(period)
