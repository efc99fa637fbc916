"""Make the goldens, one a stage: `python -m tests.make_goldens`.

The log-mel spectrogram comes from librosa; the scores are those of the bundle that ships, for librosa's spectrogram, so
that features that drift and networks that drift do not look alike. Make them anew whenever the bundle changes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtag.bundle import COMBINATIONS, MEMBERS
from mtag.constants import SAMPLE_RATE, WINDOW_SAMPLES
from mtag.doctor import librosa_log_mel
from mtag.ensemble import load_ensemble

GOLDEN = Path(__file__).parent / "goldens" / "log_mel.npy"  # (128, 37) float32, dB
GOLDEN_SCORES = Path(__file__).parent / "goldens" / "scores.npz"  # network -> (50,) float32
FRAME_STEP = 16  # every 16th frame is kept


def golden_window() -> NDArray[np.float32]:
    """Give one window, (465600,) float32, of a rising tone, clicks and hiss that no random generator has a hand in."""
    n = np.arange(WINDOW_SAMPLES, dtype=np.uint64)
    t = n / SAMPLE_RATE
    tone = 0.3 * np.sin(2 * np.pi * (100 * t + 100 * t * t))
    clicks = 0.5 * (n % np.uint64(8_000) == 0)
    hiss = (n * n * np.uint64(2_654_435_761) % np.uint64(1 << 32)) / float(1 << 32) - 0.5
    return (tone + clicks + 0.01 * hiss).astype(np.float32)


def bundle_scores() -> dict[str, NDArray[np.float32]]:
    """Give the shipped bundle's answers to the golden window: member or combination -> (50,) float32."""
    ensemble = load_ensemble(device="cpu", combinations=tuple(COMBINATIONS))
    window = golden_window()
    log_mels = librosa_log_mel(window)[None]
    scores = {member: ensemble.member_scores(member, log_mels, window[None]) for member in MEMBERS}
    scores |= {combination: ensemble.combine(combination, scores) for combination in COMBINATIONS}
    return {name: values[0] for name, values in scores.items()}


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    np.save(GOLDEN, librosa_log_mel(golden_window())[:, ::FRAME_STEP])
    np.savez(GOLDEN_SCORES, **bundle_scores())
