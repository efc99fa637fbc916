"""Decoders that start before a command knows its work: that takes as long as all else that it has to import."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from mtag.audio.decoders import WORKER, Decoders
from mtag.audio.process import Process
from mtag.errors import DecoderError

if TYPE_CHECKING:
    import typer

HEARING = ("scan", "predict")  # those that hear music, and call `start_decoders`


def start_first(arguments: Sequence[str]) -> Process | None:
    """Start one decoder, if the arguments begin as those of a command that hears; options may come to nothing yet."""
    if arguments[:1] and arguments[0] in HEARING and "--help" not in arguments:
        with suppress(OSError):  # a command with nothing to hear needs none; any other will hear of it again
            return Process(WORKER)
    return None


def start_decoders(context: typer.Context, jobs: int, n_started: int, *, nice: int) -> Decoders:
    """Decoders for so many jobs, closed when the command ends; some of them start at once.

    Parameters
    ----------
    context
        The command's; its `obj` is the process that was started first, if there is one.
    jobs
        Tracks heard at once.
    n_started
        Decoders that start before it is known whether there is anything to hear.
    nice
        Lowers the priority of this process and of all the others, where the system knows such a thing.
    """
    first: Process | None = context.obj
    if nice and hasattr(os, "nice"):
        os.nice(nice)
        if first:  # it has the priority that this process had
            first.end()
            first = None
    decoders = context.with_resource(Decoders.for_jobs(jobs))
    if first:
        decoders.adopt(first)
    with suppress(DecoderError):  # as above
        decoders.prepare(n_started)
    return decoders
