"""`mtag predict`: hear tracks and show their tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mtag.cli.codes import code_for
from mtag.cli.command import DEBUG
from mtag.cli.early import start_decoders
from mtag.cli.options import (
    Device,
    DeviceOption,
    Fast,
    Json,
    Nice,
    Paths,
    Precision,
    PrecisionOption,
    Weights,
    Windows,
)
from mtag.cores import all_cores

if TYPE_CHECKING:
    from mtag.ensemble import Ensemble

Top = Annotated[int, typer.Option("--top", metavar="N", min=1, max=50, help="How many tags to show of each track.")]


def predict(
    context: typer.Context,
    paths: Paths,
    top: Top = 5,
    fast: Fast = False,
    windows: Windows = None,
    nice: Nice = 0,
    as_json: Json = False,
    weights: Weights = None,
    device: DeviceOption = Device.AUTO,
    precision: PrecisionOption = Precision.AUTO,
) -> None:
    """Hear tracks, and show the tags that fit them best.

    No file is changed, and nothing is kept.
    """
    decoders = start_decoders(context, all_cores(), 1, nice=nice)
    from mtag.bundle import FAST, FULL, load_bundle
    from mtag.cli import records, render
    from mtag.cli.interrupt import stop_on_interrupt
    from mtag.cli.paths import find_named
    from mtag.ensemble import load_ensemble
    from mtag.errors import FileError
    from mtag.hearing import Ears, hear
    from mtag.results import rank

    bundle = load_bundle(weights)

    def load() -> Ensemble:
        return load_ensemble(bundle, fast=fast, device=device.value, precision=precision.value)

    console = render.console_for_people(as_json)
    n_done = n_failed = 0
    with stop_on_interrupt() as stop:
        files = find_named(paths, stop)
        bar = render.progress(console, len(files), stop, wanted=len(files) > 1)
        with Ears(load, all_cores(), stop, windows, decoders) as ears, bar as advance:
            for path, heard in hear(files, ears):
                failed = isinstance(heard, FileError)
                tags = () if isinstance(heard, FileError) else rank(heard.scores, bundle.tags, top)
                if as_json:
                    records.print_record(records.prediction_record(path, heard, tags, FAST if fast else FULL))
                else:
                    render.print_prediction(console, path, heard, tags)
                if context.meta[DEBUG] and isinstance(heard, FileError):
                    render.print_cause(heard)
                n_done, n_failed = n_done + 1, n_failed + failed
                advance(0.0 if isinstance(heard, FileError) else heard.duration)
        interrupted = stop.is_set()
    if not files and not interrupted:
        console.print(render.NO_FILES)
    raise typer.Exit(code_for(n_done, n_failed, interrupted))
