"""Chains of layers to ONNX graphs that compute in 8-bit integers.

Activations are unsigned bytes with one scale a layer. Weights are signed, one scale a channel, and use seven of their
eight bits: x86 processors without VNNI add two products of bytes in 16 bits, which saturates beyond that, so seven
make the scores the same on all of them and on ARM. Channels come last, as ONNX Runtime's integer kernels want them,
so no layer is transposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtag.constants import N_FRAMES, N_MELS, N_TAGS, WINDOW_SAMPLES
from mtag.training.chain import Chain, Convolution, Float64, Layer, Pooling
from mtag.training.export import IR_VERSION, OPSET
from mtag.training.rounding import best_steps, whole_steps

CONTRIB = "com.microsoft"  # the operator set of ONNX Runtime that holds the kernels with channels last
QUIET = 1e-6  # a row of samples is scaled as if it were at least so loud
COLUMNS = 16  # that a convolution of one channel handles at once


@dataclass(frozen=True)
class Scale:
    """Bytes to numbers: (byte - zero) * step."""

    step: float
    zero: int

    @classmethod
    def over(cls, low: float, high: float) -> Scale:
        """The finest one that holds low to high, and nought exactly."""
        low, high = min(low, 0.0), max(high, 0.0)
        step = max(high - low, 1e-12) / 255
        return cls(step, round(-low / step))


SIGNED = Scale(1 / 127, 128)  # for -1 to 1


@dataclass(frozen=True)
class Scales:
    """A calibrated chain's scales."""

    inputs: Scale  # of the normalised input
    outputs: dict[int, Scale]  # of each convolution's responses, ReLU included; by its place in the chain
    weights: dict[int, Float64]  # (out,) steps of which that convolution's weights are multiples already


@dataclass
class _Graph:
    """Nodes and tensors as they are added; the value `at` is where the next node continues."""

    at: str
    nodes: list[Any] = field(default_factory=list)
    tensors: list[Any] = field(default_factory=list)

    def tensor(self, values: object, kind: type[np.generic]) -> str:
        from onnx import numpy_helper

        name = f"t{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def add(self, kind: str, *others: str, after: str | None = None, domain: str = "", **settings: Any) -> str:  # noqa: ANN401
        """Add a node that takes `after` (default: where the graph is) and `others`, and continue behind it."""
        from onnx import helper

        inputs = [after or self.at, *others]
        self.at = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [self.at], domain=domain, **settings))
        return self.at

    def scale(self, scale: Scale) -> tuple[str, str]:
        return self.tensor(scale.step, np.float32), self.tensor(scale.zero, np.uint8)


def integer_model(chain: Chain, scales: Scales) -> bytes:
    """A member's graph: its float32 input, integers between, (n, 50) float32 scores."""
    graph = _Graph(chain.input_name)
    place, scale = _BEGINNINGS[chain.name](graph, chain, scales)
    for i in range(place, chain.n_hidden):
        layer = chain.layers[i]
        if isinstance(layer, Pooling):
            _pool(graph, layer)
        else:
            _convolve(graph, layer, scale, scales.outputs[i], scales.weights.get(i))
            scale = scales.outputs[i]
    _dense(graph, chain.layers[chain.n_hidden :], scale)
    graph.add("Sigmoid")
    return _serialise(graph, chain)


def _serialise(graph: _Graph, chain: Chain) -> bytes:
    from onnx import TensorProto, helper

    graph.nodes[-1].output[0] = "scores"
    shape = (WINDOW_SAMPLES,) if chain.name == "model3" else (N_MELS, N_FRAMES)
    value = helper.make_tensor_value_info
    inputs = [value(chain.input_name, TensorProto.FLOAT, ["windows", *shape])]
    outputs = [value("scores", TensorProto.FLOAT, ["windows", N_TAGS])]
    made = helper.make_graph(graph.nodes, chain.name, inputs, outputs, graph.tensors)
    sets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    model = helper.make_model(made, opset_imports=sets, producer_name="mtag")
    model.ir_version = IR_VERSION
    content: bytes = model.SerializeToString()
    return content


def _see_bands(graph: _Graph, chain: Chain, scales: Scales) -> tuple[int, Scale]:
    """Model 1's input: (n, 128, 592) dB to bytes (n, 1, 592, 128)."""
    _quantize_log_mel(graph, chain, scales.inputs)
    graph.add("Transpose", perm=[0, 2, 1])
    graph.add("Unsqueeze", graph.tensor([1], np.int64))
    return 0, scales.inputs


