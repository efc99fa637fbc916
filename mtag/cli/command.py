"""What all commands have in common: their style, and a way to take back each flag."""

# ruff: noqa: ANN401 - the types of typer's base classes lie elsewhere in each of its versions

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

CONFIG_FILE = "mtag.config.file"  # where a context's `meta` keeps the file that --config names
CONFIG = "mtag.config"  # and what is in it
DEBUG = "mtag.debug"  # and whether whole tracebacks are to be shown

# Plain help: with rich's panels it would take twice as long to appear.
STYLE: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["--help", "-h"]},
}


class Command(TyperCommand):
    """A command each flag of which can be taken back: `--no-fast` where the configuration says `fast = true`."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        for parameter in self.params:
            if getattr(parameter, "is_flag", False) and not parameter.secondary_opts:
                parameter.secondary_opts.append(f"--no-{parameter.opts[0].removeprefix('--')}")
                vars(parameter)["show_default"] = False  # that a flag is off says itself
