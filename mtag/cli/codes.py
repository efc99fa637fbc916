"""Exit codes."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's end tells the program that called it."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    NOTHING_DONE = 3
    INTERRUPTED = 130


def code_for(n_files: int, n_failed: int, interrupted: bool) -> ExitCode:
    """The exit code of a command that went through files."""
    if interrupted:
        return ExitCode.INTERRUPTED
    if n_failed == n_files:
        return ExitCode.NOTHING_DONE
    return ExitCode.SOME_FAILED if n_failed else ExitCode.OK
