"""1,000 windows through a bundle's networks in PyTorch: `python -m benchmarks.bench_torch --device cuda`.

For a GPU that ONNX Runtime's own package cannot be had for. The waveforms lie on the device; log-mel spectrograms are
computed there, in double precision as on a CPU, then the members run one after another, then the combiner. It needs the
extra `train`. What `mtag bench --device cuda` measures is the same work through ONNX Runtime.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mtag.bench import PAPER_CLIPS, PAPER_SECONDS
from mtag.bundle import COMBINATIONS, FAST, FULL, Bundle, load_bundle
from mtag.constants import WINDOW_SAMPLES
from mtag.ensemble import load_ensemble
from mtag.features import log_mel
from mtag.training.spectrogram import LogMel
from mtag.training.start import load_combiner, load_members

ROUNDS = 3  # of each measurement; the best is told
N_CHECKED = 4  # windows whose scores are compared with ONNX Runtime's on the CPU


class Listener(nn.Module):
    """Waveforms in, taggram out, all on one device: (n, 465600) to (n, 50)."""

    def __init__(self, bundle: Bundle, combination: str) -> None:
        super().__init__()
        members = load_members(bundle)
        self.names = COMBINATIONS[combination]
        self.networks = nn.ModuleDict({name: members[name].network for name in self.names})
        self.normalisations = {name: members[name].normalisation for name in self.names}
        self.combiner = load_combiner(bundle, combination)
        self.log_mel = LogMel()

    def forward(self, waveforms: Tensor) -> Tensor:
        """Score windows; the logits of the members and the combiner become scores in float32."""
        log_mels = self.log_mel(waveforms)
        scores = []
        for name in self.names:
            inputs = self.normalisations[name].apply(waveforms if name == "model3" else log_mels)
            scores.append(self.networks[name](inputs).float().sigmoid())
        taggram: Tensor = self.combiner(torch.cat(scores, 1)).float().sigmoid()
        return taggram


def main() -> None:
    """Time full and fast, in float32 and float16."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--windows", type=int, default=PAPER_CLIPS)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    bundle, device = load_bundle(options.weights), torch.device(options.device)
    waveforms = _music(options.batch)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, PyTorch {torch.__version__}, {options.windows:,} windows, {options.batch} at a time\n")
    print("| networks | precision | seconds | paper: 1,000 on a V100 | largest difference |")
    print("| --- | --- | --- | --- | --- |")
    for combination in (FULL, FAST):
        listener = Listener(bundle, combination).to(device).eval()
        expected = _expected(bundle, combination, waveforms[:N_CHECKED])
        for precision in ("float32", "float16" if device.type == "cuda" else "bfloat16"):
            seconds, scores = _time(listener, waveforms.to(device), options.windows, precision)
            difference = float((scores[: len(expected)] - expected).abs().max())
            paper = PAPER_SECONDS[combination]
            print(f"| {combination} | {precision} | {seconds:.2f} | {paper:.2f} | {difference:.1e} |", flush=True)


def _music(n: int) -> Tensor:
    """Tones of all heights in noise: (n, 465600) float32."""
    rng = np.random.default_rng(0)
    t = np.arange(WINDOW_SAMPLES, dtype=np.float32) / 16_000
    tones = np.stack([np.sin(2 * np.pi * hz * t) for hz in np.geomspace(80, 4_000, n, dtype=np.float32)])
    return torch.from_numpy(0.3 * tones + 0.05 * rng.standard_normal(tones.shape, dtype=np.float32))


def _expected(bundle: Bundle, combination: str, waveforms: Tensor) -> Tensor:
    ensemble = load_ensemble(bundle, device="cpu", precision="fp32", combinations=(combination,))
    samples = waveforms.numpy()
    return torch.from_numpy(ensemble.scores(log_mel(samples), samples))


@torch.inference_mode()
def _time(listener: Listener, waveforms: Tensor, n_windows: int, precision: str) -> tuple[float, Tensor]:
    """Seconds for so many windows, and the scores of the first batch."""
    device = waveforms.device
    dtype = getattr(torch, precision)
    with nullcontext() if dtype is torch.float32 else torch.autocast(device.type, dtype=dtype):
        scores = listener(waveforms).cpu()  # the first call allocates and tunes
        times = []
        for _ in range(ROUNDS):
            _wait(device)
            began = time.perf_counter()
            for first in range(0, n_windows, len(waveforms)):
                listener(waveforms[: min(len(waveforms), n_windows - first)])
            _wait(device)
            times.append(time.perf_counter() - began)
    return min(times), scores


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
