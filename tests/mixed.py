"""A mixed library that is tagged and set back, by `mtag undo` and by `mtag strip`, until every field is as it was.

    python -m tests.mixed --files 500 --seed 1

Files of every kind with all sorts of tags in them, under names that other programs choke on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mutagen
from mutagen import id3
from mutagen.apev2 import APEv2
from mutagen.asf import ASFTags
from mutagen.mp4 import MP4Tags

from tests import gallery
from tests.portrait import harm
from tests.workshop import Ended, Workshop, expect

WAYS = ("undo", "strip", "strip without a catalog")
GENRES = ([], ["Other"], [""], ["Jazz"], ["Jazz", "Bebop"], ["Rock; Pop"], ["Unknown"], ["Ünïcödé 🎷"], ["17"])
COMMENTS = ([], ["mine"], [""], ["two\nlines"], ["one", "another"], ["long " * 900], ["🎹 ノート"], [" "])
NAMES = (
    *(
        "plain",
        "emoji 🎵👩‍🎤",
        "\"double\" 'single' `back`",
        "new\nline",
        "tab\tstop",
        "back\\slash",
        "-dash",
        " space ",
    ),
    *("%s {0} $HOME $(id)", "[a-z]*?", "e\u0301 and é", "\u202eright to left", "bell\x07 escape\x1b[31m", "a;b & c#d"),
    *("x" * 300, "ä" * 300, "🎵" * 300, b"not UTF-8 \xff\xfe".decode("utf-8", "surrogateescape"), "日本語", "--json"),
    *("\udce4" * 300, "a.mp3.flac", "COM1", "nul\ufffeno character", "\x7fdelete"),
)
FOLDERS = ("", "plain", "🎵 folder", "new\nline/deeper", b"caf\xe9".decode("utf-8", "surrogateescape"), "a b/c'd/e\"f")
NAME_BYTES = 255
STEP = 7  # has no divisor in common with the number of kinds, so that few files are of all sorts


def furnish(shop: Workshop, n_files: int, rng: random.Random) -> None:
    """Fill the originals with files of every kind, every second one with fields from another program."""
    kinds = gallery.fill(shop.root / "kinds")
    for number in range(n_files):
        kind = list(gallery.MAKERS)[number * STEP % len(gallery.MAKERS)]
        name = _fitting(f"{number} {NAMES[number % len(NAMES)]}", Path(kind).suffix)
        path = shop.originals / rng.choice(FOLDERS) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kinds / kind, path)
        if number % 2 and kind != "info.wav":  # mutagen trips over its last chunk
            _vary(path, rng)


def _fitting(stem: str, suffix: str) -> str:
    """A name of no more bytes than a file system takes, and of just so many if it would have more."""
    while len(os.fsencode(stem + suffix)) > NAME_BYTES:
        stem = stem[:-1]
    return stem + suffix


def _vary(path: Path, rng: random.Random) -> None:
    """Give a file other genres, comments and titles, as plain mutagen writes them."""
    with path.open("r+b") as stream:
        try:
            file = mutagen.File(stream)
            if file.tags is None:
                file.add_tags()
        except mutagen.MutagenError:  # it does not tag AAC streams
            return
        genres, comments = list(rng.choice(GENRES)), list(rng.choice(COMMENTS))
        title = [rng.choice(("Titel", "título 🎻", "x" * rng.choice((1, 3000))))]
        write = next((write for kind, write in WRITERS.items() if isinstance(file.tags, kind)), _vary_vorbis)
        write(file.tags, genres, comments, title)
        stream.seek(0)
        options: dict[str, Any] = {}
        if isinstance(file.tags, id3.ID3) and rng.random() < 0.5:
            options["v2_version"] = 3
        file.save(stream, **options)


def _vary_id3(tags: id3.ID3, genres: list[str], comments: list[str], title: list[str]) -> None:
    tags.delall("TCON")
    tags.delall("COMM")
    tags.add(id3.TIT2(encoding=3, text=title))
    if genres:
        tags.add(id3.TCON(encoding=3, text=genres))
    for language, text in zip(("eng", "deu"), comments, strict=False):
        tags.add(id3.COMM(encoding=1, lang=language, desc="", text=[text]))


def _vary_mp4(tags: MP4Tags, genres: list[str], comments: list[str], title: list[str]) -> None:
    tags["\xa9gen"], tags["\xa9cmt"], tags["\xa9nam"] = genres, comments, title
    for key in ("\xa9gen", "\xa9cmt"):
        if not tags[key]:
            del tags[key]


def _vary_asf(tags: ASFTags, genres: list[str], comments: list[str], title: list[str]) -> None:
    for key, texts in (("WM/Genre", genres), ("Description", comments), ("Title", title)):
        with contextlib.suppress(KeyError):
            del tags[key]
        if texts:
            tags[key] = texts


def _vary_vorbis(tags: Any, genres: list[str], comments: list[str], title: list[str]) -> None:
    for key, texts in (("genre", genres), ("COMMENT", comments), ("Title", title)):
        with contextlib.suppress(KeyError):
            del tags[key]
        if texts:
            tags[key] = texts


WRITERS: dict[type, Callable[[Any, list[str], list[str], list[str]], None]] = {
    id3.ID3: _vary_id3,
    MP4Tags: _vary_mp4,
    ASFTags: _vary_asf,
    APEv2: _vary_vorbis,
}


class Trip:
    """A library on its way there and back."""

    def __init__(self, root: Path, n_files: int, seed: int) -> None:
        self.shop = Workshop(root)
        furnish(self.shop, n_files, random.Random(seed))
        self.shop.fresh()
        self.shop.note("original")
        self.told = {legible(self.shop.library / name): name for name in self.shop.names()}

    def scan(self) -> Ended:
        """Tag every file, and see that nothing else has changed in any."""
        shop = self.shop
        ended = shop.mtag("scan", shop.library, "--write-tags", "--json").check()
        *results, last = ended.records
        expect(sorted(result["path"] for result in results) == sorted(self.told), "not every file has its line")
        expect({result["status"] for result in results} <= {"written", "unchanged"}, f"not all written: {last}")
        shop.note("tagged")
        for name, states in shop.states.items():
            wrong = harm(states["original"], states["tagged"])
            expect(wrong is None, f"{name!r} {wrong}")
        shop.expect_no_litter()
        return ended

    def undo(self) -> None:
        """Take all runs back, the newest first."""
        for run in self.shop.runs():
            self.shop.mtag("undo", str(run)).check()

    def strip(self) -> None:
        """Take out of the files what they say that mtag has written."""
        self.shop.mtag("strip", self.shop.library).check()

    def is_back(self) -> str:
        """See that every field is as it was; tells how many files are so to the last byte."""
        shop = self.shop
        shop.judge("original")
        shop.expect_no_litter()
        same = sum((shop.originals / n).read_bytes() == (shop.library / n).read_bytes() for n in shop.names())
        return f"every field of {len(shop.names())} files is as it was; {same} are the same to the last byte"

    def listing(self) -> str:
        """The commands that list files: each line is JSON in UTF-8, and each file has one."""
        exported = self.shop.mtag("catalog", "export").check().records
        paths = [track["path"] for track in exported]
        expect(sorted(paths) == sorted(self.told), "the export has other files than the library")
        self.shop.mtag("scan", self.shop.library).check().out.decode("utf-8")
        self.shop.mtag("failures", "--json").check().out.decode("utf-8")
        return f"{len(paths)} tracks exported"


def legible(path: Path) -> str:
    """How a name is told in JSON: bytes that are not UTF-8 by their numbers."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def mixed(root: Path, n_files: int, seed: int, ways: Sequence[str] = WAYS) -> list[str]:
    """Tag and set back in some ways; gives what the first scan and the export told, and a line for each way."""
    trip = Trip(root, n_files, seed)
    told = [json.dumps(trip.scan().records[-1]), trip.listing()]
    for number, way in enumerate(ways):
        if number:
            heard = trip.scan().records[-1]["summary"]["heard"]
            expect(heard == 0, f"{heard} files were heard again")
        if way == WAYS[0]:
            trip.undo()
        else:
            if way == WAYS[2]:
                trip.shop.forget()
            trip.strip()
        told.append(f"{way}: {trip.is_back()}")
    return told


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.mixed", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--files", type=int, default=500, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="mtag-mixed-", dir=options.folder))
    began = time.monotonic()
    for line in mixed(root, options.files, options.seed):
        print(line)
    shutil.rmtree(root)
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
