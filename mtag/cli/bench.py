"""`mtag bench`: how fast this machine hears."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from mtag.cli.options import Device, DeviceOption, Fast, Json, Precision, PrecisionOption, Weights
from mtag.cores import all_cores

if TYPE_CHECKING:
    from mtag.bench import Timing

Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Threads on a CPU.  [default: one per core]")]
Clips = Annotated[int, typer.Option("--clips", min=1, help="Windows of 29.1 s that each network scores.")]


def bench(
    clips: Clips = 1_000,
    fast: Fast = False,
    jobs: Jobs = None,
    as_json: Json = False,
    weights: Weights = None,
    device: DeviceOption = Device.AUTO,
    precision: PrecisionOption = Precision.AUTO,
) -> None:
    """Time the networks, their combinations, and the stages before them.

    The times are shown beside those that the paper printed for 1,000 clips on another machine.
    """
    from mtag import bench as timing
    from mtag.bundle import load_bundle
    from mtag.cli.render import console_for_people
    from mtag.ensemble import load_ensemble

    console = console_for_people(as_json)
    combinations = timing.combinations_for(fast)
    ensemble = load_ensemble(
        load_bundle(weights), device=device.value, precision=precision.value, combinations=combinations
    )
    with console.status("") as status:
        measured = timing.bench(
            ensemble, combinations, clips, jobs or all_cores(), lambda name: status.update(f"timing {name}")
        )
    if as_json:
        typer.echo(json.dumps(measured.to_json()))
    else:
        _show(measured)


def _show(measured: Timing) -> None:
    from rich.table import Table

    from mtag.bench import PAPER_CLIPS, PAPER_SECONDS
    from mtag.cli.render import console_for_people, count

    console = console_for_people()
    here = f"{measured.device}, {measured.precision}, {count(measured.jobs, 'job')}"
    table = Table(box=None, pad_edge=False, title=f"{count(measured.clips, 'window')} of 29.1 s", title_justify="left")
    table.add_column("network")
    table.add_column(f"here ({here})", justify="right")
    table.add_column(f"V100, as published ({PAPER_CLIPS:,} clips)", justify="right")
    seconds = {name.removeprefix("model"): value for name, value in (measured.models | measured.ensembles).items()}
    for name, value in seconds.items():
        published = PAPER_SECONDS.get(name)
        table.add_row(name, f"{value:.2f} s", f"{published:.2f} s" if published else "")
    console.print(table)
    stages = ", ".join(f"{name} {value:.2f} s" for name, value in measured.stages.items())
    longest = measured.stages[measured.bound] / sum(measured.stages.values())
    console.print(f"Stages: {stages}. The bottleneck is {measured.bound}: {longest:.0%} of the work.")
