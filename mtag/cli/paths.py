"""The files that a person means: paths on the command line, or a list of them on standard input."""

from __future__ import annotations

import codecs
import os
import sys
import threading
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from mtag.cli.options import STDIN
from mtag.errors import FileError
from mtag.walk import find_files

PLAYLIST = b"#EXTM3U"  # begins an M3U playlist, in which lines with # are comments


def find_named(
    paths: Sequence[Path], stop: threading.Event | None = None, *, every_name: bool = False
) -> list[Path | FileError]:
    """All audio files under the paths on the command line, as far as the search gets before `stop` is set.

    The path `-` stands for those on standard input: one a line or, where it has NUL bytes, one between any two.
    `every_name` is as for `find_files`.
    """
    named = [path for given in paths for path in (_listed() if given == STDIN else [given])]
    return list(takewhile(lambda _: not (stop and stop.is_set()), find_files(named, every_name=every_name)))


def _listed() -> list[Path]:
    content = sys.stdin.buffer.read().removeprefix(codecs.BOM_UTF8) if sys.stdin else b""
    names = content.split(b"\0") if b"\0" in content else content.replace(b"\r\n", b"\n").split(b"\n")
    if names[0].startswith(PLAYLIST):
        names = [name for name in names if not name.startswith(b"#")]
    return [Path(os.fsdecode(name)) for name in names if name]
