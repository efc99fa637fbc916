"""Everything that befalls a process that writes into people's only copies, done to mtag on purpose.

    python -m tests.torture --kills 300 --seed 1

Files of every kind are tagged by an mtag that is killed at random instants of its writing, or finds the disk full, the
files protected, another program at work on them. After each: every file is wholly as before or wholly as it should
become, by its decoded sound, its stored items and plain mutagen; the catalog is whole; the next run completes.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests import gallery
from tests.hardships import HARDSHIPS, Deed
from tests.workshop import Ended, Workshop, expect

MAX_LINES = 60  # of mtag that a killed process may live after an instant of writing


@dataclass
class Tally:
    """Kills, in numbers."""

    asked: int = 0  # processes that were to be killed
    landed: Counter[str] = field(default_factory=Counter)  # kills by the place where they struck

    @property
    def kills(self) -> int:
        """Processes that died of it; the others were done before."""
        return self.landed.total()


class Killer:
    """Kills mtag again and again over one library, and sees what is left.

    Parameters
    ----------
    shop
        The library.
    rng
        Chooses the instants.
    linked
        Whether every file has a second name elsewhere, so that it has to be written in place.
    """

    def __init__(self, shop: Workshop, rng: random.Random, linked: bool = False) -> None:
        self.shop = shop
        self.rng = rng
        self.linked = linked
        self.how = ("--quiet", "--hardlinks", "inplace") if linked else ("--quiet",)
        self.links = shop.root / "links"
        self.command = ("scan", self.shop.library, "--write-tags", *self.how)
        self.tally = Tally()

    def run(self, n_kills: int) -> Tally:
        """Begin with fresh files, kill, complete, take back; until enough have been killed."""
        self._measure()
        while self.tally.kills < n_kills:
            self._begin()
            self._write()
            self._take_back()
            print(f"  {self.tally.kills} of {n_kills} kills", file=sys.stderr, flush=True)
        return self.tally

    def _begin(self) -> None:
        self.shop.fresh()
        if self.linked:
            shutil.rmtree(self.links, ignore_errors=True)
            shutil.copytree(self.shop.library, self.links, copy_function=os.link)

    def _measure(self) -> None:
        """See how long a run writes that nobody kills."""
        self._begin()
        running = self.shop.start(*self.command)
        running.await_event()
        began = time.monotonic()
        self.events = running.wait().check().events
        self.seconds = time.monotonic() - began
        self.shop.judge("tagged")

    def _write(self) -> None:
        """A scan that is killed some times, and then left alone."""
        for _ in range(self.rng.choice((2, 3, 4))):
            self._killed(*self.command)
        self._completed("tagged", *self.command)

    def _take_back(self) -> None:
        """An undo or a strip that is killed some times, and then left alone."""
        shop, runs = self.shop, self.shop.runs()
        strip = ("strip", shop.library, *self.how)
        for _ in range(self.rng.choice((1, 2, 3))):
            self._killed(*self.rng.choice((strip, ("undo", str(self.rng.choice(runs)), *self.how))))
        if self.rng.random() < 0.5:
            self._completed("original", *strip)
            return
        for run in runs:
            shop.mtag("undo", str(run), *self.how).check()
            shop.judge("original", "tagged")
        self._completed("original", "scan", shop.library, "--quiet")  # a preview, which only clears up

    def _judge(self) -> None:
        """Every file is wholly in one state; where it had to be written in place, once a next run has mended it."""
        if self.linked:
            self.shop.mtag("scan", self.shop.library, *self.how).check()
        self.shop.judge("original", "tagged")
        self._expect_links()

    def _expect_links(self) -> None:
        if self.linked:
            parted = [n for n in self.shop.names() if not (self.shop.library / n).samefile(self.links / n)]
            expect(not parted, f"parted from their other names: {parted}")

    def _killed(self, *command: str | Path) -> None:
        """Run a command that is killed: at an instant of its writing, some lines later, or by the clock."""
        rng, shop = self.rng, self.shop
        self.tally.asked += 1
        if rng.random() < 0.25:
            running = shop.start(*command)
            running.kill_after(rng.uniform(0, self.seconds))
            ended = running.wait()
        else:
            lines = rng.choice((0, rng.randrange(1, 10), rng.randrange(1, MAX_LINES)))
            ended = shop.mtag(*command, event=rng.randrange(self.events), lines=lines)
        self._look(ended)
        self._judge()

    def _look(self, ended: Ended) -> None:
        """See where the kill has struck; the catalog is whole at any instant."""
        if ended.code != -9:
            ended.check()
            return
        copies = [path for path in self.shop.library.rglob(".*") if path.is_file()]
        pending = self.shop.catalog_rows("SELECT count(*) FROM changes WHERE state = 'pending'")[0][0]
        self.tally.landed[
            "while a copy lay there" if copies else "around a rename" if pending else "between files"
        ] += 1
        self.shop.expect_sound_catalog()

    def _completed(self, state: str, *command: str | Path) -> None:
        """Run a command that is left alone; it has to bring every file into a state, and clear up."""
        self.shop.mtag(*command).check()
        self.shop.judge(state)
        self._expect_links()
        self.shop.expect_no_litter()
        self.shop.expect_sound_catalog()


def prepare(root: Path, *, albums: int = 1, kinds: str = "") -> Workshop:
    """Make the files, one of each kind an album, and hear them once.

    Raises
    ------
    Defect
        A scan that is left alone does harm already.
    """
    shop = Workshop(root)
    for n in range(albums):
        gallery.fill(shop.originals / f"album {n}", kinds)
    shop.hear()
    return shop


def killed(shop: Workshop, rng: random.Random, n_kills: int, linked: bool = False) -> str:
    """So many kills at random instants; `linked` as for `Killer`."""
    tally = Killer(shop, rng, linked).run(n_kills)
    places = ", ".join(f"{n} {place}" for place, n in sorted(tally.landed.items()))
    return f"{tally.kills} kills ({places}), {tally.asked - tally.kills} too late"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=300, metavar="N", help="processes to kill")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the instants and of the files chosen")
    parser.add_argument("--albums", type=int, default=1, metavar="N", help="copies of every file")
    parser.add_argument("--only", default="", metavar="REGEX", help="things to do")
    parser.add_argument("--kinds", default="", metavar="REGEX", help="files to do it to")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="mtag-torture-", dir=options.folder))
    root.chmod(0o755)
    began = time.monotonic()
    shop = prepare(root, albums=options.albums, kinds=options.kinds)
    print(f"{len(shop.names())} files ({time.monotonic() - began:.0f} s)", flush=True)
    deeds: dict[str, Deed] = {
        "killed": partial(killed, n_kills=options.kills),
        "killed in place": partial(killed, n_kills=options.kills // 5, linked=True),
        **HARDSHIPS,
    }
    for name, deed in deeds.items():
        if re.search(options.only, name):
            start = time.monotonic()
            shop.fresh()
            told = deed(shop, random.Random(f"{name} {options.seed}"))
            print(f"{name}: {told} ({time.monotonic() - start:.0f} s)", flush=True)
    shutil.rmtree(root)
    print(f"nothing has come to harm ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main()
