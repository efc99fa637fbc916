"""Fit one member: a resumable loop over augmented batches, with validation as it goes."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mtag.corpus import Corpus, Indices
from mtag.errors import CorpusError
from mtag.metrics import correlation, roc_auc, top_decile
from mtag.training.batches import Batches, LogMelBatches, Normalisation, WaveformBatches, draw, plain_inputs
from mtag.training.cache import Windows
from mtag.training.networks import Model1, Model2, Model3, initialise, tie_head
from mtag.training.pool import Pool
from mtag.training.recipes import Recipe
from mtag.training.step import Learner, autocast, own_stream

NETWORKS: dict[str, type[nn.Module]] = {"model1": Model1, "model2": Model2, "model3": Model3}
CHECKPOINT_SECONDS = 120.0
N_VALIDATIONS = 10  # over a whole run
EVALUATION_BATCH = 8  # windows
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h
SMOOTHING = 0.98  # of the loss that is shown ...
LOOK_STEPS = 20  # ... and steps between looks at it


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    member: str
    step: int
    n_steps: int
    loss: float  # smoothed over about fifty steps
    roc_auc: float  # macro, on validation windows; NaN before the first validation
    seconds_left: float


@dataclass(frozen=True)
class Trained:
    """A finished member."""

    network: nn.Module  # in eval mode, on the CPU
    normalisation: Normalisation
    record: dict[str, Any]  # recipe, seed, seconds, validation history


@dataclass
class _Run:
    """What a checkpoint holds."""

    learner: Learner
    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


class _Loss:
    """A loss smoothed where it arises; looked at now and then, as each look makes a GPU wait."""

    def __init__(self, device: torch.device) -> None:
        self.shown = math.nan  # as of the last look
        self._value = torch.tensor(math.nan, device=device)
        self._n = 0

    def add(self, value: Tensor) -> None:
        """Take in the loss of one step."""
        self._value = torch.where(self._value.isnan(), value, SMOOTHING * self._value + (1 - SMOOTHING) * value)
        if self._n % LOOK_STEPS == 0:
            self.look()
        self._n += 1

    def look(self) -> float:
        """The smoothed loss."""
        self.shown = self._value.item()
        return self.shown


def fit(
    recipe: Recipe,
    pool: Pool,
    heldout: Heldout,
    checkpoint: Path,
    *,
    seed: int,
    device: torch.device,
    start: Trained | None = None,
    report: Callable[[Progress], None],
) -> Trained:
    """Fit one member, going on from `checkpoint` where it exists.

    Parameters
    ----------
    recipe
        Its schedule.
    pool
        What it learns on.
    heldout
        What it is validated on as it goes.
    checkpoint
        Where its state is kept.
    seed
        Decides first weights, batches and dropout.
    device
        Where it learns.
    start
        An earlier bundle's member to begin as, in place of random weights.
    report
        Called after every step; whatever it raises ends the run there, with its state kept.

    Raises
    ------
    CorpusError
        The checkpoint was made with another recipe or seed.
    """
    with own_stream(device):
        batches = _batches(recipe, pool, start, device)
        run = _begin(recipe, seed, device, start)
        made_for = {"recipe": _plain(recipe), "seed": seed, "pool": pool.origin}
        _resume(run, checkpoint, made_for)
        loss = _Loss(device)
        started, saved = time.monotonic(), time.monotonic()
        first_step, seconds_before = run.step, run.seconds
        while run.step < recipe.n_steps:
            loss.add(_step(run, recipe, pool, batches, seed))
            run.step += 1
            run.seconds = seconds_before + time.monotonic() - started
            is_last = run.step == recipe.n_steps
            if is_last or run.step % max(1, recipe.n_steps // N_VALIDATIONS) == 0:
                measured = _validate(run, recipe, batches.normalisation, heldout, device)
                run.history.append(measured | {"loss": loss.look()})
            if is_last or time.monotonic() - saved > CHECKPOINT_SECONDS:
                _save(run, checkpoint, made_for)
                saved = time.monotonic()
            done = recipe.remaining_pieces(first_step) - recipe.remaining_pieces(run.step)
            try:
                report(_progress(run, recipe, loss.shown, pace=(time.monotonic() - started) / done))
            except BaseException:
                _save(run, checkpoint, made_for)
                raise
        network = run.learner.average.eval().cpu().float()
    return Trained(network, batches.normalisation, _record(run, recipe, seed, start))


def is_fitted(recipe: Recipe, checkpoint: Path) -> bool:
    """Whether a member has been fitted to its end; another process may be at it."""
    if not checkpoint.is_file():
        return False
    step: int = torch.load(checkpoint, map_location="cpu", weights_only=True)["step"]
    return step >= recipe.n_steps


def _record(run: _Run, recipe: Recipe, seed: int, start: Trained | None) -> dict[str, Any]:
    """What the manifest tells of a member's training."""
    return {
        "recipe": _plain(recipe),
        "seed": seed,
        "start": start.record.get("bundle") if start else None,
        "seconds": round(run.seconds),
        "validation": run.history,
    }


