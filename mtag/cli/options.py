"""Arguments and options that several commands share."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Device(str, Enum):
    """Where the networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    COREML = "coreml"
    DIRECTML = "directml"


Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH", help="Files and folders; - reads a list of them from standard input.")
]
Fast = Annotated[bool, typer.Option("--fast", help="Hear with Models 1 and 2 only: twice as fast, a little less sure.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for programs.")]
Weights = Annotated[
    Path | None, typer.Option("--weights", metavar="DIR", help="Another bundle of weights than the one that ships.")
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where the networks run.")]


def all_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
