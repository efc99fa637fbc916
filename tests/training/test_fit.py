from dataclasses import replace

import numpy as np
import pytest
import torch

from mtag.errors import CorpusError
from mtag.training.fit import Heldout, fit
from mtag.training.pool import N_PIECES
from mtag.training.recipes import RECIPES, Cycle
from tests.training.conftest import N_WINDOWS

CPU = torch.device("cpu")


def short(name, steps, **changes):
    return replace(
        RECIPES[name], cycles=(Cycle(steps * 4, RECIPES[name].cycles[0].peak_rate),), batch_size=4, **changes
    )


@pytest.fixture(scope="module")
def heldout(corpus, windows):
    return Heldout(corpus, windows, np.arange(N_WINDOWS // 2, N_WINDOWS))


def run(recipe, pool, heldout, checkpoint, report=lambda progress: None, start=None):
    return fit(recipe, pool, heldout, checkpoint, seed=0, device=CPU, report=report, start=start)


class StoppedError(Exception):
    pass


def run_until(step, recipe, pool, heldout, checkpoint):
    def interrupt(progress):
        if progress.step == step:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(recipe, pool, heldout, checkpoint, interrupt)


def assert_same(ours, theirs):
    for mine, yours in zip(ours.network.parameters(), theirs.network.parameters(), strict=True):
        np.testing.assert_allclose(mine.detach(), yours.detach(), atol=1e-6)


def test_a_network_learns_what_its_labels_say(pool, heldout, tmp_path):
    losses = []
    run(short("model1", 30), pool, heldout, tmp_path / "m.pt", lambda p: losses.append(p.loss))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["model2", "model3"])
def test_the_other_members_train_and_are_validated(name, pool, heldout, tmp_path):
    trained = run(short(name, 2, full_share=0.5), pool, heldout, tmp_path / "m.pt")
    history = trained.record["validation"]
    assert [entry["step"] for entry in history] == [1, 2]
    assert all(0 <= entry["roc_auc"] <= 1 for entry in history)


def test_an_interrupted_run_ends_as_if_it_had_never_stopped(pool, heldout, tmp_path):
    recipe = short("model1", 6)
    whole = run(recipe, pool, heldout, tmp_path / "whole.pt")
    run_until(3, recipe, pool, heldout, tmp_path / "broken.pt")
    steps = []
    resumed = run(recipe, pool, heldout, tmp_path / "broken.pt", lambda p: steps.append(p.step))
    assert steps == [4, 5, 6]
    assert_same(resumed, whole)


def test_a_run_on_a_cpu_goes_on_from_what_a_gpu_has_left(pool, heldout, tmp_path):
    recipe = short("model1", 4)
    whole = run(recipe, pool, heldout, tmp_path / "whole.pt")
    run_until(2, recipe, pool, heldout, tmp_path / "broken.pt")
    state = torch.load(tmp_path / "broken.pt", weights_only=True)
    for group in state["optimizer"]["param_groups"]:
        group |= {"lr": torch.tensor(group["lr"]), "capturable": True}
    torch.save(state, tmp_path / "broken.pt")
    resumed = run(recipe, pool, heldout, tmp_path / "broken.pt")
    assert_same(resumed, whole)


def test_a_checkpoint_of_another_recipe_is_refused(pool, heldout, tmp_path):
    run(short("model1", 1), pool, heldout, tmp_path / "m.pt")
    with pytest.raises(CorpusError, match="another recipe, seed, teacher or corpus"):
        run(short("model1", 2), pool, heldout, tmp_path / "m.pt")


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
    recipe = replace(short("model3", 10, full_share=0.2), crop_pieces=3)
    assert [recipe.pieces(step) for step in range(10)] == [3] * 8 + [N_PIECES] * 2
    assert recipe.remaining_pieces(7) == 3 + 2 * N_PIECES


def test_a_tied_last_layer_weighs_all_moments_alike_while_it_learns(pool, heldout, tmp_path):
    trained = run(short("model1", 4), pool, heldout, tmp_path / "m.pt")
    weight = trained.network.layers[-2].weight.detach()
    assert weight.shape == (50, 384, 71)
    assert (weight - weight[..., :1]).abs().max().item() < 1e-7
    assert weight[..., 0].std().item() > 0


def test_what_is_exported_is_the_average_of_the_weights_on_the_way(pool, heldout, tmp_path):
    recipe = short("model1", 6)
    final = run(replace(recipe, average=0.0), pool, heldout, tmp_path / "final.pt")
    averaged = run(recipe, pool, heldout, tmp_path / "averaged.pt")
    distances = [
        (a - b).abs().mean().item()
        for a, b in zip(final.network.parameters(), averaged.network.parameters(), strict=True)
    ]
    assert 0 < max(distances) < 0.1


def test_a_member_goes_on_from_an_earlier_one(pool, heldout, tmp_path):
    earlier = run(short("model1", 6), pool, heldout, tmp_path / "earlier.pt")
    still = replace(short("model1", 1), cycles=(Cycle(4, 0.0),), average=0.0)
    later = run(still, pool, heldout, tmp_path / "later.pt", start=earlier)
    assert_same(later, earlier)
    assert later.normalisation == earlier.normalisation
