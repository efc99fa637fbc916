import pytest

from mtag.bench import Timing, bench, combinations_for
from mtag.ensemble import load_ensemble


def test_fast_times_models_1_and_2_and_all_stages():
    combinations = combinations_for(fast=True)
    ensemble = load_ensemble(combinations=combinations, device="cpu")
    told = []
    timing = bench(ensemble, combinations, clips=2, jobs=2, report=told.append)
    document = timing.to_json()
    assert list(document["models"]) == ["model1", "model2"]
    assert list(document["ensembles"]) == ["1+2"]
    assert list(document["stages"]) == ["decode", "features", "inference"]
    assert all(seconds > 0 for seconds in [*timing.models.values(), *timing.stages.values()])
    assert timing.ensembles["1+2"] > timing.models["model1"] + timing.models["model2"]
    assert told[0] == "decode"
    assert document["bound"] == max(document["stages"], key=document["stages"].get)


@pytest.mark.parametrize(
    ("device", "seconds", "bound"),
    [
        ("cpu", (3, 1, 2), "decode"),
        ("cpu", (3, 1, 3.5), "inference"),
        ("cuda", (3, 1, 3.5), "decode"),
        ("cuda", (1, 3, 3.5), "features"),
        ("cuda", (3, 1, 5), "inference"),
    ],
)
def test_the_bound_is_the_longest_stage_unless_a_device_works_beside_the_cpu(device, seconds, bound):
    stages = dict(zip(("decode", "features", "inference"), seconds, strict=True))
    assert Timing(device, "fp32", 1, 1, {}, {}, stages).bound == bound


def test_all_combinations_are_timed_otherwise():
    assert combinations_for(fast=False) == ("1+2", "1+3", "2+3", "1+2+3")
