"""A whole training run: corpus in, weights bundle out."""

from __future__ import annotations

import hashlib
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtag.bundle import COMBINATIONS, FULL, MEMBERS, combiner_of, load_bundle
from mtag.corpus import Corpus, Indices, Split, read_corpus, split_corpus
from mtag.ensemble import load_ensemble
from mtag.errors import CorpusError, DeviceError
from mtag.evaluate import PRESENT, evaluate
from mtag.training.cache import Windows, load_windows
from mtag.training.card import write_card
from mtag.training.combine import Combined, assign_folds, fit_combiner
from mtag.training.export import export_combiner, export_member
from mtag.training.fit import Heldout, Progress, Trained, fit, is_fitted, keep_freed_memory, on_device, predict_rows
from mtag.training.manifest import add_metrics, write_manifest
from mtag.training.pool import Pool, load_pool
from mtag.training.quantize import quantize_bundle, training_windows
from mtag.training.recipes import GOING_ON, N_VERSIONS, RECIPES, Cycle, Recipe
from mtag.training.start import load_members
from mtag.training.teachers import Musicnn, load_teacher
from mtag.training.thresholds import PRECISION, choose_thresholds


@dataclass(frozen=True)
class TrainOptions:
    """What a person can choose about a run."""

    members: tuple[str, ...] = MEMBERS
    effort: float = 1.0  # multiplies the windows that each member sees
    seed: int = 0
    device: str = "auto"  # auto, cpu or cuda
    threads: int | None = None  # CPU threads; None: torch's choice
    resume: bool = False  # go on from checkpoints rather than refuse to touch them
    teacher: Path | None = None  # arrays of a Musicnn that labels what the members hear; None: the corpus's labels
    start: Path | None = None  # a bundle whose members go on learning, in place of random weights


@dataclass(frozen=True)
class Reports:
    """Where a run tells how it goes; one callable a stage."""

    windows: Callable[[int, int], None]  # windows decoded, of all
    labelling: Callable[[int, int], None]  # windows heard by the teacher, of all
    fitting: Callable[[Progress], None]
    stage: Callable[[str], None]  # a sentence as each stage begins
    evaluation: Callable[[int, int], None]  # test windows heard, of all


def train(folder: Path, out: Path, options: TrainOptions, reports: Reports) -> bool:
    """Train members and, once all three are there, combiners, thresholds and manifest.

    Parameters
    ----------
    folder
        A corpus in either layout of `mtag.corpus`.
    out
        The bundle; checkpoints and decoded windows go into its folder `work`.
    options, reports
        Choices, and where to tell how it goes.

    Returns
    -------
    Whether the bundle is complete; False if some members still have to be trained.

    Raises
    ------
    CorpusError
        The corpus cannot be read or has too few tracks, or checkpoints lie there and `resume` is not set, or they do
        not fit the recipe.
    DeviceError
        CUDA was asked for and is not there.
    """
    keep_freed_memory()
    if options.threads:
        torch.set_num_threads(options.threads)
    work = out / "work"
    if not options.resume and any(_checkpoint(work, member).exists() for member in options.members):
        raise CorpusError(f"{work} holds checkpoints of an earlier run: add --resume to go on, or choose another --out")
    device = _device(options.device)
    torch.backends.cudnn.benchmark = True  # inputs have few shapes: the best algorithm for each is worth its search
    corpus = read_corpus(folder)
    split = split_corpus(corpus, options.seed)
    _require_sides(corpus, split)
    windows = load_windows(corpus, work / "cache", reports.windows)
    teacher = _teacher(options.teacher, device)
    source = _Source(corpus, windows, teacher, work, options.seed, device, reports.labelling)
    pool = source.pool("pool", split.train)
    heldout = Heldout(corpus, windows, split.validation)
    starts = load_members(load_bundle(options.start)) if options.start else {}

    def fit_member(member: str) -> Trained:
        return fit(
            _recipe(member, options),
            pool,
            heldout,
            _checkpoint(work, member),
            seed=options.seed,
            device=device,
            start=starts.get(member),
            report=reports.fitting,
        )

    for member in options.members:
        fit_member(member)
    if not all(is_fitted(_recipe(member, options), _checkpoint(work, member)) for member in MEMBERS):
        return False
    trained = {member: fit_member(member) for member in MEMBERS}
    _bundle(trained, source.pool("heldout", split.validation), heldout, split, out, options, device, reports)
    return True


def _require_sides(corpus: Corpus, split: Split) -> None:
    """Refuse at once a corpus whose bundle could not be made or measured hours later.

    Raises
    ------
    CorpusError
        It has too few tracks.
    """
    if len({corpus.tracks[row] for row in split.validation}) < 2 or not len(split.test):
        n = len(set(corpus.tracks))
        raise CorpusError(
            f"{n} tracks are too few: two are needed to fit the combiners and another to measure the bundle,"
            " and only a part of all tracks is put aside for either"
        )


def quantize(folder: Path, out: Path, reports: Reports) -> None:
    """Give a bundle that is complete already int8 networks, or new ones in place of those that it has.

    Parameters
    ----------
    folder
        The corpus that the bundle was trained on: its training windows show what the networks hear.
    out
        The bundle.
    reports
        Where to tell how it goes.

    Raises
    ------
    CorpusError, WeightsError
        The corpus or the bundle cannot be read.
    """
    keep_freed_memory()
    bundle = load_bundle(out)
    corpus = read_corpus(folder)
    split = split_corpus(corpus, bundle.seed)
    _complete(corpus, split, out, reports)