def _batches(recipe: Recipe, pool: Pool, start: Trained | None, device: torch.device) -> Batches:
    kind = WaveformBatches if recipe.name == "model3" else LogMelBatches
    return kind(pool, start.normalisation, device) if start else kind.of(pool, device)


def _plain(recipe: Recipe) -> dict[str, Any]:
    """A recipe as JSON would hold it."""
    return asdict(recipe) | {"cycles": [asdict(cycle) for cycle in recipe.cycles]}


def keep_freed_memory() -> None:
    """Tell glibc to reuse large blocks rather than return them: a third less time for a training step on a CPU."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 2**29)


def on_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to its device, its 2-D convolutions channels-last: two and a half times as fast on a CPU."""
    moved: nn.Module = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def _begin(recipe: Recipe, seed: int, device: torch.device, start: Trained | None) -> _Run:
    torch.manual_seed(seed)
    network = NETWORKS[recipe.name]()
    if start:
        network.load_state_dict(start.network.state_dict())
    else:
        initialise(network, recipe.output_bias)
    network = on_device(network, device)
    groups = _parameter_groups(network, recipe)
    return _Run(Learner(network, groups, weight_decay=recipe.weight_decay, clip_norm=recipe.clip_norm))


def _parameter_groups(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameters by the share of the learning rate that they get."""
    if not recipe.tied:
        return [{"params": list(network.parameters()), "share": 1.0}]
    head, n_moments = tie_head(network)
    others = [parameter for parameter in network.parameters() if parameter is not head]
    return [{"params": others, "share": 1.0}, {"params": [head], "share": 1 / n_moments}]


def _step(run: _Run, recipe: Recipe, pool: Pool, batches: Batches, seed: int) -> Tensor:
    """Learn from the batch of the run's present step; its loss, on the device."""
    # Dropout, too, is then a function of seed and step, as the batch is.
    torch.manual_seed(seed * 1_000_003 + run.step)
    chosen = draw(pool, recipe.batch_size, seed, run.step)
    n_pieces = recipe.pieces(run.step)
    run.learner.network.train()
    return run.learner.step(
        batches.training(chosen, n_pieces),
        batches.labels(chosen, n_pieces),
        rate=recipe.learning_rate(run.step),
        decay=min(recipe.average, (1 + run.step) / (10 + run.step)),  # early on the average follows closely
    )


@dataclass(frozen=True)
class Heldout:
    """The windows that a member is validated on."""

    corpus: Corpus
    windows: Windows
    rows: Indices


def predict_rows(
    member: str, network: nn.Module, normalisation: Normalisation, heldout: Heldout, device: torch.device
) -> NDArray[np.float32]:
    """Scores of whole, unaugmented windows: (len(heldout.rows), 50) float32 in [0, 1]."""
    network.eval()
    with torch.inference_mode(), autocast(device):
        parts = [
            network(plain_inputs(member, heldout.windows, rows, normalisation).to(device)).float()
            for rows in _chunks(heldout.rows)
        ]
    scores: Tensor = torch.sigmoid(torch.cat(parts))
    return scores.cpu().numpy()


def _chunks(rows: Indices) -> Iterator[Indices]:
    return (rows[i : i + EVALUATION_BATCH] for i in range(0, len(rows), EVALUATION_BATCH))


def _validate(
    run: _Run, recipe: Recipe, normalisation: Normalisation, heldout: Heldout, device: torch.device
) -> dict[str, float]:
    scores = predict_rows(recipe.name, run.learner.average, normalisation, heldout, device)
    labels = heldout.corpus.labels[heldout.rows]
    truth = top_decile(labels) if heldout.corpus.soft else labels > 0
    return {
        "step": run.step,
        "roc_auc": float(np.nanmean(roc_auc(truth, scores))),
        "correlation": float(np.nanmean(correlation(labels, scores))),
    }


def _progress(run: _Run, recipe: Recipe, loss: float, pace: float) -> Progress:
    validated = run.history[-1]["roc_auc"] if run.history else math.nan
    left = pace * recipe.remaining_pieces(run.step)
    return Progress(recipe.name, run.step, recipe.n_steps, loss, validated, left)


def _save(run: _Run, path: Path, made_for: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    progress = {"step": run.step, "seconds": run.seconds, "history": run.history}
    state = made_for | progress | run.learner.state_dict()
    torch.save(state, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def _resume(run: _Run, path: Path, made_for: dict[str, Any]) -> None:
    if not path.is_file():
        return
    state = torch.load(path, map_location="cpu", weights_only=True)
    if any(state.get(name) != value for name, value in made_for.items()):
        reason = "was made with another recipe, seed, teacher or corpus: remove it, or train into another folder"
        raise CorpusError(f"{path} {reason}")
    run.learner.load_state_dict(state)
    run.step, run.seconds, run.history = state["step"], state["seconds"], state["history"]
