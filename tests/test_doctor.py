"""The doctor finds every part well here, and what is amiss where something is."""

import sqlite3

import numpy as np
import pytest

from mtag import doctor
from mtag.doctor import PARTS, Options, examine
from tests.tiny_bundle import HEARD, add_tiny_twins, write_tiny_bundle


@pytest.fixture
def options(tmp_path):
    return Options(weights=write_tiny_bundle(tmp_path / "bundle"), catalog=tmp_path / "catalog.db")


def findings(options):
    return {finding.part: finding for finding in examine(options)}


def amiss(options):
    return {part: finding.message for part, finding in findings(options).items() if not finding.well}


def test_every_part_of_this_installation_is_well(tmp_path):
    found = findings(Options(catalog=tmp_path / "catalog.db"))
    assert list(found) == list(PARTS)
    assert [finding.message for finding in found.values() if not finding.well] == []
    assert not (tmp_path / "catalog.db").exists()


def test_the_device_is_the_one_that_runs(options):
    assert findings(options)["device"].message.startswith("cpu in fp32; onnxruntime")


def test_damaged_weights_are_named(options):
    (options.weights / "model2.onnx").write_bytes(b"")
    told = amiss(options)
    assert set(told) == {"weights", "device", "scores"}
    assert all("model2.onnx is damaged" in message for message in told.values())


def test_networks_that_hear_something_else_are_amiss(options, monkeypatch):
    add_tiny_twins(options.weights, HEARD)
    score = {"int8": 0.9, "fp32": 0.6}
    monkeypatch.setattr(doctor, "predict", lambda windows, ensemble: np.full((1, 50), score[ensemble.precision]))
    assert amiss(options) == {"scores": "at most 0.3 from float32 on the CPU, where 0.1 is the most that is right"}


@pytest.mark.parametrize("wrong", [1.0, np.nan])
def test_a_spectrogram_that_differs_is_amiss(options, monkeypatch, wrong):
    monkeypatch.setattr(doctor, "librosa_log_mel", lambda window: doctor.log_mel(window[None])[0] + wrong)
    assert set(amiss(options)) == {"spectrograms"}


def test_a_decoder_that_gives_another_sound_is_amiss(options, monkeypatch):
    monkeypatch.setattr(doctor.Decoders, "read_blocks", lambda self, path: iter([doctor._sound(16_000)[::-1].copy()]))
    assert "from its sound; av" in amiss(options)["decoding"]


def test_packages_that_hold_the_same_module_are_amiss(options, monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda package: None if "directml" in package else "1.2.3")
    told = "onnxruntime 1.2.3 and onnxruntime-gpu 1.2.3 overwrite each other's files; the networks run on the cpu"
    assert amiss(options) == {"device": told}


def test_a_catalog_that_had_to_give_way_is_told(options):
    with doctor.Catalog.open(options.catalog):
        pass
    assert findings(options)["catalog"].message.endswith("whole; tracks 0, runs 0, failures 0")
    with sqlite3.connect(options.catalog) as connection:
        connection.execute("PRAGMA user_version = 999")
    assert "made by a newer mtag" in amiss(options)["catalog"]


def test_a_catalog_that_waits_to_be_saved_is_not_none(options):
    options.catalog.with_name(f"{options.catalog.name}.damaged").write_bytes(b"half a catalog")
    assert "the catalog was damaged; it was moved to " in amiss(options)["catalog"]


def test_an_error_that_nobody_foresaw_is_a_finding(options, monkeypatch):
    def missing(window):
        raise ImportError("No module named 'librosa'")

    monkeypatch.setattr(doctor, "librosa_log_mel", missing)
    assert amiss(options) == {"spectrograms": "ImportError: No module named 'librosa'"}