@dataclass(frozen=True)
class _Source:
    """Where pools come from."""

    corpus: Corpus
    windows: Windows
    teacher: Musicnn | None
    work: Path
    seed: int
    device: torch.device
    report: Callable[[int, int], None]

    def pool(self, name: str, rows: Indices) -> Pool:
        """Some of the corpus's windows in all versions, kept in the folder of that name."""
        return load_pool(
            self.corpus,
            self.windows,
            rows,
            self.work / name,
            teacher=self.teacher,
            n_versions=N_VERSIONS,
            seed=self.seed,
            device=self.device,
            report=self.report,
        )


def _teacher(path: Path | None, device: torch.device) -> Musicnn | None:
    if path is None:
        return None
    teacher = load_teacher(path)
    if not isinstance(teacher, Musicnn):
        raise CorpusError(f"{path} is no Musicnn: only that one hears windows piece by piece")
    return teacher.to(device)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError("cuda is not available: this torch sees no GPU")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _checkpoint(work: Path, member: str) -> Path:
    return work / f"{member}.pt"


def _recipe(member: str, options: TrainOptions) -> Recipe:
    recipe = RECIPES[member]
    rate = GOING_ON if options.start else 1.0
    cycles = (Cycle(round(cycle.n_windows * options.effort), cycle.peak_rate * rate) for cycle in recipe.cycles)
    return replace(recipe, cycles=tuple(cycles))


def _bundle(
    trained: dict[str, Trained],
    unseen: Pool,
    heldout: Heldout,
    split: Split,
    out: Path,
    options: TrainOptions,
    device: torch.device,
    reports: Reports,
) -> None:
    corpus = heldout.corpus
    reports.stage("Exporting the members")
    for member, result in trained.items():
        export_member(member, result.network, result.normalisation, out)
    reports.stage("Fitting the combiners on held-out tracks")
    combined = _combine(trained, unseen, heldout, options.seed, device)
    for name, fitted in combined.items():
        export_combiner(combiner_of(name), fitted.network, len(COMBINATIONS[name]), out)
    thresholds = _thresholds(combined, corpus, split)
    record = _record(trained, combined, corpus, split, options, device)
    write_manifest(out, tags=corpus.tags, thresholds=thresholds, training=record)
    _complete(corpus, split, out, reports)


def _complete(corpus: Corpus, split: Split, out: Path, reports: Reports) -> None:
    """Add the int8 networks to a bundle, what was measured with either kind on the test tracks, and the model card."""
    reports.stage("Making the int8 networks")
    quantize_bundle(out, training_windows(corpus, split.train), reports.stage)
    measured = {}
    for precision in ("fp32", "int8"):
        reports.stage(f"Measuring the bundle on the test tracks, {precision}")
        combinations = (FULL, *COMBINATIONS)
        ensemble = load_ensemble(load_bundle(out), device="cpu", precision=precision, combinations=combinations)
        jobs = torch.get_num_threads()
        measured[precision] = evaluate(corpus, split.test, ensemble, jobs=jobs, report=reports.evaluation)
    add_metrics(out, measured)
    write_card(out)


def _combine(
    trained: dict[str, Trained], unseen: Pool, heldout: Heldout, seed: int, device: torch.device
) -> dict[str, Combined]:
    """Fit the combiners on the validation tracks in all their versions; the unchanged windows come first."""
    versions = replace(heldout, windows=Windows(unseen.waveforms, unseen.log_mels), rows=np.arange(len(unseen.scores)))
    scores = {
        member: predict_rows(member, on_device(result.network, device), result.normalisation, versions, device)
        for member, result in trained.items()
    }
    labels = unseen.scores.mean(axis=1, dtype=np.float32)
    tracks = [heldout.corpus.tracks[row] for row in heldout.rows]
    folds = np.tile(assign_folds(tracks, seed), len(labels) // len(tracks))
    return {name: fit_combiner(name, scores, labels, folds, seed) for name in COMBINATIONS}


def _thresholds(combined: dict[str, Combined], corpus: Corpus, split: Split) -> dict[str, Any]:
    """The scores from which tags are believed, chosen on the unchanged validation windows."""
    labels = corpus.labels[split.validation]
    chosen = {
        name: choose_thresholds(fitted.unseen_scores[: len(labels)], labels, corpus.soft)
        for name, fitted in combined.items()
    }
    return {
        "precision": PRECISION,
        "present": PRESENT if corpus.soft else None,
        "scores": {name: dict(zip(corpus.tags, scores, strict=True)) for name, scores in chosen.items()},
    }


def _record(
    trained: dict[str, Trained],
    combined: dict[str, Combined],
    corpus: Corpus,
    split: Split,
    options: TrainOptions,
    device: torch.device,
) -> dict[str, Any]:
    sides = {"train": split.train, "validation": split.validation, "test": split.test}
    return {
        "corpus": corpus.name,
        "labels": "soft" if corpus.soft else "hard",
        "windows": {side: len(rows) for side, rows in sides.items()},
        "tracks": {side: len({corpus.tracks[row] for row in rows}) for side, rows in sides.items()},
        "seed": options.seed,
        "device": device.type,
        "torch": torch.__version__,
        "commit": _commit(),
        "sources": dict(Counter(track.split("\t")[0] for track in corpus.tracks)) if corpus.soft else {},
        "teacher": options.teacher and {"name": options.teacher.name, "sha256": _sha256(options.teacher)},
        "versions": N_VERSIONS if options.teacher else 1,
        "members": {
            member: result.record | {"normalisation": asdict(result.normalisation)}
            for member, result in trained.items()
        },
        "combiners": {
            name: {"weights": r.weights, "shrinkage": r.shrinkage, "epochs": r.epochs, "agreements": r.agreements}
            for name, r in combined.items()
        },
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _commit() -> str | None:
    """The checkout's commit; None outside one."""
    here = Path(__file__).parent
    try:
        result = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
