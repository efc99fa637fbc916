"""Choose the scales of a chain's activations by what training windows bring about in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtag.training.chain import Chain, Convolution, Float64, Layer, advance
from mtag.training.integer import Scale, Scales
from mtag.training.rounding import best_steps, round_together

SAMPLES = 300  # positions of each window at which a layer is looked at
LEAST = 0.05  # of a layer's median channel: the smallest range that a channel is given
CLIPPED = np.geomspace(0.1, 1.0, 24)  # shares of the largest value that are tried as the end of a range
FAINT = 1e-2  # of the mean power: windows in which a channel says less count as if it said so much
LEVELS = 255
# For windows that are louder than those looked at. Model 3 hears samples and not decibels, so that quiet music comes to
# a hundredth of loud music in it: there fine steps are worth more than room.
HEADROOM = {"model1": 1.7, "model2": 1.7, "model3": 1.2}


def calibrate(chain: Chain, inputs: NDArray[np.float32]) -> tuple[Chain, Scales]:
    """Bring every channel of each layer to the same range, nought to one, and choose the scale of the input.

    All channels of a layer share one scale of 256 steps, which the loudest would otherwise use up. The next layer's
    weights take the opposite factors, so the scores stay as they are; ReLU and maximum take positive factors unharmed.
    A channel's range ends where the mean square error of clipping and rounding is least, each window's in proportion to
    its own power: quiet music is to be heard as well as loud.

    Returns
    -------
    The chain with those factors, and its scales.
    """
    seen: dict[int, list[Float64]] = {}
    generator = torch.Generator().manual_seed(0)
    for place, activations in _activations(chain, inputs):
        seen.setdefault(place, []).append(_sample(activations[0].flatten(1), generator))
    heard = np.concatenate(seen.pop(-1))
    layers: list[Layer] = list(chain.layers)
    for place, values in seen.items():
        ranges = HEADROOM[chain.name] * _best_ranges(np.stack(values))
        ranges = np.maximum(ranges, LEAST * np.median(ranges))
        following = min(i for i in chain.convolutions if i > place)
        layer, then = layers[place], layers[following]
        assert isinstance(layer, Convolution)
        assert isinstance(then, Convolution)
        layers[place] = replace(layer, weight=layer.weight / ranges[:, None, None, None], bias=layer.bias / ranges)
        layers[following] = replace(then, weight=then.weight * ranges[None, :, None, None])
    scales = Scales(Scale.over(float(heard.min()), float(heard.max())), dict.fromkeys(seen, Scale(1 / LEVELS, 0)), {})
    return _round(chain.with_layers(layers), scales, inputs)


def _round(chain: Chain, scales: Scales, inputs: NDArray[np.float32]) -> tuple[Chain, Scales]:
    """Round the weights of all hidden layers but the first, and shift biases by what that does to the mean response."""
    layers, steps = list(chain.layers), {}
    for place, (means, covariance) in _moments(chain, inputs).items():
        layer = layers[place]
        assert isinstance(layer, Convolution)
        steps[place] = best_steps(layer.weight)
        rounded = round_together(layer.weight, steps[place], covariance)
        shift = (layer.weight - rounded).reshape(len(rounded), -1) @ means
        layers[place] = replace(layer, weight=rounded, bias=layer.bias + shift)
    return chain.with_layers(layers), replace(scales, weights=steps)


def _moments(chain: Chain, inputs: NDArray[np.float32]) -> dict[int, tuple[Float64, Float64]]:
    """Means (d,) and covariance (d, d) of what the kernel of each hidden layer but the first covers."""
    places = [i for i in chain.convolutions if 0 < i < chain.n_hidden]
    covered: dict[int, list[Float64]] = {place: [] for place in places}
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for window in inputs:
            x = chain.normalise(window[None])
            for place, layer in enumerate(chain.layers[: chain.n_hidden]):
                if place in covered and isinstance(layer, Convolution):
                    covered[place].append(layer.sample_patches(x, SAMPLES, generator))
                x = advance(layer, x)
    moments = {}
    for place, samples in covered.items():
        values = np.concatenate(samples)
        moments[place] = values.mean(axis=0), np.cov(values, rowvar=False, bias=True)
    return moments


def _sample(values: Tensor, generator: torch.Generator) -> Float64:
    """Each channel's values at some positions, and its largest: (c, p) to (c, SAMPLES + 1)."""
    chosen = torch.randint(values.shape[1], (SAMPLES,), generator=generator)
    sample: Float64 = torch.cat([values[:, chosen], values.amax(dim=1, keepdim=True)], dim=1).double().numpy()
    return sample


def _best_ranges(values: Float64) -> Float64:
    """Where the range of each channel, (windows, c, n), is to end: (c,)."""
    largest = np.maximum(values.max(axis=(0, 2)), 1e-12)
    powers = np.mean(values**2, axis=2)
    powers = np.maximum(powers, FAINT * powers.mean(axis=0)) + 1e-24
    errors = []
    for share in CLIPPED:
        step = (largest * share / LEVELS)[:, None]
        squares = (np.clip(np.rint(values / step), 0, LEVELS) * step - values) ** 2
        errors.append(np.mean(squares.mean(axis=2) / powers, axis=0))
    ranges: Float64 = largest * CLIPPED[np.argmin(errors, axis=0)]
    return ranges


def _activations(chain: Chain, inputs: NDArray[np.float32]) -> Iterator[tuple[int, Tensor]]:
    """For each window its normalised self, as place -1, and what each hidden convolution gives on to the next one.

    That is after ReLU and pooling: a pooling lets the loudest values through, and these must not be clipped.
    """
    with torch.inference_mode():
        for window in inputs:
            x = chain.normalise(window[None])
            place = -1
            for i, layer in enumerate(chain.layers[: chain.n_hidden]):
                if isinstance(layer, Convolution):
                    yield place, x
                    place = i
                x = advance(layer, x)
            yield place, x
