from dataclasses import replace

import numpy as np
import pytest
import torch

from mtag.constants import WINDOW_SAMPLES
from mtag.corpus import split_corpus
from mtag.errors import CorpusError
from mtag.training import fit as fitting
from mtag.training.fit import fit
from mtag.training.recipes import RECIPES, Cycle

CPU = torch.device("cpu")


def short(name, steps, **changes):
    return replace(
        RECIPES[name], cycles=(Cycle(steps * 4, RECIPES[name].cycles[0].peak_rate),), batch_size=4, **changes
    )


def run(recipe, corpus, windows, checkpoint, report=lambda progress: None):
    split = split_corpus(corpus)
    return fit(recipe, corpus, windows, split, checkpoint, seed=0, device=CPU, report=report)


class StoppedError(Exception):
    pass


def test_a_network_learns_what_its_labels_say(corpus, windows, tmp_path):
    losses = []
    run(short("model1", 30), corpus, windows, tmp_path / "m.pt", lambda p: losses.append(p.loss))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["model2", "model3"])
def test_the_other_members_train_and_are_validated(name, corpus, windows, tmp_path):
    trained = run(short(name, 2, full_share=0.5), corpus, windows, tmp_path / "m.pt")
    history = trained.record["validation"]
    assert [entry["step"] for entry in history] == [1, 2]
    assert all(0 <= entry["roc_auc"] <= 1 for entry in history)


def test_an_interrupted_run_ends_as_if_it_had_never_stopped(corpus, windows, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0)
    recipe = short("model1", 6)

    def interrupt(progress):
        if progress.step == 3:
            raise StoppedError

    whole = run(recipe, corpus, windows, tmp_path / "whole.pt")
    with pytest.raises(StoppedError):
        run(recipe, corpus, windows, tmp_path / "broken.pt", interrupt)
    steps = []
    resumed = run(recipe, corpus, windows, tmp_path / "broken.pt", lambda p: steps.append(p.step))
    assert steps == [4, 5, 6]
    for ours, theirs in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        np.testing.assert_allclose(ours.detach(), theirs.detach(), atol=1e-6)


def test_a_checkpoint_of_another_recipe_is_refused(corpus, windows, tmp_path):
    run(short("model1", 1), corpus, windows, tmp_path / "m.pt")
    with pytest.raises(CorpusError, match="another recipe or seed"):
        run(short("model1", 2), corpus, windows, tmp_path / "m.pt")


def test_the_learning_rate_rises_to_each_cycles_peak_and_falls_to_zero():
    recipe = replace(RECIPES["model1"], cycles=(Cycle(1_600, 1e-3), Cycle(800, 5e-4)), batch_size=16, warm_up=0.1)
    rates = [recipe.learning_rate(step) for step in range(recipe.n_steps)]
    assert len(rates) == 150
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates[:100]) == pytest.approx(1e-3)
    assert rates[99] < 1e-6
    assert max(rates[100:]) == pytest.approx(5e-4)
    assert rates[-1] < 2e-6


def test_each_cycle_ends_on_full_windows():
    recipe = replace(short("model3", 10, full_share=0.2), crop_samples=50_000)
    assert [recipe.samples(step) for step in range(10)] == [50_000] * 8 + [WINDOW_SAMPLES] * 2
    assert recipe.remaining_samples(7) == 50_000 + 2 * WINDOW_SAMPLES
