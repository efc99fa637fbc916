"""Make the golden log-mel spectrogram with librosa: `python -m tests.make_goldens`."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
from numpy.typing import NDArray

from mtag.constants import HOP_LENGTH, N_FFT, N_MELS, POWER_FLOOR, SAMPLE_RATE, WINDOW_SAMPLES

GOLDEN = Path(__file__).parent / "goldens" / "log_mel.npy"  # (128, 37) float32, dB
FRAME_STEP = 16  # every 16th frame is kept


def golden_window() -> NDArray[np.float32]:
    """Give one window, (465600,) float32, of a rising tone, clicks and hiss that no random generator has a hand in."""
    n = np.arange(WINDOW_SAMPLES, dtype=np.uint64)
    t = n / SAMPLE_RATE
    tone = 0.3 * np.sin(2 * np.pi * (100 * t + 100 * t * t))
    clicks = 0.5 * (n % np.uint64(8_000) == 0)
    hiss = (n * n * np.uint64(2_654_435_761) % np.uint64(1 << 32)) / float(1 << 32) - 0.5
    return (tone + clicks + 0.01 * hiss).astype(np.float32)


def librosa_log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the reference: (465600,) float32 to (128, 592) float32, dB."""
    power = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP_LENGTH, n_mels=N_MELS)
    return (10 * np.log10(np.maximum(power, POWER_FLOOR))).astype(np.float32)


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    np.save(GOLDEN, librosa_log_mel(golden_window())[:, ::FRAME_STEP])
