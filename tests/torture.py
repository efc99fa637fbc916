"""Everything that befalls a process that writes into people's only copies, done to mtag on purpose.

    python -m tests.torture --kills 300 --seed 1

Files of every kind are tagged by an mtag that is killed at random instants of its writing, or finds the disk full, the
files protected, another program at work on them. After each: every file is wholly as before or wholly as it should
become, by its decoded sound, its stored items and plain mutagen; the catalog is whole; the next run completes.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests import gallery
from tests.hardships import HARDSHIPS, Deed
from tests.workshop import Ended, Workshop

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
    """Kills mtag again and again over one library, and sees what is left."""

    def __init__(self, shop: Workshop, rng: random.Random) -> None:
        self.shop = shop
        self.rng = rng
        self.tally = Tally()

    def run(self, n_kills: int) -> Tally:
        """Begin with fresh files, kill, complete, take back; until enough have been killed."""
        while self.tally.kills < n_kills:
            self.shop.fresh()
            self._write()
            self._take_back()
        return self.tally

    def _write(self) -> None:
        """A scan that is killed once or twice, and then left alone."""
        command = ("scan", self.shop.library, "--write-tags", "--quiet")
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            self._killed(*command)
            self.shop.judge("original", "tagged")
        self._completed("tagged", *command)

    def _take_back(self) -> None:
        """An undo or a strip that is killed, and then left alone."""

    def _killed(self, *command: str | Path) -> None:
        """Run a command that is killed: at an instant of its writing, some lines later, or by the clock."""
        rng, shop = self.rng, self.shop
        self.tally.asked += 1
        if rng.random() < 0.25:
            running = shop.start(*command)
            running.kill_after(rng.uniform(0, shop.seconds))
            ended = running.wait()
        else:
            lines = rng.choice((0, rng.randrange(1, 10), rng.randrange(1, MAX_LINES)))
            ended = shop.mtag(*command, event=rng.randrange(shop.events), lines=lines)
        self._look(ended)

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


def killed(shop: Workshop, rng: random.Random, n_kills: int) -> str:
    """So many kills at random instants."""
    tally = Killer(shop, rng).run(n_kills)
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
    deeds: dict[str, Deed] = {"killed": partial(killed, n_kills=options.kills), **HARDSHIPS}
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
