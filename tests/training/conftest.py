from importlib.util import find_spec

import numpy as np
import pytest

from mtag.constants import N_FRAMES, N_MELS, N_TAGS, WINDOW_SAMPLES

N_WINDOWS = 24

# Training is an extra; without it these tests are not collected, and the header says so.
HAS_TORCH = find_spec("torch") is not None and find_spec("onnx") is not None
collect_ignore_glob = [] if HAS_TORCH else ["test_*.py"]


def pytest_report_header(config):
    return [] if HAS_TORCH else ["training tests left out: they need the extra `train`"]


@pytest.fixture(scope="session")
def windows(tmp_path_factory):
    """Decoded windows of a small corpus: each is a tone with noise, mapped from disk as in training."""
    from mtag.features import log_mel
    from mtag.training.cache import FULL_SCALE, Windows

    folder = tmp_path_factory.mktemp("windows")
    rng = np.random.default_rng(0)
    t = np.arange(WINDOW_SAMPLES, dtype=np.float32) / 16_000
    waveforms = np.lib.format.open_memmap(folder / "waveforms.npy", "w+", np.int16, (N_WINDOWS, WINDOW_SAMPLES))
    log_mels = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.float16, (N_WINDOWS, N_FRAMES, N_MELS))
    for row in range(N_WINDOWS):
        noise = rng.standard_normal(WINDOW_SAMPLES, dtype=np.float32)
        samples = 0.3 * np.sin(2 * np.pi * (200 + 100 * row) * t) + 0.03 * noise
        waveforms[row] = np.rint(samples * FULL_SCALE)
        log_mels[row] = log_mel(samples[None].astype(np.float32))[0].T
    return Windows(waveforms, log_mels)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Soft labels of the same windows, two windows a track: the higher the tone, the higher the even tags."""
    from mtag.corpus import Corpus

    height = np.linspace(0, 0.6, N_WINDOWS, dtype=np.float32)[:, None]
    labels = np.where(np.arange(N_TAGS) % 2 == 0, height, 0.6 - height).astype(np.float32)
    folder = tmp_path_factory.mktemp("corpus")
    return Corpus(
        name="clips",
        tags=tuple(f"tag {i}" for i in range(N_TAGS)),
        files=tuple(folder / f"{row}.wav" for row in range(N_WINDOWS)),
        tracks=tuple(f"track {row // 2}" for row in range(N_WINDOWS)),
        labels=labels,
        soft=True,
    )


@pytest.fixture(scope="session")
def pool(corpus, windows):
    """Half of the windows as a pool of one version: every piece has its window's label, but for a part of its own."""
    from mtag.training.pool import N_PIECES, Pool

    rows = np.arange(N_WINDOWS // 2)
    scores = np.repeat(corpus.labels[rows, None], N_PIECES, axis=1) + 0.01 * np.arange(N_PIECES)[:, None]
    return Pool(windows.waveforms[rows], windows.log_mels[rows], scores.astype(np.float16), len(rows))
