"""Where mtag begins and ends as a process: a decoder starts on another core before all else is imported here."""

import os
import sys
from typing import NoReturn

from mtag.cli.codes import ExitCode


def main() -> NoReturn:
    """Run mtag as a process."""
    try:
        code = _run(sys.argv[1:])
    except KeyboardInterrupt:  # before any command had begun
        code = ExitCode.INTERRUPTED
    # All is closed by now, and taking down NumPy and ONNX Runtime in good order takes as long as hearing a window.
    # After an interrupt threads may still be hearing; they change nothing, and nobody waits for them.
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    os._exit(code)


def _run(arguments: list[str]) -> int:
    from mtag.cli.early import start_first

    first = start_first(arguments)
    from mtag.cli.app import run

    return run(arguments, first)
