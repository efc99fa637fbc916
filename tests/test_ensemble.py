import numpy as np
import pytest

from mtag.bundle import COMBINATIONS, FAST, FULL, MEMBERS, load_bundle, twin_of
from mtag.constants import N_FRAMES, N_MELS, WINDOW_SAMPLES
from mtag.ensemble import PROVIDERS, _has_nvidia_gpu, choose_precision, load_ensemble
from mtag.errors import DeviceError, WeightsError
from tests.make_goldens import GOLDEN_SCORES, bundle_scores
from tests.tiny_bundle import add_tiny_twins, write_tiny_bundle


@pytest.fixture(scope="module")
def ensemble():
    return load_ensemble(combinations=tuple(COMBINATIONS), device="cpu")


def inputs(n):
    rng = np.random.default_rng(0)
    windows = (0.1 * rng.standard_normal((n, WINDOW_SAMPLES))).astype(np.float32)
    return rng.normal(-20, 15, (n, N_MELS, N_FRAMES)).astype(np.float32), windows


def test_scores_are_probabilities_of_fifty_tags(ensemble):
    scores = ensemble.scores(*inputs(2))
    assert scores.shape == (2, 50)
    assert scores.dtype == np.float32
    assert 0 <= scores.min() < scores.max() <= 1


def test_a_batch_gives_the_scores_of_its_windows_one_by_one(ensemble):
    log_mels, windows = inputs(2)
    together = ensemble.scores(log_mels, windows)
    alone = [ensemble.scores(log_mels[i : i + 1], windows[i : i + 1])[0] for i in range(2)]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_fast_ensemble_leaves_model_3_out():
    fast = load_ensemble(fast=True, device="cpu")
    assert fast.combination == FAST
    log_mels, _ = inputs(1)
    assert fast.scores(log_mels, np.empty((1, 0), np.float32)).shape == (1, 50)


def test_the_shipped_networks_answer_as_when_they_were_made():
    expected = np.load(GOLDEN_SCORES)
    answers = bundle_scores()
    assert answers.keys() == set(expected.files)
    for name, scores in answers.items():
        np.testing.assert_allclose(scores, expected[name], atol=1e-3, err_msg=name)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(DeviceError, match="no device is called"):
        load_ensemble(device="quantum")


def test_the_device_that_really_runs_is_told(ensemble):
    assert ensemble.device == "cpu"
    assert ensemble.batch_size == 1  # more would only take memory


def test_members_can_be_heard_alone(ensemble):
    log_mels, windows = inputs(1)
    scores = {member: ensemble.member_scores(member, log_mels, windows) for member in MEMBERS}
    assert all(given.shape == (1, 50) for given in scores.values())
    np.testing.assert_allclose(ensemble.combine(FULL, scores), _full(log_mels, windows), atol=1e-5)


def _full(log_mels, windows):
    return load_ensemble(device="cpu").scores(log_mels, windows)


@pytest.fixture
def plain(tmp_path):
    """A small bundle of float32 networks alone."""
    return load_bundle(write_tiny_bundle(tmp_path / "plain"))


@pytest.fixture
def twinned(tmp_path):
    """A small bundle whose int8 networks hear something else than its float32 ones, so that they can be told apart."""
    return load_bundle(add_tiny_twins(write_tiny_bundle(tmp_path / "twinned", {"rock": 0.9}), {"rock": 0.6}))


def rock(ensemble):
    log_mels, windows = inputs(1)
    return ensemble.member_scores("model1", log_mels, windows)[0, ensemble.tags.index("rock")]


def test_a_cpu_runs_the_int8_networks_where_there_are_any(twinned, plain):
    ensemble = load_ensemble(twinned, device="cpu")
    assert ensemble.precision == "int8"
    assert rock(ensemble) == pytest.approx(0.6)
    assert load_ensemble(plain, device="cpu").precision == "fp32"


def test_float32_can_be_asked_for(twinned):
    ensemble = load_ensemble(twinned, device="cpu", precision="fp32")
    assert ensemble.precision == "fp32"
    assert rock(ensemble) == pytest.approx(0.9)


