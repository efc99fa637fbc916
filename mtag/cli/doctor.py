"""`mtag doctor`: what is really in use, and whether it works."""

from __future__ import annotations

import platform

import typer

from mtag.cli.codes import ExitCode
from mtag.cli.options import CatalogFile, Device, DeviceOption, Json, Precision, PrecisionOption, Weights
from mtag.cores import all_cores
from mtag.release import version


def doctor(
    as_json: Json = False,
    weights: Weights = None,
    device: DeviceOption = Device.AUTO,
    precision: PrecisionOption = Precision.AUTO,
    catalog: CatalogFile = None,
) -> None:
    """Check every part: weights, device, decoder, catalog.

    It says which device and which decoder are really in use. A test sound goes all the way through, and what comes out
    is compared with what should; spectrograms are checked against librosa.
    """
    from mtag.cli.records import print_record
    from mtag.cli.render import console_for_people, print_finding
    from mtag.doctor import Options, examine

    console = console_for_people(as_json)
    console.print(f"mtag {version()}, Python {platform.python_version()}, {platform.platform()}, {all_cores()} cores")
    amiss = False
    for finding in examine(Options(weights, device.value, precision.value, catalog)):
        amiss |= not finding.well
        if as_json:
            print_record({"part": finding.part, "well": finding.well, "message": finding.message})
        else:
            print_finding(console, finding)
    raise typer.Exit(ExitCode.SOME_FAILED if amiss else ExitCode.OK)
