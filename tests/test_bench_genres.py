from pathlib import Path

import numpy as np

from benchmarks.bench_genres import SOURCE, sorted_by_people
from mtag.corpus import Corpus, split_corpus


def test_only_tracks_that_the_bundle_was_not_trained_on_are_judged():
    tracks = tuple(f"{SOURCE}\tdata/rock/{i}.mp3" for i in range(50))
    files = tuple(Path(f"{i}.opus") for i in range(50))
    corpus = Corpus("clips", ("rock",), files, tracks, np.zeros((50, 1), np.float32), soft=True)
    for seed in (0, 1):
        rows, genres = sorted_by_people(corpus, seed)
        assert set(rows).isdisjoint(split_corpus(corpus, seed).train)
        assert set(genres) == {"rock"}
