import hashlib

import numpy as np
import onnxruntime
import pytest
import torch

from mtag.bundle import Bundle
from mtag.constants import WINDOW_SAMPLES
from mtag.errors import WeightsError
from mtag.training import export, start
from mtag.training.batches import Normalisation
from mtag.training.export import export_combiner, export_member
from mtag.training.networks import Combiner, Model1, Model3


def scores(path, inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: inputs})[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_exported_member_takes_raw_decibels_and_any_number_of_windows(tmp_path):
    network = Model1().eval()
    path = export_member("model1", network, Normalisation(-20.0, 15.0), tmp_path)
    decibels = np.random.default_rng(0).normal(-20, 15, (5, 128, 592)).astype(np.float32)
    with torch.inference_mode():
        expected = torch.sigmoid(network((torch.from_numpy(decibels) + 20) / 15)).numpy()
    np.testing.assert_allclose(scores(path, decibels), expected, atol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_channels_last_network_is_exported_all_the_same(tmp_path):
    network = Model3().eval().to(memory_format=torch.channels_last)
    path = export_member("model3", network, Normalisation(0.0, 0.1), tmp_path)
    assert scores(path, np.zeros((1, WINDOW_SAMPLES), np.float32)).shape == (1, 50)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_export_that_differs_from_torch_is_refused_and_leaves_no_bundle(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(WeightsError, match="differs from the trained network"):
        export_combiner("combiner_12", Combiner(2).eval(), 2, tmp_path)
    assert not (tmp_path / "combiner_12.onnx").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_exported_member_becomes_the_same_network_again(tmp_path):
    network = Model1()
    network(torch.randn(2, 128, 592))  # the norms' statistics become ones of their own
    network.eval()
    content = export_member("model1", network, Normalisation(-20.0, 15.0), tmp_path).read_bytes()
    record = {"members": {"model1": {"normalisation": {"mean": -20.0, "std": 15.0}}}}
    files = {"model1": {"name": "model1.onnx", "sha256": hashlib.sha256(content).hexdigest()}}
    bundle = Bundle(tmp_path, {"files": files, "training": record})
    again = start.load_member(bundle, "model1")
    assert again.normalisation == Normalisation(-20.0, 15.0)
    for ours, theirs in zip(again.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    with pytest.raises(WeightsError, match="model2"):
        start.load_member(Bundle(tmp_path, {"files": {"model2": files["model1"]}, "training": record}), "model2")
