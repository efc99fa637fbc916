"""How well tags fit genres that people have sorted music into: `python -m benchmarks.bench_genres CORPUS`.

Everything else that is measured on a clips folder is agreement with its teacher, mistakes and all. Part of the clips
come from a data set in which people have put each track into one of four genres, the last folder of its path. They tell
whether a tag ranks the tracks of its genre above the others, and whether the networks do so as well as their teacher.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtag.bundle import FAST, FULL, load_bundle
from mtag.corpus import Corpus, Indices, read_corpus, split_corpus
from mtag.ensemble import load_ensemble
from mtag.metrics import roc_auc
from mtag.predict import predict_file

SOURCE = "RohitJacob/MusicAnalysis"
GENRE_OF = {"classical": "classical", "rock": "rock", "electronic": "electronic", "pop": "pop", "techno": "electronic"}

Scores = NDArray[np.float32]


def main() -> None:
    """Print a table: ROC-AUC of each tag for its genre, and their mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a clips folder")
    parser.add_argument("--weights", type=Path, help="another bundle than the one that ships")
    arguments = parser.parse_args()
    corpus = read_corpus(arguments.corpus)
    bundle = load_bundle(arguments.weights)
    rows, genres = sorted_by_people(corpus, bundle.seed)
    if not len(rows):
        parser.error(f"{arguments.corpus} holds no clips of {SOURCE}, whose genres are known")
    print(f"{len(rows)} windows of tracks that were never trained on.\n\n| | {' | '.join(GENRE_OF)} | mean |")
    print("| --- |" + " --- |" * (len(GENRE_OF) + 1))
    print_row("teacher", corpus, genres, corpus.labels[rows])
    for name in (FAST, FULL):
        ensemble = load_ensemble(bundle, device="cpu", combinations=(name,))
        scores = [predict_file(corpus.files[row], ensemble).scores for row in rows]
        print_row(name, corpus, genres, np.stack(scores))


def sorted_by_people(corpus: Corpus, seed: int) -> tuple[Indices, NDArray[np.str_]]:
    """Rows of the validation and test sides of a bundle's split whose genre is known, and these genres."""
    split = split_corpus(corpus, seed)
    rows = [row for row in (*split.validation, *split.test) if corpus.tracks[row].startswith(SOURCE)]
    return np.array(rows), np.array([Path(corpus.tracks[row]).parent.name for row in rows])


def print_row(name: str, corpus: Corpus, genres: NDArray[np.str_], scores: Scores) -> None:
    """Print one line of the table; scores are (n, 50)."""
    truth = np.stack([genres == genre for genre in GENRE_OF.values()], axis=1)
    areas = roc_auc(truth, scores[:, [corpus.tags.index(tag) for tag in GENRE_OF]])
    print(f"| {name} |", " | ".join(f"{area:.3f}" for area in (*areas, areas.mean())), "|", flush=True)


if __name__ == "__main__":
    main()
