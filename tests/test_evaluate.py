import json

import numpy as np
import pytest

from mtag.bundle import COMBINATIONS, FULL, load_bundle
from mtag.corpus import Corpus
from mtag.ensemble import load_ensemble
from mtag.errors import CorpusError
from mtag.evaluate import PAPER_ROC_AUC, evaluate
from mtag.predict import predict_file
from tests.encoding import encode, noise, tone

N_FILES = 4


@pytest.fixture(scope="module")
def ensemble():
    return load_ensemble(combinations=(FULL, *COMBINATIONS), device="cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    sounds = [tone(5, hz=220.0), noise(5), tone(5, hz=3_000.0), 0 * tone(5)]
    files = tuple(encode(folder / f"{i}.wav", samples) for i, samples in enumerate(sounds))
    labels = np.random.default_rng(0).random((N_FILES, 50)).astype(np.float32)
    return Corpus("clips", load_bundle().tags, files, tuple("abcd"), labels, soft=True)


@pytest.fixture(scope="module")
def measured(corpus, ensemble):
    return evaluate(corpus, np.arange(N_FILES), ensemble, report=lambda done, n: None)


def test_the_table_has_the_papers_rows(measured):
    assert [row.name for row in measured.rows] == list(PAPER_ROC_AUC)


def test_a_file_that_cannot_be_heard_is_left_out_and_named(measured):
    assert measured.n_windows == N_FILES - 1
    assert len(measured.skipped) == 1
    assert "3.wav" in measured.skipped[0]


def test_figures_are_within_their_ranges(measured):
    for row in measured.rows:
        assert 0 <= row.summary["roc_auc"] <= 1
        assert 0 <= row.summary["pr_auc"] <= 1
        assert -1 <= row.summary["correlation"] <= 1


def test_the_json_document_has_each_tags_figures_and_no_nan(measured, corpus):
    document = json.loads(json.dumps(measured.to_json(), allow_nan=False))
    row = document["rows"][-1]
    assert row["paper_roc_auc"] == 0.910
    assert list(row["per_tag"]) == list(corpus.tags)


def test_labels_in_another_order_give_the_same_figures(corpus, ensemble, measured):
    order = np.random.default_rng(1).permutation(50)
    shuffled = Corpus(
        "clips", tuple(corpus.tags[i] for i in order), corpus.files, corpus.tracks, corpus.labels[:, order], soft=True
    )
    again = evaluate(shuffled, np.arange(N_FILES), ensemble, jobs=2, report=lambda done, n: None)
    assert again.to_json()["rows"] == measured.to_json()["rows"]


def test_a_corpus_without_the_bundles_tags_is_refused(corpus, ensemble):
    other = Corpus("clips", ("x",) * 50, corpus.files, corpus.tracks, corpus.labels, soft=True)
    with pytest.raises(CorpusError, match="no labels for"):
        evaluate(other, np.arange(1), ensemble, report=lambda done, n: None)


def test_a_side_without_files_is_one_sentence(corpus, ensemble):
    with pytest.raises(CorpusError, match="no file stands on this side of the split"):
        evaluate(corpus, np.arange(0), ensemble, report=lambda done, n: None)


@pytest.mark.filterwarnings("error")
def test_figures_that_nothing_can_be_said_of_are_null(corpus, ensemble):
    measured = evaluate(corpus, np.arange(1), ensemble, report=lambda done, n: None)
    row = json.loads(json.dumps(measured.to_json(), allow_nan=False))["rows"][0]
    assert row["roc_auc"] is None
    assert row["correlation"] is None
    assert row["pr_auc"] == 1


def test_a_file_of_several_windows_is_measured_by_the_scores_that_it_is_tagged_by(ensemble, tmp_path, monkeypatch):
    path = encode(tmp_path / "long.wav", np.concatenate([tone(30, hz=220.0), noise(30)]))
    corpus = Corpus("clips", ensemble.tags, (path,), ("a",), np.zeros((1, 50), np.float32), soft=False)
    measured = {}
    monkeypatch.setattr("mtag.evaluate._row", lambda name, labels, scores, *_: measured.setdefault(name, scores))
    evaluate(corpus, np.arange(1), ensemble, report=lambda done, n: None)
    np.testing.assert_allclose(measured[FULL][0], predict_file(path, ensemble).scores, atol=1e-6)
