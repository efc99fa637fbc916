"""How well a bundle ranks the windows of a labelled corpus, laid out as the paper's Table 5."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtag.audio.decoders import Decoders
from mtag.audio.windows import WindowReader
from mtag.bundle import COMBINATIONS, MEMBERS, Bundle
from mtag.corpus import Corpus, Indices
from mtag.ensemble import Ensemble
from mtag.errors import CorpusError, FileError
from mtag.features import log_mel
from mtag.metrics import correlation, mean_of_known, pr_auc, precision_recall, roc_auc, top_decile

Float32 = NDArray[np.float32]

# Table 5, MagnaTagATune's test set: macro ROC-AUC.
PAPER_ROC_AUC = {
    "1": 0.857, "2": 0.891, "3": 0.783, "1+2": 0.894, "1+3": 0.883, "2+3": 0.905, "1+2+3": 0.910,
}  # fmt: skip


PRESENT = 0.25  # a teacher's score from which a soft label counts as present
PER_TAG = ("roc_auc", "pr_auc", "correlation", "precision", "recall")  # fields of a row with a figure for each tag


@dataclass(frozen=True)
class Row:
    """One line of the table: a member alone or a combination."""

    name: str  # "1" ... "1+2+3"
    roc_auc: tuple[float, ...]  # per tag; NaN where all or no windows carry it
    pr_auc: tuple[float, ...]
    correlation: tuple[float, ...] | None  # with soft labels only
    roc_auc_micro: float  # all (window, tag) pairs ranked together
    pr_auc_micro: float
    precision: tuple[float, ...] | None = None  # at the bundle's thresholds, of combinations; NaN where never given
    recall: tuple[float, ...] | None = None  # likewise; NaN for a tag that no window carries

    @property
    def summary(self) -> dict[str, float]:
        """Means over the tags that have a figure, and the pooled figures; NaN where there is none."""
        means = {"roc_auc": mean_of_known(self.roc_auc), "pr_auc": mean_of_known(self.pr_auc)}
        if self.correlation is not None:
            means["correlation"] = mean_of_known(self.correlation)
        return means | {"roc_auc_micro": self.roc_auc_micro, "pr_auc_micro": self.pr_auc_micro}

    def per_tag(self, tags: tuple[str, ...], *names: str) -> dict[str, dict[str, float | None]]:
        """Some of the figures by tag, those that there are; None for NaN."""
        columns = {name: values for name in names if (values := getattr(self, name)) is not None}
        return {
            tag: {name: None if np.isnan(values[i]) else values[i] for name, values in columns.items()}
            for i, tag in enumerate(tags)
        }


@dataclass(frozen=True)
class Evaluation:
    """A bundle's figures on one part of a corpus."""

    corpus: str  # the layout's name
    n_windows: int
    soft: bool  # truth is the teacher's top decile per tag rather than people's labels
    tags: tuple[str, ...]
    rows: tuple[Row, ...]
    skipped: tuple[str, ...]  # files that could not be heard, with the reason

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON document, None for NaN."""
        rows: list[dict[str, Any]] = [
            {"name": row.name}
            | {name: None if np.isnan(value) else value for name, value in row.summary.items()}
            | {"per_tag": row.per_tag(self.tags, *PER_TAG)}
            for row in self.rows
        ]
        for row in rows:
            row["paper_roc_auc"] = PAPER_ROC_AUC[row["name"]]
        return {
            "corpus": self.corpus,
            "windows": self.n_windows,
            "truth": "teacher's top decile per tag" if self.soft else "labels",
            "rows": rows,
            "skipped": list(self.skipped),
        }


def _scores(
    corpus: Corpus, rows: Indices, ensemble: Ensemble, jobs: int, report: Callable[[int, int], None]
) -> tuple[dict[str, Float32], Indices, tuple[str, ...]]:
    """Line of the table -> (n, 50) scores, the n rows that could be heard, and a sentence for each that could not."""

    def hear(row: int) -> dict[str, Float32] | FileError:
        try:
            return _hear(WindowReader(corpus.files[row], decoders.read_blocks), ensemble)
        except FileError as error:
            return error

    heard: list[dict[str, Float32] | FileError] = []
    with Decoders() as decoders, ThreadPoolExecutor(jobs) as pool:
        for outcome in pool.map(hear, map(int, rows)):
            heard.append(outcome)
            report(len(heard), len(rows))
    failures = tuple(str(outcome) for outcome in heard if isinstance(outcome, FileError))
    scored = {row: outcome for row, outcome in zip(rows, heard, strict=True) if not isinstance(outcome, FileError)}
    if not scored:
        raise CorpusError(f"none of {len(rows)} files could be heard; the first one: {failures[0]}")
    scores = {name: np.stack([outcome[name] for outcome in scored.values()]) for name in PAPER_ROC_AUC}
    return scores, np.array(list(scored)), failures


def _hear(windows: WindowReader, ensemble: Ensemble) -> dict[str, Float32]:
    """Mean over a file's windows of what each member and each combination says of them, as `mtag.predict` has it."""
    taggrams: dict[str, list[Float32]] = {name: [] for name in PAPER_ROC_AUC}
    for window in windows:
        log_mels = log_mel(window[None])
        members = {member: ensemble.member_scores(member, log_mels, window[None]) for member in MEMBERS}
        for member, scores in members.items():
            taggrams[member.removeprefix("model")].append(scores[0])
        for combination in COMBINATIONS:
            taggrams[combination].append(ensemble.combine(combination, members)[0])
    return {name: np.mean(rows, axis=0) for name, rows in taggrams.items()}


