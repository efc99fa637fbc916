"""What is started before a command knows its work, to be ready when it does."""

from __future__ import annotations

from contextlib import suppress

import typer

from mtag.audio.decoders import Decoders
from mtag.errors import DecoderError


def start_decoders(context: typer.Context, jobs: int, n_started: int) -> Decoders:
    """Decoders for so many jobs, closed when the command ends.

    Some of them start at once, beside what the command still has to import: that takes as long as their start.
    """
    decoders = context.with_resource(Decoders.for_jobs(jobs))
    with suppress(DecoderError):  # a command with nothing to hear needs none; any other will hear of it again
        decoders.prepare(n_started)
    return decoders
