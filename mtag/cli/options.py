"""Arguments and options that several commands share."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtag.cli.command import CONFIG
from mtag.players import PLAYERS
from mtag.tagfile import GenrePolicy, HardLinks, Mtime

if TYPE_CHECKING:
    from mtag.config import Config


class Device(str, Enum):
    """Where the networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    COREML = "coreml"
    DIRECTML = "directml"


class Precision(str, Enum):
    """What the networks compute in."""

    AUTO = "auto"
    FP32 = "fp32"
    INT8 = "int8"


STDIN = Path("-")  # stands for the paths on standard input


def path(text: str) -> Path:
    """A path on the command line.

    An empty one, of a variable that is not set, would mean the current folder to the system. `./-` is a file.
    """
    if not text:
        raise typer.BadParameter("a path is empty; . is the current folder")
    given = Path(text)
    return Path.cwd() / given if given == STDIN and text != str(STDIN) else given


Paths = Annotated[
    list[Path],
    typer.Argument(metavar="PATH", parser=path, help="Files and folders; - reads a list of them from standard input."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        help="Pass over files and folders of this name, or of this path below PATH; may be repeated.",
    ),
]
Fast = Annotated[bool, typer.Option("--fast", help="Hear with Models 1 and 2 only, in three quarters of the time.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for programs.")]
Weights = Annotated[
    Path | None, typer.Option("--weights", metavar="DIR", help="Use this bundle of weights, not the one that ships.")
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where the networks run.")]
PrecisionOption = Annotated[
    Precision, typer.Option("--precision", help="What the networks compute in; auto is int8 on a CPU, else fp32.")
]
WriteTags = Annotated[bool, typer.Option("--write-tags", help="Write; without it, only show what would be written.")]
Genre = Annotated[
    GenrePolicy, typer.Option("--genre", help="What to do with a file's own genres; fill keeps all that say something.")
]
Top = Annotated[
    int | None, typer.Option("--top", metavar="N", min=1, help="At most N words in each field but the genre.")
]
MinScore = Annotated[
    float | None,
    typer.Option("--min-score", metavar="X", min=0, max=1, help="One threshold for all tags, in place of their own."),
]
For = Annotated[
    str | None,
    typer.Option("--for", metavar="PLAYER", help=f"Write as it reads best: {', '.join(PLAYERS)}, or one of your own."),
]
MtimeOption = Annotated[
    Mtime, typer.Option("--mtime", help="The time stamp of a written file: now, as it was, or two seconds later.")
]
HardLinksOption = Annotated[
    HardLinks,
    typer.Option("--hardlinks", help="A hard-linked file: leave it alone, write under all its names, or break it off."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be written.")]
Windows = Annotated[
    int | None,
    typer.Option("--windows", metavar="N", min=1, help="Hear only N windows of 29 s, spread over each track."),
]
Nice = Annotated[
    int, typer.Option("--nice", metavar="N", min=0, max=19, help="Let other programs go first: 19 is the most polite.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show only what failed, and the summary.")]
CatalogFile = Annotated[
    Path | None, typer.Option("--catalog", metavar="FILE", help="Where scores and before-values are kept.")
]


def config_of(context: typer.Context) -> Config:
    """The configuration that a command runs with."""
    config: Config = context.meta[CONFIG]
    return config


def asked(context: typer.Context, **others: object) -> str:
    """What was asked of a command otherwise than by default, on the command line or in the configuration: JSON."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    names = [name for name, source in sources.items() if source and source.name != "DEFAULT"]
    return json.dumps({**{name: context.params[name] for name in names}, **others}, default=str)
