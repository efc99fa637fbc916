from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import mtag.cli.app as application
from mtag.cli.app import COMMANDS, app, load_command
from mtag.errors import CatalogError

ROOT = Path(__file__).parents[2]
HEAVY = ("librosa", "onnxruntime", "scipy", "av", "torch", "mutagen", "numpy", "soundfile", "soxr")


def imported_by(*arguments: str) -> set[str]:
    """Names of the modules that a command imports, in a process of its own."""
    script = f"""
import sys
from mtag.cli.app import run
code = run({list(arguments)!r})
print(code, *sys.modules, file=sys.stderr)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    code, *modules = done.stderr.split()
    assert code == "0"
    return set(modules)


def test_help_imports_nothing_heavy_and_no_command():
    modules = imported_by("--help")
    assert not modules & set(HEAVY)
    assert not modules & {f"mtag.cli.{name}" for name in COMMANDS}


@pytest.mark.parametrize("name", ["scan", "predict"])
def test_a_commands_help_imports_only_that_command_and_nothing_heavy(name):
    modules = imported_by(name, "--help")
    assert f"mtag.cli.{name}" in modules
    assert not modules & {f"mtag.cli.{other}" for other in COMMANDS if other != name}
    assert not modules & set(HEAVY)


def test_help_lists_every_command_with_its_line():
    listed = " ".join(CliRunner().invoke(app, ["--help"], prog_name="mtag").stdout.split())
    for name, summary in COMMANDS.items():
        assert f"{name} {summary}" in listed


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_each_of_its_options_say_what_they_are(name):
    command = load_command(name)
    assert (command.help or "").splitlines()[0] == COMMANDS[name]
    parameters = [parameter for parameter in command.params if parameter.name != "help"]
    assert parameters
    for parameter in parameters:
        assert (parameter.help or "").strip(), f"{parameter.name} has no help"


def test_a_command_that_does_not_exist_is_a_usage_error(mtag):
    ended = mtag("scna")
    assert ended.code == 2
    assert "No such command 'scna'" in ended.err
    assert ended.out == ""


def test_an_option_that_does_not_exist_is_a_usage_error(mtag):
    ended = mtag("scan", "--colour", "red", ".")
    assert ended.code == 2
    assert "--colour" in ended.err


def test_the_version_is_told(mtag):
    ended = mtag("--version")
    assert ended.code == 0
    assert ended.out.startswith("mtag ")


def stumble(error: BaseException):
    def fail(name: str) -> object:
        raise error

    return fail


@pytest.fixture
def failing(monkeypatch):
    """Make the loading of any command raise."""

    def set_error(error: BaseException) -> None:
        monkeypatch.setattr(application, "load_command", stumble(error))

    return set_error


def test_an_error_that_mtag_explains_is_one_sentence(mtag, failing):
    failing(CatalogError("the catalog is on fire"))
    ended = mtag("scan", ".")
    assert (ended.code, ended.out, ended.err) == (3, "", "mtag: the catalog is on fire\n")


def test_an_error_of_its_own_is_one_sentence_and_a_traceback_only_on_demand(mtag, failing):
    failing(ZeroDivisionError("division by zero"))
    ended = mtag("scan", ".")
    assert ended.code == 3
    assert ended.err.count("\n") == 1
    assert "ZeroDivisionError: division by zero" in ended.err
    assert "Traceback" in mtag("--debug", "scan", ".").err


def test_an_interrupt_ends_with_its_own_code(mtag, failing):
    failing(KeyboardInterrupt())
    assert mtag("scan", ".").code == 130


def test_a_commands_own_exit_code_is_kept(mtag, failing):
    failing(typer.Exit(42))
    assert mtag("scan", ".").code == 42