def _see_image(graph: _Graph, chain: Chain, scales: Scales) -> tuple[int, Scale]:
    """Model 2's input and first convolution: (n, 128, 592) dB to bytes (n, 128, 592, c).

    The convolution has one channel and looks up and down alone, so neighbouring columns can stand as channels:
    products of three numbers would be too thin for vector units.
    """
    layer = chain.layers[0]
    assert isinstance(layer, Convolution)
    _quantize_log_mel(graph, chain, scales.inputs)
    graph.add("Reshape", graph.tensor([0, N_MELS, N_FRAMES // COLUMNS, COLUMNS], np.int64))
    weight = np.einsum("oihw,ab->aobhw", layer.weight, np.eye(COLUMNS)).reshape(-1, COLUMNS, *layer.kernel)
    wide = Convolution(weight, np.tile(layer.bias, COLUMNS), layer.same, layer.relu)
    _convolve(graph, wide, scales.inputs, scales.outputs[0])
    graph.add("Reshape", graph.tensor([0, N_MELS, N_FRAMES, layer.n_out], np.int64))
    return 1, scales.outputs[0]


def _quantize_log_mel(graph: _Graph, chain: Chain, scale: Scale) -> None:
    graph.add("Sub", graph.tensor(chain.normalisation.mean, np.float32))
    graph.add("Div", graph.tensor(chain.normalisation.std, np.float32))
    graph.add("QuantizeLinear", *graph.scale(scale))


def _convolve(graph: _Graph, layer: Convolution, inputs: Scale, outputs: Scale, steps: Float64 | None = None) -> None:
    steps = best_steps(layer.weight) if steps is None else steps
    weight = whole_steps(layer.weight, steps)
    bias = np.rint(layer.bias / (inputs.step * steps))
    height, width = layer.kernel
    padding = [height // 2, width // 2] * 2 if layer.same else [0] * 4
    graph.add(
        "QLinearConv",
        *graph.scale(inputs),
        graph.tensor(weight, np.int8),
        graph.tensor(steps, np.float32),
        graph.tensor(np.zeros(len(steps)), np.int8),
        *graph.scale(outputs),
        graph.tensor(np.clip(bias, -(2**31), 2**31 - 1), np.int32),
        domain=CONTRIB,
        channels_last=1,
        kernel_shape=[height, width],
        pads=padding,
    )


def _pool(graph: _Graph, layer: Pooling) -> None:
    graph.add("NhwcMaxPool", domain=CONTRIB, kernel_shape=list(layer.kernel), strides=list(layer.kernel), pads=[0] * 4)


def _hear_samples(graph: _Graph, chain: Chain, scales: Scales) -> tuple[int, Scale]:
    """Model 3's input, first convolution and pooling: (n, 465600) samples to bytes (n, 1, 29099, c).

    A byte is too coarse for a whole waveform, so each row of samples that one pooling covers is scaled by its own
    maximum, and what was heard in it is scaled back. One product gives the responses at all positions of a row.
    """
    layer, pooling = chain.layers[:2]
    assert isinstance(layer, Convolution)
    assert isinstance(pooling, Pooling)
    length, taps, n = pooling.kernel[1], layer.kernel[1], layer.n_out
    n_rows = WINDOW_SAMPLES // length - 1
    filters = layer.weight[:, 0, 0] / chain.normalisation.std
    bias = layer.bias - filters.sum(axis=1) * chain.normalisation.mean
    rows = _overlapping_rows(graph, n_rows, length, taps - 1)
    graph.add("Abs")
    graph.add("ReduceMax", axes=[2], keepdims=1)
    loudness = graph.add("Clip", graph.tensor(QUIET, np.float32))
    graph.add("Div", loudness, after=rows)
    graph.add("QuantizeLinear", *graph.scale(SIGNED))
    graph.add("Unsqueeze", graph.tensor([1], np.int64))
    peaks = np.abs(filters).sum(axis=1)  # no response to a scaled row is larger
    weight = np.zeros((length, n, length + taps - 1, 1, 1))
    for position in range(length):
        weight[position, :, position : position + taps, 0, 0] = filters / peaks[:, None]
    _convolve(graph, Convolution(weight.reshape(length * n, -1, 1, 1), np.zeros(length * n)), SIGNED, SIGNED)
    graph.add("Reshape", graph.tensor([0, 1, n_rows * length, n], np.int64))
    _pool(graph, pooling)
    # One step for all filters, whose own factors come later: a step for each here takes five times as long.
    heard = graph.add("DequantizeLinear", *graph.scale(SIGNED))
    loudness = graph.add("Unsqueeze", graph.tensor([1], np.int64), after=loudness)
    graph.add("Mul", loudness, after=heard)
    graph.add("Mul", graph.tensor(peaks, np.float32))
    graph.add("Add", graph.tensor(bias, np.float32))
    graph.add("QuantizeLinear", *graph.scale(scales.outputs[0]))
    return 2, scales.outputs[0]


def _overlapping_rows(graph: _Graph, n_rows: int, length: int, more: int) -> str:
    """The input cut into rows (n, n_rows, length + more), each ending with the first samples of the next one."""

    def numbers(*values: int) -> str:
        return graph.tensor(values, np.int64)

    samples = graph.add("Reshape", numbers(0, n_rows + 1, length))
    head = graph.add("Slice", numbers(0), numbers(n_rows), numbers(1), after=samples)
    tail = graph.add("Slice", numbers(1, 0), numbers(n_rows + 1, more), numbers(1, 2), after=samples)
    return graph.add("Concat", tail, after=head, axis=2)


_BEGINNINGS = {"model1": _see_bands, "model2": _see_image, "model3": _hear_samples}


def _dense(graph: _Graph, layers: Sequence[Layer], inputs: Scale) -> None:
    """The last layers, fully connected: the first of them multiplies integers, and all give float32."""
    graph.add("Flatten", axis=1)
    for i, layer in enumerate(layers):
        assert isinstance(layer, Convolution)
        weight = layer.weight.transpose(2, 3, 1, 0).reshape(-1, layer.n_out)
        if i == 0:
            steps = best_steps(weight.T)
            rounded = whole_steps(weight.T, steps)
            zeros = graph.tensor(inputs.zero, np.uint8), graph.tensor(0, np.int8)
            graph.add("MatMulInteger", graph.tensor(rounded.T, np.int8), *zeros)
            graph.add("Cast", to=1)
            graph.add("Mul", graph.tensor(steps * inputs.step, np.float32))
        else:
            graph.add("MatMul", graph.tensor(weight, np.float32))
        graph.add("Add", graph.tensor(layer.bias, np.float32))
        if layer.relu:
            graph.add("Relu")
