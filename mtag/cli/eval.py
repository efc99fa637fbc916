"""`mtag eval`: how well a bundle ranks a labelled corpus."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from enum import Enum
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtag.cli.options import Device, DeviceOption, Json, Precision, PrecisionOption, Weights
from mtag.cores import all_cores

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mtag.evaluate import Evaluation, Row


class Part(str, Enum):
    """A side of the split."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    ALL = "all"


Dataset = Annotated[Path, typer.Argument(metavar="DATASET", help="A folder of clips, or of MagnaTagATune.")]
PartOption = Annotated[Part, typer.Option("--part", help="Which side of the split that training made.")]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Files heard side by side.  [default: one per core]")]
Without = Annotated[
    list[str] | None,
    typer.Option("--without", metavar="GLOB", help="Leave out tracks of such a path in the corpus; may be repeated."),
]
PerTag = Annotated[bool, typer.Option("--per-tag", help="Show each tag's figures for the whole ensemble, too.")]


def eval(  # noqa: A001 - the command's name
    dataset: Dataset,
    part: PartOption = Part.TEST,
    without: Without = None,
    per_tag: PerTag = False,
    jobs: Jobs = None,
    as_json: Json = False,
    weights: Weights = None,
    device: DeviceOption = Device.AUTO,
    precision: PrecisionOption = Precision.AUTO,
) -> None:
    """Measure the members and all combinations on labelled tracks.

    With people's labels the truth is their yes or no; with a teacher's scores it is the top decile of each tag.
    """
    import numpy as np

    from mtag.bundle import COMBINATIONS, FULL, load_bundle
    from mtag.cli import render
    from mtag.corpus import read_corpus, split_corpus
    from mtag.ensemble import load_ensemble
    from mtag.evaluate import evaluate

    console = render.console_for_people(as_json)
    bundle = load_bundle(weights)
    corpus = read_corpus(dataset)
    split = split_corpus(corpus, bundle.seed)
    rows = np.arange(len(corpus.files)) if part is Part.ALL else getattr(split, part.value)
    left = [not _is_left_out(corpus.tracks[row], without or ()) for row in rows]
    rows = rows[np.array(left, bool)]
    ensemble = load_ensemble(bundle, device=device.value, precision=precision.value, combinations=(FULL, *COMBINATIONS))
    with console.status("hearing") as status:
        measured = evaluate(
            corpus,
            rows,
            ensemble,
            jobs=jobs or all_cores(),
            report=lambda done, n: status.update(f"hearing {done:,} of {n:,} files"),
        )
    if as_json:
        typer.echo(json.dumps({"part": part.value} | measured.to_json()))
    else:
        _show(console, measured, part, per_tag)


def _is_left_out(track: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(track.rpartition("\t")[2], pattern) for pattern in patterns)


def _show(console: Console, measured: Evaluation, part: Part, per_tag: bool) -> None:
    truth = "the teacher's top decile per tag" if measured.soft else "people's labels"
    console.print(f"{measured.n_windows:,} files of {measured.corpus} ({part.value}); truth: {truth}")
    console.print(_summary(measured))
    if per_tag:
        console.print(_tags(measured, measured.rows[-1]))
    for sentence in measured.skipped:
        console.print(f"left out: {sentence}")


def _summary(measured: Evaluation) -> Table:
    from rich.table import Table

    from mtag.evaluate import PAPER_ROC_AUC

    table = Table(box=None, pad_edge=False)
    table.add_column("models")
    headings = ["ROC-AUC", "PR-AUC", "ROC-AUC micro", "PR-AUC micro"]
    columns = ["roc_auc", "pr_auc", "roc_auc_micro", "pr_auc_micro"]
    if measured.soft:
        headings.append("correlation")
        columns.append("correlation")
    for heading in [*headings, "ROC-AUC in the paper (MagnaTagATune test)"]:
        table.add_column(heading, justify="right")
    for row in measured.rows:
        figures = [_figure(row.summary[column]) for column in columns]
        table.add_row(row.name, *figures, f"{PAPER_ROC_AUC[row.name]:.3f}")
    return table


def _tags(measured: Evaluation, row: Row) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=f"Models {row.name}", title_justify="left")
    table.add_column("tag")
    columns = [("ROC-AUC", row.roc_auc), ("PR-AUC", row.pr_auc), ("correlation", row.correlation)]
    present = [(heading, values) for heading, values in columns if values is not None]
    for heading, _ in present:
        table.add_column(heading, justify="right")
    for i, tag in enumerate(measured.tags):
        table.add_row(tag, *(_figure(values[i]) for _, values in present))
    return table


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
