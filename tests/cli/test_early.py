from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtag.audio.decoders import Decoders
from mtag.cli.app import COMMANDS, run
from mtag.cli.early import start_first
from tests.encoding import encode, tone

ROOT = Path(__file__).parents[2]
SR = 16_000  # Hz

# Prints how nice each decoder is at a command's end, and how nice the command is.
NICENESS = """
import os, sys
from mtag.audio.decoders import Decoders
from mtag.cli.app import run
from mtag.cli.early import start_first

class Told(Decoders):
    def close(self):
        nices = {os.getpriority(os.PRIO_PROCESS, process.pid) for process in self.processes}
        if nices:
            print("niceness", *nices, os.nice(0))
        super().close()

import mtag.cli.early as early
early.Decoders = Told
sys.exit(run(sys.argv[1:], start_first(sys.argv[1:])))
"""


@pytest.fixture
def song(tmp_path) -> Path:
    return encode(tmp_path / "song.flac", tone(10, SR), SR)


@pytest.mark.parametrize("command", ["scan", "predict"])
def test_a_decoder_starts_before_all_else_is_imported(command):
    code = f"""
import sys
from mtag.cli.early import start_first
first = start_first([{command!r}, "music"])
print(first.is_free, not {{"typer", "numpy", "rich"}} & set(sys.modules))
first.end()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["scan", "--help"], *([name] for name in COMMANDS)], ids=" ".join
)
def test_only_a_command_that_hears_is_given_a_decoder(arguments):
    first = start_first(arguments)
    hears = arguments in (["scan"], ["predict"])
    assert bool(first) == hears
    if first:
        first.end()


def test_nothing_is_lost_where_none_can_be_started(song, monkeypatch):
    def refuse(*arguments, **settings):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr("mtag.audio.process.subprocess.Popen", refuse)
        first = start_first(["predict"])
    assert first is None
    assert run(["predict", str(song)], first) == 0


@pytest.mark.parametrize("command", ["scan", "predict"])
def test_a_command_hears_with_the_decoder_that_was_started_first_and_ends_it(command, song, monkeypatch):
    monkeypatch.setattr("mtag.cli.scan.N_STARTED", 1)
    first = start_first([command])
    monkeypatch.setattr(Decoders, "_start", None)  # no other may start
    assert run([command, str(song)], first) == 0
    assert first.n_tasks == 1
    with pytest.raises(ProcessLookupError):
        os.kill(first.pid, 0)


@pytest.mark.skipif(not hasattr(os, "nice"), reason="this system knows no priorities")
@pytest.mark.parametrize("in_the_configuration", [False, True])
def test_decoders_are_as_nice_as_the_command(in_the_configuration, song):
    options = ["--nice", "7"]
    if in_the_configuration:
        Path(os.environ["MTAG_CONFIG"]).write_text("[scan]\nnice = 7\n", encoding="utf-8")
        options = []
    command = [sys.executable, "-c", NICENESS, "scan", song, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = os.nice(0) + 7
    assert f"niceness {wanted} {wanted}\n" in done.stdout


def test_an_interrupt_while_mtag_is_still_imported_is_as_quiet_as_a_later_one():
    code = """
import sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
sys.argv = ["mtag", "scan", "music"]
from mtag.cli.entry import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