def test_int8_networks_that_are_not_there_are_refused(plain):
    with pytest.raises(WeightsError, match="holds no int8 networks"):
        load_ensemble(plain, device="cpu", precision="int8")


def test_int8_is_for_cpus_alone(twinned):
    with pytest.raises(DeviceError, match="run on a CPU alone"):
        load_ensemble(twinned, device="cuda", precision="int8")


def test_a_precision_that_is_not_there_is_refused(twinned):
    with pytest.raises(DeviceError, match="no precision is called"):
        load_ensemble(twinned, precision="int4")


def test_another_device_than_a_cpu_gets_float32(twinned, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(PROVIDERS.values()))
    assert choose_precision(twinned, "auto", "auto") == "fp32"
    assert choose_precision(twinned, "auto", "cpu") == "int8"


def test_coreml_must_be_asked_for(twinned, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [PROVIDERS["coreml"], PROVIDERS["cpu"]])
    assert choose_precision(twinned, "auto", "auto") == "int8"
    assert choose_precision(twinned, "auto", "coreml") == "fp32"
    assert load_ensemble(twinned).device == "cpu"


class Driver:
    """NVIDIA's driver as `ctypes` finds it; its functions give 0 where all is well."""

    def __init__(self, n_gpus, *, started=0):
        self.n_gpus = n_gpus
        self.started = started

    def cuInit(self, flags):  # noqa: N802
        return self.started

    def cuDeviceGetCount(self, count):  # noqa: N802
        count._obj.value = self.n_gpus
        return 0


@pytest.fixture
def built_for_cuda(monkeypatch):
    """A function: let onnxruntime be built for CUDA, and a driver be there or (None) not."""
    import onnxruntime

    def arrange(driver):
        def load(name):
            if driver is None:
                raise OSError(f"{name}: cannot open shared object file")
            return driver

        built_in = [PROVIDERS["cuda"], PROVIDERS["cpu"]]
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: built_in)
        monkeypatch.setattr("ctypes.CDLL", load)
        _has_nvidia_gpu.cache_clear()

    yield arrange
    _has_nvidia_gpu.cache_clear()


def test_a_gpu_gets_float32(twinned, built_for_cuda):
    built_for_cuda(Driver(n_gpus=1))
    assert choose_precision(twinned, "auto", "auto") == "fp32"
    assert choose_precision(twinned, "auto", "cuda") == "fp32"


@pytest.mark.parametrize("driver", [None, Driver(n_gpus=0), Driver(n_gpus=1, started=100)])
def test_a_cpu_gets_int8_where_onnxruntime_is_built_for_a_gpu_that_is_not_there(twinned, built_for_cuda, driver):
    built_for_cuda(driver)
    ensemble = load_ensemble(twinned)
    assert (ensemble.device, ensemble.precision) == ("cpu", "int8")
    assert choose_precision(twinned, "auto", "auto") == "int8"
    with pytest.raises(DeviceError, match="cuda is not available: NVIDIA's driver is missing or finds no GPU"):
        choose_precision(twinned, "auto", "cuda")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_what_onnxruntime_says_of_missing_libraries_does_not_reach_standard_output(
    twinned, built_for_cuda, monkeypatch, capsys
):
    import onnxruntime

    searches = []

    def preload():
        searches.append(True)
        print("Failed to load libcudnn.so.9")

    built_for_cuda(Driver(n_gpus=1))
    monkeypatch.setattr(onnxruntime, "preload_dlls", preload, raising=False)
    assert load_ensemble(twinned, device="cpu").device == "cpu"
    assert not searches
    assert load_ensemble(twinned).device == "cpu"
    assert searches
    assert capsys.readouterr().out == ""


def test_scores_of_the_two_precisions_are_kept_apart(twinned):
    assert twinned.fingerprint(FULL, "int8") != twinned.fingerprint(FULL, "fp32")
    assert twinned.fingerprint(FULL, "fp32") == twinned.fingerprint(FULL)


def test_a_damaged_twin_is_refused(twinned):
    path = twinned.folder / twinned.manifest["files"][twin_of("model2")]["name"]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="is damaged"):
        load_ensemble(twinned, device="cpu")
