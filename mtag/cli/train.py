"""`mtag train`: fit the networks on a corpus and make a bundle of them."""

from __future__ import annotations

import importlib.util
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtag.errors import MtagError

if TYPE_CHECKING:
    from rich.console import Console

    from mtag.training.fit import Progress as Fitting
    from mtag.training.run import Reports


LINE_SECONDS = 60.0  # between the lines of a log


class Member(str, Enum):
    """One of the three networks."""

    MODEL1 = "model1"
    MODEL2 = "model2"
    MODEL3 = "model3"


class TrainingDevice(str, Enum):
    """Where the networks learn."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


CorpusFolder = Annotated[Path, typer.Argument(metavar="CORPUS", help="A folder of clips, or of MagnaTagATune.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the bundle goes; checkpoints in DIR/work.")]
Members = Annotated[
    list[Member] | None, typer.Option("--member", help="Fit only this network; may be repeated.  [default: all]")
]
Effort = Annotated[float, typer.Option("--effort", min=0.0001, help="Multiplies the windows that each network sees.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Decides split, weights and augmentation.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoints in DIR/work.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.  [default: one per core]")]
Teacher = Annotated[
    Path | None,
    typer.Option(
        "--teacher",
        metavar="FILE",
        help="Arrays of a Musicnn that labels whatever the networks hear."
        "  [default: ../teachers/mtat_musicnn.npz beside CORPUS, if there]",
    ),
]
Start = Annotated[Path | None, typer.Option("--start", metavar="DIR", help="A bundle whose networks go on learning.")]
Quantize = Annotated[bool, typer.Option("--quantize", help="Only make the int8 networks of the bundle in DIR anew.")]
DeviceOption = Annotated[TrainingDevice, typer.Option("--device", help="Where the networks learn.")]


def train(
    corpus: CorpusFolder,
    out: Out,
    member: Members = None,
    effort: Effort = 1.0,
    seed: Seed = 0,
    resume: Resume = False,
    threads: Threads = None,
    device: DeviceOption = TrainingDevice.AUTO,
    teacher: Teacher = None,
    start: Start = None,
    quantize: Quantize = False,
) -> None:
    """Fit networks and combiners, and make a bundle of them.

    Checkpoints are written every two minutes and at Ctrl-C; a run that was interrupted goes on with --resume. Members
    can be fitted by separate runs at the same time, with --member and --threads; the last one makes the bundle.
    """
    _require_torch()
    from mtag.cli.interrupt import stop_on_interrupt
    from mtag.cli.render import console_for_people
    from mtag.training import run
    from mtag.training.run import TrainOptions

    console = console_for_people()
    if quantize:
        with stop_on_interrupt() as stop, _reports(console, stop) as reports:
            run.quantize(corpus, out, reports)
        console.print(f"`mtag eval {corpus} --weights {out} --precision int8` shows the int8 networks' figures.")
        return
    chosen = tuple(m.value for m in member) if member else TrainOptions.members
    options = TrainOptions(
        chosen, effort, seed, device.value, threads, resume, teacher or _teacher_beside(corpus), start
    )
    with stop_on_interrupt() as stop, _reports(console, stop) as reports:
        complete = run.train(corpus, out, options, reports)
    if complete:
        console.print(f"The bundle is in {out}. `mtag eval {corpus} --weights {out}` shows its figures.")
    else:
        console.print("Fitted. The bundle is made once all three are fitted: run again with --resume for the others.")


def _teacher_beside(corpus: Path) -> Path | None:
    """The teacher that a corpus comes with."""
    file = corpus.resolve().parent / "teachers" / "mtat_musicnn.npz"
    return file if file.is_file() else None


def _require_torch() -> None:
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnx") is None:
        raise MtagError('training needs torch and onnx: install mtag with its extra "train"')


@contextmanager
def _reports(console: Console, stop: threading.Event) -> Iterator[Reports]:
    """A progress bar for each stage of a run, or lines in a log; once `stop` is set, the next step is the last."""
    from mtag.training.run import Reports

    with _bars(console) if console.is_terminal else nullcontext(_Log(console)) as tell:

        def show(name: str, done: int, total: int, told: str = "") -> None:
            tell(name, done, total, told)
            if stop.is_set():
                raise KeyboardInterrupt

        yield Reports(
            windows=lambda done, n: show("decoding", done, n),
            labelling=lambda done, n: show("labelling", done, n),
            fitting=lambda p: show(p.member, p.step, p.n_steps, _told(p)),
            stage=lambda sentence: console.print(sentence),
            evaluation=lambda done, n: show("hearing", done, n),
        )


Tell = Callable[[str, int, int, str], None]  # a stage, how much of it is done, of how much, and more about it


@contextmanager
def _bars(console: Console) -> Iterator[Tell]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}")
    with Progress(*columns, console=console) as bar:
        tasks = {}

        def tell(name: str, done: int, total: int, told: str) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total, told=told)
            bar.update(tasks[name], completed=done, total=total, told=told)

        yield tell


class _Log:
    """Lines for a run that nobody watches: one a minute, and one at each stage's end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = time.monotonic()
        self._before = ("", 0)

    def __call__(self, name: str, done: int, total: int, told: str) -> None:
        is_new, self._before = self._before != (name, done), (name, done)
        if not is_new or (done < total and time.monotonic() < self._last + LINE_SECONDS):
            return
        self._last = time.monotonic()
        self._console.print(f"{time.strftime('%H:%M')} {name} {done:,} of {total:,}  {told}".rstrip())


def _told(progress: Fitting) -> str:
    minutes = math.ceil(progress.seconds_left / 60)
    validated = "" if math.isnan(progress.roc_auc) else f"  validation ROC-AUC {progress.roc_auc:.3f}"
    return f"loss {progress.loss:.4f}{validated}  {minutes} min left"
