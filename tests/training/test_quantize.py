import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from mtag.bundle import COMBINATIONS, MEMBERS, load_bundle
from mtag.ensemble import load_ensemble
from mtag.errors import WeightsError
from mtag.features import log_mel
from mtag.training.cache import FULL_SCALE
from mtag.training.chain import Chain, advance, read_chain
from mtag.training.quantize import quantize_bundle
from mtag.training.reduce import Moments, choose_channels, refit
from mtag.training.rounding import WEIGHT_LIMIT, best_steps, round_together, whole_steps


@pytest.fixture(scope="module")
def waveforms(windows):
    """Five windows of tones in noise."""
    return windows.waveforms[:5].astype(np.float32) / FULL_SCALE


@pytest.fixture(scope="module")
def quantized(waveforms, tmp_path_factory):
    """A copy of the shipped bundle with int8 networks made by those windows, and what was told meanwhile."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    shipped = load_bundle().folder
    folder = tmp_path_factory.mktemp("quantized") / "bundle"
    shutil.copytree(shipped, folder, ignore=shutil.ignore_patterns("*.int8.onnx"))
    told = []
    quantize_bundle(folder, waveforms, told.append)
    torch.set_num_threads(threads)
    return folder, told


def scores_of(chain: Chain, inputs):
    with torch.inference_mode():
        x = chain.normalise(inputs)
        for layer in chain.layers:
            x = advance(layer, x)
    return torch.sigmoid(x.flatten(1)).numpy()


@pytest.mark.parametrize("member", MEMBERS)
def test_a_chain_gives_the_scores_of_the_network_that_it_was_read_from(member, waveforms):
    path = load_bundle().folder / f"{member}.onnx"
    inputs = waveforms[:1] if member == "model3" else log_mel(waveforms[:1])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = session.run(None, {session.get_inputs()[0].name: inputs})[0]
    np.testing.assert_allclose(scores_of(read_chain(member, path), inputs), expected, atol=1e-4)


def test_a_network_that_is_no_chain_is_refused(tmp_path):
    path = tmp_path / "combiner.onnx"
    model = onnx.load(str(load_bundle().folder / "model1.onnx"))
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            model.graph.initializer.remove(next(t for t in model.graph.initializer if t.name == node.input[1]))
    onnx.save(model, str(path))
    with pytest.raises(WeightsError, match="is not a chain of layers"):
        read_chain("model1", path)


def moments_of(x, y):
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    n = len(x)
    return Moments(np.zeros(x.shape[1]), np.zeros(y.shape[1]), x.T @ x / n, y.T @ x / n, y.var(axis=0), np.ones(1))


def test_channels_that_repeat_others_are_left_out():
    rng = np.random.default_rng(0)
    own = rng.standard_normal((500, 8))
    x = np.concatenate([own @ rng.standard_normal((8, 8)), own], axis=1)
    moments = moments_of(x, x @ rng.standard_normal((16, 5)))
    kept, lost = choose_channels(moments, np.ones(5), (1, 1), 1e-3)
    assert len(kept) == 8
    assert lost <= 1e-3


def test_refitting_gives_the_responses_from_the_channels_that_are_kept():
    rng = np.random.default_rng(0)
    layer = read_chain("model1", load_bundle().folder / "model1.onnx").layers[0]
    k = layer.weight[0, 0].size
    x = rng.standard_normal((3_000, 8 * k))
    y = x @ rng.standard_normal((8 * k, layer.n_out))
    fitted = refit(layer, moments_of(x, y), np.arange(8))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    np.testing.assert_allclose(x @ fitted.weight.reshape(layer.n_out, -1).T, y, atol=1e-3)


def test_weights_rounded_together_change_the_responses_less():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2_000, 3)) @ rng.standard_normal((3, 24)) + 0.1 * rng.standard_normal((2_000, 24))
    weight = rng.standard_normal((10, 8, 1, 3))
    steps = best_steps(weight)
    alone = whole_steps(weight, steps) * steps[:, None, None, None]
    together = round_together(weight, steps, np.cov(x, rowvar=False))

    def error(rounded):
        return np.square(x @ (rounded - weight).reshape(10, -1).T).mean()

    assert error(together) < error(alone) / 2
    whole = together / steps[:, None, None, None]
    np.testing.assert_allclose(whole, np.rint(whole), atol=1e-6)
    assert np.abs(whole).max() <= WEIGHT_LIMIT + 1e-6


def test_the_int8_networks_answer_as_the_float32_ones_and_for_any_batch(quantized, waveforms):
    folder, told = quantized
    ensemble = load_ensemble(load_bundle(folder), device="cpu", combinations=tuple(COMBINATIONS))
    assert ensemble.precision == "int8"
    plain = load_ensemble(load_bundle(folder), device="cpu", precision="fp32", combinations=tuple(COMBINATIONS))
    log_mels = log_mel(waveforms[:4])
    for member in ("model2", "model3"):
        given = ensemble.member_scores(member, log_mels, waveforms[:4])
        wanted = plain.member_scores(member, log_mels, waveforms[:4])
        assert np.sqrt(np.mean((given - wanted) ** 2)) < 0.03, member
    together = ensemble.scores(log_mels, waveforms[:4])
    alone = [ensemble.scores(log_mels[i : i + 1], waveforms[i : i + 1])[0] for i in range(4)]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert any("channels" in sentence for sentence in told)


def test_the_manifest_tells_of_the_int8_networks(quantized):
    folder, _ = quantized
    bundle = load_bundle(folder)
    assert bundle.has_twins
    for member in MEMBERS:
        entry = bundle.manifest["files"][f"{member}_int8"]
        assert entry["bytes"] == len(bundle.read(f"{member}_int8"))
        assert entry["bytes"] < bundle.manifest["files"][member]["bytes"] / 2
        assert 0 < bundle.manifest["quantization"]["members"][member]["rms_difference"] < 0.3
    assert bundle.manifest["quantization"]["windows"] == {"fitted": 3, "checked": 2}


def test_no_sum_of_two_products_saturates_on_processors_without_vnni(quantized):
    folder, _ = quantized
    for member in MEMBERS:
        model = onnx.load(str(folder / f"{member}.int8.onnx"))
        bytes_ = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8]
        assert bytes_
        for tensor in bytes_:
            assert 2 * 255 * np.abs(onnx.numpy_helper.to_array(tensor).astype(int)).max() < 2**15


def test_the_same_windows_make_the_same_networks(quantized, waveforms, tmp_path, monkeypatch):
    folder, _ = quantized
    again = Path(shutil.copytree(folder, tmp_path / "again"))
    before = json.loads((folder / "manifest.json").read_text())["files"]
    monkeypatch.setattr("mtag.training.quantize.MEMBERS", ("model1",))
    quantize_bundle(again, waveforms, lambda sentence: None)
    after = json.loads((again / "manifest.json").read_text())["files"]
    assert after == before
