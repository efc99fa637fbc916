"""Labelled windows on disk: two folder layouts, one `Corpus`, one split.

* A *clips* folder: `clips.tsv` (id, source, path, ...), `clips/F/ID.opus`, `labels.npz` with soft labels.
* MagnaTagATune as it is distributed: `annotations_final.csv` and `mp3/0..f` (or `0..f` directly), hard labels.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtag.constants import N_TAGS
from mtag.errors import CorpusError

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """Windows with their labels; row i of every field belongs to the same window."""

    name: str  # the layout: "clips" or "MagnaTagATune"
    tags: tuple[str, ...]  # the labels' columns, in order
    files: tuple[Path, ...]  # one audio file a window
    tracks: tuple[str, ...]  # windows with equal names come from one track
    labels: NDArray[np.float32]  # (n, 50), in [0, 1]
    soft: bool  # a teacher's scores rather than people's yes or no


@dataclass(frozen=True)
class Split:
    """Row numbers of a corpus, disjoint."""

    train: Indices
    validation: Indices
    test: Indices


def read_corpus(folder: Path) -> Corpus:
    """Read either layout.

    Raises
    ------
    CorpusError
        The folder holds neither layout, or its tables and files do not agree.
    """
    if (folder / "clips.tsv").is_file():
        return _read_clips(folder)
    if (folder / "annotations_final.csv").is_file():
        return _read_magnatagatune(folder)
    raise CorpusError(f"{folder} holds neither clips.tsv nor MagnaTagATune's annotations_final.csv")


def split_corpus(corpus: Corpus, seed: int = 0) -> Split:
    """Split a corpus the way its kind asks for.

    Soft clips are split by track 8:1:1, so that no track is on two sides. MagnaTagATune's clips are merged, shuffled
    and split 13:1:2, as the paper does.
    """
    rng = np.random.default_rng(seed)
    if corpus.soft:
        groups, track_of_row = np.unique(corpus.tracks, return_inverse=True)
        parts = (8, 1, 1)
    else:
        groups = track_of_row = np.arange(len(corpus.files))
        parts = (13, 1, 2)
    place = rng.permutation(len(groups))[track_of_row] / len(groups)
    borders = np.cumsum(parts) / sum(parts)
    side = np.searchsorted(borders[:-1], place, side="right")
    train, validation, test = (np.flatnonzero(side == i) for i in range(3))
    return Split(train, validation, test)


def _read_clips(folder: Path) -> Corpus:
    for name in ("labels.npz", "tags_mtat.txt"):
        if not (folder / name).is_file():
            raise CorpusError(f"{folder} holds clips.tsv but no {name}")
    with (folder / "clips.tsv").open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    stored = np.load(folder / "labels.npz")
    row_of = {str(clip): i for i, clip in enumerate(stored["ids"])}
    ids = [row["id"] for row in rows]
    missing = [clip for clip in ids if clip not in row_of]
    if missing:
        raise CorpusError(f"{folder / 'labels.npz'} lacks {len(missing)} clips of clips.tsv, {missing[0]} first")
    if len(set(ids)) < len(ids):  # one sound under the names of two tracks could stand on two sides of a split
        twice = next(clip for clip, n in Counter(ids).items() if n > 1)
        raise CorpusError(f"{folder / 'clips.tsv'} lists {twice} more than once")
    tags = tuple((folder / "tags_mtat.txt").read_text(encoding="utf-8").split("\n")[:N_TAGS])
    if len(set(tags) - {""}) < N_TAGS:
        raise CorpusError(f"{folder / 'tags_mtat.txt'} does not name {N_TAGS} tags, one a line")
    labels = stored["mtat"][[row_of[clip] for clip in ids]].astype(np.float32)
    if labels.shape != (len(ids), N_TAGS):
        raise CorpusError(f"{folder / 'labels.npz'}: mtat is {stored['mtat'].shape}, not (n, {N_TAGS})")
    wrong = np.flatnonzero(~((labels >= 0) & (labels <= 1)).all(axis=1))  # the comparisons are false for NaN
    if len(wrong):
        raise CorpusError(f"{folder / 'labels.npz'}: {ids[wrong[0]]} has a label that is not between 0 and 1")
    return Corpus(
        name="clips",
        tags=tags,
        files=tuple(folder / "clips" / row["id"][0] / f"{row['id']}.opus" for row in rows),
        tracks=tuple(f"{row['source']}\t{row['path']}" for row in rows),
        labels=labels,
        soft=True,
    )


def _read_magnatagatune(folder: Path) -> Corpus:
    with (folder / "annotations_final.csv").open(newline="", encoding="utf-8") as table:
        header, *rows = csv.reader(table, delimiter="\t")
    names = header[1:-1]
    answers = np.array([row[1:-1] for row in rows], dtype=np.float32)
    most_frequent = np.argsort(-answers.sum(axis=0), kind="stable")[:N_TAGS]
    audio = folder / "mp3" if (folder / "mp3").is_dir() else folder
    # A handful of the distributed MP3 files are empty.
    kept = [i for i, row in enumerate(rows) if _is_filled(audio / row[-1])]
    if not kept:
        raise CorpusError(f"{audio} holds none of the MP3 files that annotations_final.csv names")
    return Corpus(
        name="MagnaTagATune",
        tags=tuple(names[i] for i in most_frequent),
        files=tuple(audio / rows[i][-1] for i in kept),
        tracks=tuple(rows[i][-1].rsplit("-", 2)[0] for i in kept),
        labels=answers[kept][:, most_frequent],
        soft=False,
    )


def _is_filled(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
