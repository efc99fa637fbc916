from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtag.bundle import COMBINATIONS
from mtag.evaluate import PAPER_ROC_AUC
from tests.encoding import encode, tone
from tests.tiny_bundle import TAGS

N_CLIPS = 3


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A folder of clips whose labels are a teacher's scores."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "clips" / "c").mkdir(parents=True)
    names = [f"c{number}" for number in range(N_CLIPS)]
    for number, name in enumerate(names):
        encode(folder / "clips" / "c" / f"{name}.opus", tone(2, hz=220.0 * (number + 1)))
    rows = [f"{name}\tsource\t{name}.mp3" for name in names]
    (folder / "clips.tsv").write_text("\n".join(["id\tsource\tpath", *rows]) + "\n")
    (folder / "tags_mtat.txt").write_text("\n".join(TAGS) + "\n")
    labels = np.random.default_rng(0).random((N_CLIPS, len(TAGS)))
    np.savez(folder / "labels.npz", ids=np.array(names), mtat=labels.astype(np.float32))
    return folder


def test_a_corpus_is_measured_with_every_combination(mtag, corpus, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    ended = mtag("eval", corpus, "--part", "all", "--per-tag")
    assert ended.code == 0
    told, heading, *lines = ended.out.splitlines()
    assert told == "3 files of clips (all); truth: the teacher's top decile per tag"
    assert heading.split()[:2] == ["models", "ROC-AUC"]
    assert [line.split()[0] for line in lines[: len(PAPER_ROC_AUC)]] == list(PAPER_ROC_AUC)
    assert lines[0].split()[-1] == "0.857"
    assert [line.strip().split("  ")[0] for line in lines[-len(TAGS) :]] == list(TAGS)


def test_a_program_reads_one_document(mtag, corpus):
    (document,) = mtag("eval", corpus, "--part", "all", "--json").records
    assert (document["part"], document["windows"]) == ("all", N_CLIPS)
    assert [row["name"] for row in document["rows"]][-len(COMBINATIONS) :] == list(COMBINATIONS)


def test_tracks_can_be_left_out(mtag, corpus):
    (document,) = mtag("eval", corpus, "--part", "all", "--without", "c1.*", "--json").records
    assert document["windows"] == N_CLIPS - 1
    assert mtag("eval", corpus, "--part", "all", "--without", "c*").code == 3


@pytest.mark.parametrize("name", ["labels.npz", "tags_mtat.txt"])
def test_a_corpus_that_lacks_a_table_is_one_sentence(mtag, corpus, name):
    (corpus / name).rename(corpus / "away")
    try:
        ended = mtag("eval", corpus)
    finally:
        (corpus / "away").rename(corpus / name)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == f"mtag: {corpus} holds clips.tsv but no {name}\n"
