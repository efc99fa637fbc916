"""The command `mtag`: its list of commands, and the boundary where errors become a sentence and an exit code.

A command is a function in a file of the same name in this folder, and a line in `COMMANDS`. Its file is imported
when the command is run and not before, so that `mtag --help` answers at once.
"""

# ruff: noqa: ANN401 - the types of typer's base classes lie elsewhere in each of its versions

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from mtag.cli.codes import ExitCode
from mtag.cli.command import CONFIG, CONFIG_FILE, DEBUG, STYLE, Command
from mtag.errors import ConfigError, MtagError
from mtag.release import version

if TYPE_CHECKING:
    from mtag.audio.process import Process
    from mtag.config import Config

COMMANDS = {  # name -> what `mtag --help` says of it: the first line of the function's docstring
    "scan": "Hear a music library, and write genre and comment into its files.",
    "retag": "Rewrite tags from what was heard before, without listening again.",
    "undo": "List the runs that changed files, or take one back.",
    "strip": "Remove everything that mtag has written from files.",
    "failures": "List the files that could not be processed, and why.",
    "catalog": "Maintain the catalog: info, vacuum, forget, prune, export.",
    "predict": "Hear tracks, and show the tags that fit them best.",
    "tags": "List the tags: kind, word, field, threshold, precision, recall.",
    "config": "Show or edit the configuration: show, path, edit.",
    "doctor": "Check every part: weights, device, decoder, catalog.",
    "bench": "Time the networks, their combinations, and the stages before them.",
    "eval": "Measure the members and all combinations on labelled tracks.",
    "train": "Fit networks and combiners, and make a bundle of them.",
}


class Commands(TyperGroup):
    """The group of all commands, each loaded when it is run."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name, help=summary) for name, summary in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments begin with, and put the real one in the place of its summary."""
        name, _, rest = super().resolve_command(ctx, args)
        named = ctx.params.get("_config")
        ctx.meta[CONFIG_FILE] = Path(named) if named else None
        if name and name != "config" and not {"--help", "-h"} & set(rest):  # those two have to work whatever it says
            ctx.meta[CONFIG] = config = checked_config(ctx.meta[CONFIG_FILE])
            ctx.default_map = {name: _defaults(name, config)}
        return name, load_command(name) if name else None, rest

    def invoke(self, ctx: Any) -> Any:
        """Run a command; an interrupt has its own exit code."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None


app = typer.Typer(cls=Commands, no_args_is_help=True, **STYLE)


def find_command(name: str) -> Any:
    """Import a command's file; gives its function."""
    return getattr(import_module(f"mtag.cli.{name}"), name)


def settable_commands() -> dict[str, Any]:
    """The functions of the commands whose options the configuration can settle, by name."""
    return {name: find_command(name) for name in COMMANDS if name != "config"}


def load_command(name: str) -> Any:
    """Import a command's file and make its function a command."""
    holder = typer.Typer(**STYLE)
    holder.command(name, cls=Command)(find_command(name))
    return typer.main.get_command(holder)


def checked_config(named: Path | None) -> Config:
    """Read the configuration and check all of it, options of all commands included."""
    from mtag.config import load_config

    config = load_config(named)
    if config.options:
        from mtag.cli.defaults import check_options

        check_options(config, settable_commands())
    return config


def _defaults(name: str, config: Config) -> dict[str, Any]:
    if not config.options:
        return {}
    from mtag.cli.defaults import default_map

    return default_map(find_command(name), name, config)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mtag {version()}")
        raise typer.Exit


@app.callback()
def mtag(
    context: typer.Context,
    _config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Use this configuration, not the usual one.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Hear what is in your own music files, and write it where players look: genre and comment."""
    context.meta[DEBUG] = debug


def run(arguments: Sequence[str], first: Process | None = None) -> int:
    """Run mtag and give its exit code: every error ends here, as one sentence on standard error.

    Parameters
    ----------
    arguments
        Without the program's name.
    first
        A decoder that has been started already.
    """
    try:
        app(list(arguments), prog_name="mtag", obj=first)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.OK
    except Exception as error:
        if "--debug" in arguments:
            import traceback

            traceback.print_exc()
        else:
            typer.echo(f"mtag: {_sentence(error)}", err=True)
        if _is_of_output(error):
            return ExitCode.SOME_FAILED  # what was done until then has been done
        return ExitCode.USAGE if isinstance(error, ConfigError) else ExitCode.NOTHING_DONE
    return ExitCode.OK


def _sentence(error: Exception) -> str:
    if isinstance(error, MtagError):
        return str(error)
    if _is_of_output(error):
        return f"the output could not be written ({error})"
    return f"internal error ({type(error).__name__}: {error}); `mtag --debug ...` shows where"


def _is_of_output(error: Exception) -> bool:
    """Whether standard output failed: errors about files name them, and most are explained where they occur."""
    return isinstance(error, OSError) and error.filename is None
