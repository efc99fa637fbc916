"""Make a chain narrower where its channels say the same: fewer filters, refitted to give the same responses.

After He et al. 2017 (channel pruning) and Zhang et al. 2015 (asymmetric reconstruction). Layer by layer, the input
channels from which the original layer's responses can be told best by least squares are chosen one by one, until the
part of the responses that is lost falls under a budget; the layer's weights are fitted anew on them, and the filters
that made the other channels go. The inputs are those of the layers that are narrower already, the responses those of
the original, so later layers make up for the errors of earlier ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtag.training.chain import Chain, Convolution, Float64, Layer, Pooling, advance

POSITIONS = 1_000  # of each window at which a layer is looked at
RIDGE = 1e-6  # of the inputs' mean variance: keeps silent channels from being fitted to noise
ENOUGH = 4  # positions for each value that a layer's kernel covers; with fewer it would be learnt by heart
STEP = 8  # channels are kept in multiples of so many, as vector units like them


@dataclass(frozen=True)
class Moments:
    """What least squares needs to know of a layer's inputs and wanted responses."""

    inputs: Float64  # (c * k,) means, k values of the kernel for each channel
    responses: Float64  # (o,) means
    within: Float64  # (c * k, c * k) covariance of the inputs
    across: Float64  # (o, c * k) covariance of responses and inputs
    variance: Float64  # (o,) of the responses
    heard: Float64  # (o,) share of that variance which the ReLU lets through


def reduce_chain(chain: Chain, inputs: NDArray[np.float32], budget: float, report: Callable[[str], None]) -> Chain:
    """Narrow a chain.

    Parameters
    ----------
    chain
        The original; every layer keeps its kernel. The first layer's inputs and the fully connected layers stay.
    inputs
        (n, 128, 592) dB or (n, 465600) samples: training windows.
    budget
        Share of the variance of each layer's responses that may be lost by choosing among its inputs.
    report
        Told of each layer, in a sentence.
    """
    layers = list(chain.layers)
    block = 0  # where the layers since the last pooling begin
    before = [chain.normalise(window[None]) for window in inputs]  # what goes into that block, in the original
    now = list(before)  # the same in the narrower chain
    with torch.inference_mode():
        for place, layer in enumerate(chain.layers[: chain.n_hidden]):
            if isinstance(layer, Pooling):
                before = [_through(chain.layers[block : place + 1], x) for x in before]
                now = [_through(layers[block : place + 1], x) for x in now]
                block = place + 1
                continue
            moments = _measure(layer, (chain.layers[block:place], before), (layers[block:place], now))
            if place == 0 or moments is None:
                continue
            kept, lost = choose_channels(moments, _weigh(chain, place, moments), layer.kernel, budget)
            earlier = max(i for i in chain.convolutions if i < place)
            layers[place] = refit(layer, moments, kept)
            layers[earlier] = _keep(layers[earlier], kept)
            if earlier < block:
                now = [x[:, kept] for x in now]
            n = layer.weight.shape[1]
            report(f"{chain.name}, layer {place}: {len(kept)} of {n} channels tell all but {lost:.2%} of it")
    return chain.with_layers(layers)


def _through(layers: Sequence[Layer], x: Tensor) -> Tensor:
    for layer in layers:
        x = advance(layer, x)
    return x


def _keep(layer: Layer, kept: NDArray[np.int64]) -> Layer:
    assert isinstance(layer, Convolution)
    return replace(layer, weight=layer.weight[kept], bias=layer.bias[kept])


