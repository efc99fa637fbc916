"""Decoders that start before a command knows its work, while it imports the rest: both take equally long."""

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
    """Start one decoder if the arguments name a command that hears, even if it may turn out to have nothing to hear."""
    if arguments[:1] and arguments[0] in HEARING and "--help" not in arguments:
        with suppress(OSError, DecoderError):  # a command that really needs one will fail in turn
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
