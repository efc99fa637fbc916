import json
import shutil
from dataclasses import replace

import pytest

from mtag.bundle import COMBINATIONS, FAST, FULL, MEMBERS, combiner_of, load_bundle
from mtag.ensemble import load_ensemble
from mtag.errors import WeightsError


@pytest.fixture
def copy(tmp_path):
    """A copy of the bundle that a test may damage."""
    return shutil.copytree(load_bundle().folder, tmp_path / "bundle")


def change_manifest(folder, **changes):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def test_the_bundle_is_no_larger_than_the_papers():
    bundle = load_bundle()
    paper = [*MEMBERS, *map(combiner_of, COMBINATIONS)]
    assert sum(bundle.manifest["files"][name]["bytes"] for name in paper) <= 25.6e6
    assert bundle.manifest["licence"] == "CC BY-NC-SA 4.0"


def test_the_manifest_records_that_the_bundle_reaches_what_it_must():
    metrics = load_bundle().manifest["metrics"]
    exact, rounded = ({row["name"]: row for row in metrics[precision]["rows"]} for precision in ("fp32", "int8"))
    assert exact["1+2"]["correlation"] >= 0.80
    assert exact["1+2+3"]["correlation"] >= 0.85
    assert exact["1+2+3"]["roc_auc"] >= 0.95
    assert exact["1+2+3"]["roc_auc"] > max(row["roc_auc"] for name, row in exact.items() if name != "1+2+3")
    assert all(abs(exact[name]["roc_auc"] - row["roc_auc"]) < 0.003 for name, row in rounded.items())


def test_the_card_has_the_manifests_figures():
    bundle = load_bundle()
    card = (bundle.folder / "README.md").read_text(encoding="utf-8")
    for rows in (bundle.manifest["metrics"][precision]["rows"] for precision in ("fp32", "int8")):
        for row in rows:
            assert f"| {row['name']} | {row['roc_auc']:.3f} | {row['pr_auc']:.3f} | {row['correlation']:.3f} |" in card


def test_fingerprints_tell_the_combinations_apart():
    bundle = load_bundle()
    assert bundle.fingerprint(FAST) != bundle.fingerprint(FULL)
    assert bundle.fingerprint(FULL) == load_bundle().fingerprint(FULL)


@pytest.mark.parametrize("name", ["model1", "model2", "model3", "combiner_123", "combiner_12", "model1_int8"])
def test_a_fingerprint_changes_with_every_network_that_takes_part_and_no_other(name):
    bundle = load_bundle()
    other = {**bundle.manifest["files"], name: {**bundle.manifest["files"][name], "sha256": "0" * 64}}
    changed = replace(bundle, manifest={**bundle.manifest, "files": other})
    assert (changed.fingerprint() != bundle.fingerprint()) == (name in (*MEMBERS, combiner_of(FULL)))


def test_a_tag_without_a_threshold_is_never_believed():
    bundle = load_bundle()
    thresholds = {"scores": {FULL: {"rock": None, "opera": 0.25}}}
    assert replace(bundle, manifest={"thresholds": thresholds}).thresholds() == {"rock": float("inf"), "opera": 0.25}


def test_a_folder_without_a_bundle_is_named(tmp_path):
    with pytest.raises(WeightsError, match="no weights bundle"):
        load_bundle(tmp_path)


def test_the_environment_names_another_bundle(copy, monkeypatch):
    monkeypatch.setenv("MTAG_WEIGHTS", str(copy))
    assert load_bundle().folder == copy


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 99},
        {"features": {}},
        {"tags": ["rock"]},
        {"tags": ["rock"] * 51},
        {"files": {}},
        {"thresholds": {}},
        {"thresholds": {"scores": {FULL: {}}}},
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(copy, changes):
    change_manifest(copy, **changes)
    with pytest.raises(WeightsError):
        load_bundle(copy)


def test_a_manifest_that_is_no_json_is_refused(copy):
    (copy / "manifest.json").write_text("{")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_bundle(copy)


def test_a_damaged_network_is_refused_before_it_is_run(copy):
    content = bytearray((copy / "model1.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model1.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match="is damaged"):
        load_ensemble(load_bundle(copy), device="cpu", precision="fp32")


def test_a_missing_network_is_named(copy):
    (copy / "model2.onnx").unlink()
    with pytest.raises(WeightsError, match=r"model2\.onnx cannot be read"):
        load_ensemble(load_bundle(copy), device="cpu", precision="fp32")