def _measure(
    layer: Convolution, wanted: tuple[Sequence[Layer], list[Tensor]], given: tuple[Sequence[Layer], list[Tensor]]
) -> Moments | None:
    """Moments of a layer at random positions, or None where there are too few to fit it by.

    Parameters
    ----------
    wanted, given
        In the original and in the narrower chain: the layers between the last pooling and this one, and what goes
        into them for each window.
    """
    generator = torch.Generator().manual_seed(0)
    xs, ys = [], []
    for original, narrow in zip(wanted[1], given[1], strict=True):
        responses = layer.respond(_through(wanted[0], original))[0].flatten(1)
        positions = torch.randperm(responses.shape[1], generator=generator)[:POSITIONS]
        ys.append(responses[:, positions].T.double().numpy())
        xs.append(layer.patches(_through(given[0], narrow), positions))
    x, y = np.concatenate(xs), np.concatenate(ys)
    if len(x) < ENOUGH * x.shape[1]:
        return None
    means = x.mean(axis=0), y.mean(axis=0)
    x -= means[0]
    variance = y.var(axis=0)
    passed = np.maximum(y, 0).var(axis=0) if layer.relu else variance
    y -= means[1]
    return Moments(*means, x.T @ x / len(x), y.T @ x / len(x), variance, passed / np.maximum(variance, 1e-12))


def _weigh(chain: Chain, place: int, moments: Moments) -> Float64:
    """How much each response matters: what the next layer makes of it, as far as the ReLU lets it through."""
    following = next((chain.layers[i] for i in chain.convolutions if i > place), None)
    if not isinstance(following, Convolution):
        return 1 / np.maximum(moments.variance, 1e-12)
    weights: Float64 = moments.heard * (following.weight**2).sum(axis=(0, 2, 3))
    return weights


def choose_channels(
    moments: Moments, weights: Float64, kernel: tuple[int, int], budget: float
) -> tuple[NDArray[np.int64], float]:
    """The fewest channels, chosen greedily, with which no more than `budget` of the responses is lost.

    Returns
    -------
    The channels in order, and the share of the responses' weighted variance that is lost with them.
    """
    k = kernel[0] * kernel[1]
    n = len(moments.within) // k
    ridge = RIDGE * np.trace(moments.within) / len(moments.within) * np.eye(k)
    rest, across = moments.within.copy(), moments.across * np.sqrt(weights)[:, None]
    total = lost = float((moments.variance * weights).sum())
    bearable = budget * total + _lost_with_all(moments, weights)
    left, kept = list(range(n)), list[int]()
    while left and (lost > bearable or len(kept) % STEP):
        own = rest.reshape(n, k, n, k)[left, :, left] + ridge
        ours = across.reshape(-1, n, k)[:, left].transpose(1, 0, 2)
        inverse = np.linalg.inv(own)
        gains = np.einsum("nij,nji->n", inverse, ours.transpose(0, 2, 1) @ ours)
        best = int(np.argmax(gains))
        columns = slice(left[best] * k, left[best] * k + k)
        row = inverse[best] @ rest[columns]
        across -= across[:, columns].copy() @ row
        rest -= rest[:, columns].copy() @ row
        lost -= float(gains[best])
        kept.append(left.pop(best))
    return np.sort(np.array(kept)), max(lost, 0.0) / total


def _lost_with_all(moments: Moments, weights: Float64) -> float:
    """Weighted variance of the responses that all channels together leave unexplained."""
    ridge = RIDGE * np.trace(moments.within) / len(moments.within) * np.eye(len(moments.within))
    explained = np.einsum("oc,oc->o", moments.across, np.linalg.solve(moments.within + ridge, moments.across.T).T)
    return float((weights * (moments.variance - explained)).sum())


def refit(layer: Convolution, moments: Moments, kept: NDArray[np.int64]) -> Convolution:
    """The layer on fewer input channels, by least squares."""
    height, width = layer.kernel
    columns = (kept[:, None] * (height * width) + np.arange(height * width)).ravel()
    within = moments.within[np.ix_(columns, columns)]
    within = within + RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    weight = np.linalg.solve(within, moments.across[:, columns].T).T
    bias = moments.responses - weight @ moments.inputs[columns]
    return replace(layer, weight=weight.reshape(layer.n_out, -1, height, width), bias=bias)