def evaluate(
    corpus: Corpus, rows: Indices, ensemble: Ensemble, *, jobs: int = 1, report: Callable[[int, int], None]
) -> Evaluation:
    """Measure each member and each combination.

    Parameters
    ----------
    corpus, rows
        The labelled files, and which of them to hear.
    ensemble
        Loaded with all combinations.
    jobs
        Files in flight.
    report
        Called with the number of files done and of all.

    Raises
    ------
    CorpusError
        The corpus names other tags, there are no rows, or none of the files could be heard.
    """
    columns = _columns(corpus.tags, ensemble.tags)
    if not len(rows):
        raise CorpusError("no file stands on this side of the split: the corpus has too few tracks to be split")
    scores, heard, skipped = _scores(corpus, rows, ensemble, jobs, report)
    labels = corpus.labels[heard][:, columns]
    table = tuple(_row(name, labels, given, corpus.soft, ensemble.bundle) for name, given in scores.items())
    return Evaluation(corpus.name, len(heard), corpus.soft, ensemble.tags, table, skipped)


def _columns(corpus_tags: tuple[str, ...], bundle_tags: tuple[str, ...]) -> list[int]:
    """Column of each of the bundle's tags in the corpus's labels."""
    missing = sorted(set(bundle_tags) - set(corpus_tags))
    if missing:
        raise CorpusError(f"the corpus has no labels for {', '.join(missing)}")
    return [corpus_tags.index(tag) for tag in bundle_tags]


def _row(name: str, labels: Float32, scores: Float32, soft: bool, bundle: Bundle) -> Row:
    truth = top_decile(labels) if soft else labels > 0
    pooled = truth.reshape(-1, 1), scores.reshape(-1, 1)
    precision, recall = _at_thresholds(name, labels, scores, soft, bundle) if name in COMBINATIONS else (None, None)
    return Row(
        name=name,
        roc_auc=tuple(map(float, roc_auc(truth, scores))),
        pr_auc=tuple(map(float, pr_auc(truth, scores))),
        correlation=tuple(map(float, correlation(labels, scores))) if soft else None,
        roc_auc_micro=float(roc_auc(*pooled)[0]),
        pr_auc_micro=float(pr_auc(*pooled)[0]),
        precision=precision,
        recall=recall,
    )


def _at_thresholds(
    name: str, labels: Float32, scores: Float32, soft: bool, bundle: Bundle
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Precision and recall of each tag where its score reaches the bundle's threshold."""
    stored = bundle.thresholds(name)
    given = scores >= [stored[tag] for tag in bundle.tags]
    # A bundle that learnt people's labels says nothing of a teacher's scores.
    present = labels >= (bundle.manifest["thresholds"].get("present") or PRESENT) if soft else labels > 0
    precision, recall = precision_recall(present, given)
    return tuple(map(float, precision)), tuple(map(float, recall))
