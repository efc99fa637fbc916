"""Where mtag begins and ends as a process: a decoder starts on another core before all else is imported here."""

import os
import sys
from typing import NoReturn

from mtag.cli.early import start_first


def main() -> NoReturn:
    """Run mtag as a process."""
    arguments = sys.argv[1:]
    first = start_first(arguments)
    from mtag.cli.app import run

    code = run(arguments, first)
    # All is closed by now, and taking down NumPy and ONNX Runtime in good order takes as long as hearing a window.
    # After an interrupt threads may still be hearing; they change nothing, and nobody waits for them.
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    os._exit(code)
