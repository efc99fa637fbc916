"""What the teachers' papers say, written a second time: `python -m tests.training.teacher_reference` makes the golden.

Double precision, a spectrogram by NumPy, one function a network, norms where the papers have them. The arrays are
drawn from the raw bits of a generator, which no release of NumPy may change, so that none need be stored.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Arrays = dict[str, NDArray[np.float32]]

GOLDEN = Path(__file__).parent / "teacher_scores.npz"  # network -> (50,) float32
NETWORKS = ("musicnn", "fcn")


def golden_samples(n_samples: int) -> NDArray[np.float32]:
    """A rising tone that pulses over hiss: (n,) float32."""
    t = np.arange(n_samples) / 16_000
    tone = np.sin(2 * np.pi * (110 * t + 60 * t * t)) * np.sin(np.pi * 2 * t) ** 2
    return (0.3 * tone + 0.02 * _uniform(1, (n_samples,))).astype(np.float32)


def tiny_arrays(network: str) -> Arrays:
    """Arrays of a network's names and shapes, random but for the Hann window."""
    shapes = _musicnn_shapes() if network == "musicnn" else _fcn_shapes()
    arrays = {}
    for seed, (name, shape) in enumerate(shapes.items(), 100):
        values = _uniform(seed, shape)
        if name.endswith(("running_var", "bn.weight", "mel_scale.fb")):
            values = 1 + 0.5 * values
        elif name.endswith(("conv.weight", "dense.weight", "dense1.weight", "dense2.weight")):
            values *= np.sqrt(6 / np.prod(shape[1:]))
        arrays[name] = values.astype(np.float32)
    arrays["spec.spectrogram.window"] = np.hanning(513)[:-1].astype(np.float32)
    arrays["spec_bn.running_mean"] = np.array([20], np.float32)
    arrays["spec_bn.running_var"] = np.array([100], np.float32)
    return arrays


def reference_scores(network: str, arrays: Arrays, samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Score one piece, (n,) samples, as the papers describe it: (50,) float64."""
    weights = {name: torch.from_numpy(array.astype(np.float64)) for name, array in arrays.items()}
    image = _norm(_log_mel(arrays, samples), weights, "spec_bn")
    logits = _musicnn(image, weights) if network == "musicnn" else _fcn(image, weights)
    return torch.sigmoid(logits)[0].numpy()


def _log_mel(arrays: Arrays, samples: NDArray[np.float32]) -> Tensor:
    padded = np.pad(samples.astype(np.float64), 256, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 512)[::256] * arrays["spec.spectrogram.window"]
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    mel = power @ arrays["spec.mel_scale.fb"].astype(np.float64)
    return torch.from_numpy(10 * np.log10(np.maximum(mel, 1e-10)).T)[None, None]


def _musicnn(image: Tensor, w: dict[str, Tensor]) -> Tensor:
    front = []
    for i in (0, 1):
        answers = F.conv2d(image, w[f"layers.{i}.conv.weight"], w[f"layers.{i}.conv.bias"], padding=(0, 3))
        front.append(F.relu(_norm(answers, w, f"layers.{i}.bn")).max(dim=2).values)
    front += [_conv1d(image.mean(dim=2), w, f"layers.{i}") for i in (2, 3, 4)]
    front_end = torch.cat(front, dim=1)
    first = _conv1d(front_end, w, "layer1")
    second = _conv1d(first, w, "layer2") + first
    third = _conv1d(second, w, "layer3") + second
    dense = torch.cat([front_end, first, second, third], dim=1)
    pooled = torch.cat([dense.max(dim=2).values, dense.mean(dim=2)], dim=1)
    hidden = F.relu(_norm(F.linear(pooled, w["dense1.weight"], w["dense1.bias"]), w, "bn"))
    return F.linear(hidden, w["dense2.weight"], w["dense2.bias"])


def _fcn(image: Tensor, w: dict[str, Tensor]) -> Tensor:
    for i, pool in enumerate([(2, 4), (2, 4), (2, 4), (3, 5), (4, 4)], 1):
        answers = F.conv2d(image, w[f"layer{i}.conv.weight"], w[f"layer{i}.conv.bias"], padding=1)
        image = F.max_pool2d(F.relu(_norm(answers, w, f"layer{i}.bn")), pool)
    return F.linear(image.flatten(1), w["dense.weight"], w["dense.bias"])


def _conv1d(sequence: Tensor, w: dict[str, Tensor], name: str) -> Tensor:
    weight = w[f"{name}.conv.weight"]
    answers = F.conv1d(sequence, weight, w[f"{name}.conv.bias"], padding=weight.shape[2] // 2)
    return F.relu(_norm(answers, w, f"{name}.bn"))


def _norm(x: Tensor, w: dict[str, Tensor], name: str) -> Tensor:
    mean, variance = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    return F.batch_norm(x, mean, variance, w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-5)


def _uniform(seed: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Values between -1 and 1."""
    bits = np.random.PCG64(seed).random_raw(int(np.prod(shape)))
    return (bits / 2.0**63 - 1).reshape(shape)


def _front_end_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"spec.spectrogram.window": (512,), "spec.mel_scale.fb": (257, 96)}
    return shapes | _norm_shapes("spec_bn", 1)


def _norm_shapes(name: str, n: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{value}": (n,) for value in ("weight", "bias", "running_mean", "running_var")}


def _conv_shapes(name: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    n = shape[0]
    return {f"{name}.conv.weight": shape, f"{name}.conv.bias": (n,)} | _norm_shapes(f"{name}.bn", n)


def _musicnn_shapes() -> dict[str, tuple[int, ...]]:
    shapes = _front_end_shapes()
    fronts = [(204, 1, 67, 7), (204, 1, 38, 7), (51, 1, 129), (51, 1, 65), (51, 1, 33)]
    for i, shape in enumerate(fronts):
        shapes |= _conv_shapes(f"layers.{i}", shape)
    for name, n_in in (("layer1", 561), ("layer2", 64), ("layer3", 64)):
        shapes |= _conv_shapes(name, (64, n_in, 7))
    shapes |= {"dense1.weight": (200, 1506), "dense1.bias": (200,)} | _norm_shapes("bn", 200)
    return shapes | {"dense2.weight": (50, 200), "dense2.bias": (50,)}


def _fcn_shapes() -> dict[str, tuple[int, ...]]:
    shapes = _front_end_shapes()
    for i, (n_in, n_out) in enumerate([(1, 64), (64, 128), (128, 128), (128, 128), (128, 64)], 1):
        shapes |= _conv_shapes(f"layer{i}", (n_out, n_in, 3, 3))
    return shapes | {"dense.weight": (50, 64), "dense.bias": (50,)}


if __name__ == "__main__":
    lengths = {"musicnn": 48_000, "fcn": 464_000}
    scores = {name: reference_scores(name, tiny_arrays(name), golden_samples(lengths[name])) for name in NETWORKS}
    np.savez(GOLDEN, **{name: values.astype(np.float32) for name, values in scores.items()})
