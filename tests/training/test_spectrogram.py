import numpy as np
import torch

from mtag.constants import WINDOW_SAMPLES
from mtag.features import log_mel
from mtag.training.spectrogram import LogMel


def test_it_is_what_the_networks_hear_in_use():
    rng = np.random.default_rng(0)
    t = np.arange(WINDOW_SAMPLES) / 16_000
    noise = 0.1 * rng.standard_normal((2, WINDOW_SAMPLES))
    windows = np.stack([*noise, np.sin(2 * np.pi * 440 * t), np.zeros(WINDOW_SAMPLES)]).astype(np.float32)
    np.testing.assert_allclose(LogMel()(torch.from_numpy(windows)).numpy(), log_mel(windows), atol=1e-3)
