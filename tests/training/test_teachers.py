import io
import os
from pathlib import Path

import numpy as np
import pytest

from mtag.errors import WeightsError
from tests.training import teacher_reference

torch = pytest.importorskip("torch")

from mtag.training.teachers import FCN, Musicnn, load_teacher  # noqa: E402

TEACHERS = Path(os.environ.get("MTAG_TEACHERS", Path(__file__).parents[3] / "shared" / "teachers"))
CORPUS = TEACHERS.parent / "corpus"
real = pytest.mark.skipif(not TEACHERS.is_dir(), reason="the published checkpoints are not here")

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]


@pytest.fixture(scope="module", params=teacher_reference.NETWORKS)
def network(request):
    return request.param


@pytest.fixture(scope="module")
def tiny(network, tmp_path_factory):
    """A teacher of random arrays."""
    path = tmp_path_factory.mktemp("teachers") / f"{network}.npz"
    np.savez(path, **teacher_reference.tiny_arrays(network))
    return load_teacher(path)


@pytest.mark.parametrize("device", DEVICES)
def test_a_teacher_scores_one_piece_as_the_independent_reference_does(network, tiny, device):
    samples = teacher_reference.golden_samples(tiny.piece_samples)
    golden = np.load(teacher_reference.GOLDEN)[network]
    scores = tiny.to(device).scores(torch.from_numpy(samples)[None])[0].cpu().numpy()
    tiny.to("cpu")
    assert golden.std() > 0.1, "the golden must tell tags apart"
    assert np.abs(scores - golden).max() < (1e-4 if device == "cpu" else 5e-3)


def test_a_windows_score_is_the_mean_over_whole_consecutive_pieces(tmp_path):
    np.savez(tmp_path / "musicnn.npz", **teacher_reference.tiny_arrays("musicnn"))
    teacher = load_teacher(tmp_path / "musicnn.npz")
    samples = torch.from_numpy(teacher_reference.golden_samples(100_000))
    pieces = torch.stack([samples[:48_000], samples[48_000:96_000]])
    scores = teacher.scores(torch.stack([samples, samples.flip(0)]))
    assert scores.shape == (2, 50)
    torch.testing.assert_close(scores[0], teacher(pieces).mean(0), rtol=0, atol=1e-5)
    assert not torch.allclose(scores[0], scores[1], atol=1e-3)


def test_the_names_of_the_arrays_tell_the_networks_apart(network, tiny):
    assert type(tiny) is {"musicnn": Musicnn, "fcn": FCN}[network]
    assert not tiny.training
    assert not any(parameter.requires_grad for parameter in tiny.parameters())


def test_weights_that_decayed_to_nearly_nothing_become_zero_and_change_no_score(tmp_path):
    arrays = teacher_reference.tiny_arrays("musicnn")
    arrays["layer2.bn.weight"][:32] *= 1e-30
    arrays["layer2.bn.bias"][:32] *= 1e-38
    arrays["layer3.conv.weight"][0] *= 1e-40
    np.savez(tmp_path / "decayed.npz", **arrays)
    teacher = load_teacher(tmp_path / "decayed.npz")
    assert all(parameter[parameter != 0].abs().min() > 1e-20 for parameter in teacher.parameters())
    samples = teacher_reference.golden_samples(48_000)
    expected = teacher_reference.reference_scores("musicnn", arrays, samples)
    assert np.abs(teacher.scores(torch.from_numpy(samples)[None])[0].numpy() - expected).max() < 1e-4


def packed(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def single():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


WHOLE = packed(weights=teacher_reference.golden_samples(2_000))
DAMAGED = {
    "missing": None,
    "empty": b"",
    "text": b"no archive",
    "cut short": WHOLE[: len(WHOLE) // 2],
    "flipped bits": WHOLE[:600] + bytes(b ^ 0xFF for b in WHOLE[600:700]) + WHOLE[700:],
    "one array": single(),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_missing_or_damaged_file_is_one_clear_error(tmp_path, content):
    path = tmp_path / "teacher.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"teacher\.npz: cannot be read as a teacher's arrays"):
        load_teacher(path)


@pytest.mark.parametrize("change", ["missing", "shape"])
def test_the_arrays_of_another_network_are_refused_by_name(tmp_path, change):
    arrays = teacher_reference.tiny_arrays("fcn")
    weight = arrays.pop("dense.weight")
    if change == "shape":
        arrays["dense.weight"] = weight[:10]
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(WeightsError, match=r"other\.npz: does not hold the arrays of a FCN \(.*dense\.weight"):
        load_teacher(tmp_path / "other.npz")


def labelled_clips(n):
    """Some of the corpus's clips, spread over its folders: (rows, (n, samples) float32)."""
    import soundfile

    ids = np.load(CORPUS / "labels.npz")["ids"]
    rows = np.linspace(0, len(ids) - 1, n).astype(int)
    # The labels were made of libsndfile's decoding, kept in half precision.
    clips = [soundfile.read(CORPUS / "clips" / ids[row][0] / f"{ids[row]}.opus", dtype="float32")[0] for row in rows]
    return rows, torch.from_numpy(np.stack(clips).astype(np.float16).astype(np.float32))


@real
@pytest.mark.parametrize("data_set", ["mtat", "jamendo"])
def test_the_published_musicnn_gives_the_corpus_its_labels(data_set):
    rows, clips = labelled_clips(3)
    scores = load_teacher(TEACHERS / f"{data_set}_musicnn.npz").scores(clips).numpy()
    assert np.abs(scores - np.load(CORPUS / "labels.npz")[data_set][rows]).max() < 1e-3


@real
@pytest.mark.parametrize("data_set", ["mtat", "jamendo"])
def test_the_published_fcn_equals_the_reference_and_agrees_with_musicnn(data_set):
    rows, clips = labelled_clips(3)
    path = TEACHERS / f"{data_set}_fcn.npz"
    scores = load_teacher(path).scores(clips).numpy()
    expected = teacher_reference.reference_scores("fcn", dict(np.load(path)), clips[0, :464_000].numpy())
    assert np.abs(scores[0] - expected).max() < 1e-4
    labels = np.load(CORPUS / "labels.npz")[data_set][rows]
    assert np.corrcoef(scores.ravel(), labels.ravel())[0, 1] > 0.7
