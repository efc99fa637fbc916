"""The files that a person means: paths on the command line, or a list of them on standard input."""

from __future__ import annotations

import codecs
import os
import re
import sys
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from mtag.cli.options import STDIN
from mtag.errors import FileError
from mtag.walk import find_files

PLAYLIST = b"#EXT"  # begins M3U playlists and most remarks in them, which are lines with #
PLAYLISTS = (".m3u", ".m3u8")
STREAM = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]+://")  # begins what a playlist has besides files


def find_named(
    paths: Sequence[Path],
    stop: threading.Event | None = None,
    *,
    every_name: bool = False,
    exclude: Collection[str] = (),
) -> list[Path | FileError]:
    """All audio files under the paths on the command line, as far as the search gets before `stop` is set.

    The path `-` stands for those on standard input: one a line or, where it has NUL bytes, one between any two. A
    playlist stands for the files in it. `every_name` and `exclude` are as for `find_files`.
    """
    named = [path for given in paths for path in _meant(given)]
    found = find_files(named, every_name=every_name, exclude=exclude)
    return list(takewhile(lambda _: not (stop and stop.is_set()), found))


def _meant(given: Path) -> list[Path]:
    if given == STDIN:
        return _listed(sys.stdin.buffer.read() if sys.stdin else b"")
    if given.suffix.lower() in PLAYLISTS:
        with suppress(OSError):  # then it is as any other path that is not there
            return [given.parent / path for path in _listed(given.read_bytes())]
    return [given]


def _listed(content: bytes) -> list[Path]:
    content = content.removeprefix(codecs.BOM_UTF8)
    names = content.split(b"\0") if b"\0" in content else content.replace(b"\r\n", b"\n").split(b"\n")
    if any(name.startswith(PLAYLIST) for name in names):
        names = [name for name in names if not name.startswith(b"#") and not STREAM.match(name)]
    return [Path(os.fsdecode(name)) for name in names if name]
