import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from mtag.bundle import COMBINATIONS, MEMBERS, load_bundle
from mtag.constants import SAMPLE_RATE
from mtag.corpus import read_corpus, split_corpus
from mtag.errors import CorpusError
from mtag.training import combine, quantize
from mtag.training.recipes import RECIPES
from mtag.training.run import Reports, TrainOptions, train

N_CLIPS = 20
SMALLEST = 1e-9  # effort: one step a member


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder of clips: twenty tracks of three seconds, each a tone in noise."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "clips" / "c").mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"c{i:02}" for i in range(N_CLIPS)]
    for i, name in enumerate(names):
        t = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
        sound = 0.3 * np.sin(2 * np.pi * 110 * (i + 1) * t) + 0.05 * rng.standard_normal(len(t))
        soundfile.write(folder / "clips" / "c" / f"{name}.opus", sound, SAMPLE_RATE, format="WAV")
    rows = [f"{name}\tsource\t{name}" for name in names]
    (folder / "clips.tsv").write_text("\n".join(["id\tsource\tpath", *rows]) + "\n")
    (folder / "tags_mtat.txt").write_text("\n".join(load_bundle().tags) + "\n")
    labels = rng.beta(0.5, 3, (N_CLIPS, 50)).astype(np.float16)
    np.savez(folder / "labels.npz", ids=np.array(names), mtat=labels)
    return folder


@pytest.fixture
def reports():
    def told(*_):
        return None

    return Reports(told, told, told, told, told)


def test_a_member_that_another_run_is_fitting_is_left_to_it(clips, tmp_path, reports):
    def interrupt(progress):
        if progress.member == "model1":
            raise KeyboardInterrupt

    recipe = RECIPES["model1"]
    effort = 2 * recipe.batch_size / recipe.cycles[0].n_windows
    with pytest.raises(KeyboardInterrupt):
        train(clips, tmp_path, TrainOptions(effort=effort, device="cpu"), replace(reports, fitting=interrupt))
    state = (tmp_path / "work" / "model1.pt").read_bytes()
    others = TrainOptions(members=("model2", "model3"), effort=effort, device="cpu", resume=True)
    assert not train(clips, tmp_path, others, reports)
    assert (tmp_path / "work" / "model1.pt").read_bytes() == state
    assert not (tmp_path / "manifest.json").exists()


def test_a_corpus_of_too_few_tracks_is_refused_before_anything_is_heard(clips, tmp_path, reports):
    small = tmp_path / "small"
    shutil.copytree(clips, small)
    lines = (small / "clips.tsv").read_text().splitlines()
    (small / "clips.tsv").write_text("\n".join(lines[:10]) + "\n")
    with pytest.raises(CorpusError, match="9 tracks are too few"):
        train(small, tmp_path / "out", TrainOptions(effort=SMALLEST, device="cpu"), reports)
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_leaves_a_bundle_that_loads_and_says_how_it_came_to_be(clips, tmp_path, reports, monkeypatch):
    monkeypatch.setattr(combine, "EPOCHS", 1)
    monkeypatch.setattr(quantize, "N_WINDOWS", 4)
    first = TrainOptions(members=("model1", "model3"), effort=SMALLEST, device="cpu")
    assert not train(clips, tmp_path, first, reports)
    with pytest.raises(CorpusError, match="--resume"):
        train(clips, tmp_path, first, reports)
    assert train(clips, tmp_path, TrainOptions(effort=SMALLEST, device="cpu", resume=True), reports)
    bundle = load_bundle(tmp_path)
    assert bundle.has_twins
    record = bundle.manifest["training"]
    assert record["members"].keys() == set(MEMBERS)
    assert sum(record["windows"].values()) == N_CLIPS
    test = bundle.manifest["metrics"]["fp32"]
    assert test["windows"] == len(split_corpus(read_corpus(clips)).test)
    assert [row["name"] for row in test["rows"]][3:] == list(COMBINATIONS)
    assert json.loads((tmp_path / "manifest.json").read_text())["training"]["teacher"] is None
    card = (tmp_path / "README.md").read_text()
    assert "source (20)" in card
    assert all(f"| {tag} | " in card for tag in bundle.tags)
    assert "not measured here" in card
