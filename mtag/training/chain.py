"""An exported member read back as what it is: a chain of convolutions and poolings, its norms folded in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mtag.errors import WeightsError
from mtag.training.batches import Normalisation

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Convolution:
    """A convolution of stride 1 with its bias; a fully connected layer is one of a single position."""

    weight: Float64  # (out, in, height, width)
    bias: Float64  # (out,)
    same: bool = False  # padded with zeros so that height and width stay
    relu: bool = False

    @property
    def n_out(self) -> int:
        """Channels it gives."""
        return len(self.weight)

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width."""
        return self.weight.shape[2], self.weight.shape[3]

    def respond(self, inputs: Tensor) -> Tensor:
        """Responses before the ReLU: (n, in, h, w) to (n, out, h', w') float32."""
        weight, bias = (torch.from_numpy(values).float() for values in (self.weight, self.bias))
        return nn.functional.conv2d(self.pad(inputs), weight, bias)

    def pad(self, inputs: Tensor) -> Tensor:
        """The inputs with the zeros that the convolution sees around them."""
        if not self.same:
            return inputs
        height, width = self.kernel
        return nn.functional.pad(inputs, (width // 2, width // 2, height // 2, height // 2))

    def patches(self, inputs: Tensor, positions: Tensor) -> Float64:
        """What the kernel covers at some positions of one window, counted row by row: (p, in * height * width)."""
        height, width = self.kernel
        covered = self.pad(inputs).unfold(2, height, 1).unfold(3, width, 1)[0]
        rows, columns = positions // covered.shape[2], positions % covered.shape[2]
        values: Float64 = covered[:, rows, columns].permute(1, 0, 2, 3).flatten(1).double().numpy()
        return values

    def sample_patches(self, inputs: Tensor, n: int, generator: torch.Generator) -> Float64:
        """Patches at n random positions, or at all if there are fewer."""
        height, width = self.pad(inputs).shape[2:]
        size = (height - self.kernel[0] + 1) * (width - self.kernel[1] + 1)
        return self.patches(inputs, torch.randperm(size, generator=generator)[:n])


@dataclass(frozen=True)
class Pooling:
    """A maximum over pieces that do not overlap."""

    kernel: tuple[int, int]  # height and width

    def pool(self, inputs: Tensor) -> Tensor:
        """(n, c, h, w) to (n, c, h', w')."""
        return nn.functional.max_pool2d(inputs, self.kernel)


Layer = Convolution | Pooling


@dataclass(frozen=True)
class Chain:
    """A member between its normalisation and the sigmoid."""

    name: str  # "model1", "model2" or "model3"
    input_name: str
    normalisation: Normalisation
    layers: tuple[Layer, ...]

    def normalise(self, inputs: NDArray[np.float32]) -> Tensor:
        """What the first layer sees, (n, c, h, w) float32, of dB (n, 128, 592) or samples (n, 465600)."""
        normalised = (torch.from_numpy(inputs) - self.normalisation.mean) / self.normalisation.std
        if self.name == "model1":
            return normalised[:, :, None]
        return normalised[:, None] if self.name == "model2" else normalised[:, None, None]

    def with_layers(self, layers: Sequence[Layer]) -> Chain:
        """The same chain with other layers."""
        return replace(self, layers=tuple(layers))

    @property
    def convolutions(self) -> list[int]:
        """Where in `layers` the convolutions are, fully connected layers among them."""
        return [i for i, layer in enumerate(self.layers) if isinstance(layer, Convolution)]

    @property
    def n_hidden(self) -> int:
        """How many layers there are before the fully connected ones at the end, which follow the last pooling."""
        return 1 + max(i for i, layer in enumerate(self.layers) if isinstance(layer, Pooling))


def advance(layer: Layer, inputs: Tensor) -> Tensor:
    """What a layer gives on, ReLU included."""
    if isinstance(layer, Pooling):
        return layer.pool(inputs)
    responses = layer.respond(inputs)
    return responses.relu_() if layer.relu else responses


def read_chain(name: str, path: Path) -> Chain:
    """Read a member that `mtag.training.export` wrote.

    Raises
    ------
    WeightsError
        The graph holds something else than such a chain.
    """
    import onnx

    graph = onnx.load(str(path)).graph
    try:
        layers = tuple(_fold(_layers(graph)))
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path} is not a chain of layers that can be quantized ({error})") from error
    constants = {node.output[0]: _constant(node).item() for node in graph.node if _holds_one_number(node)}
    divisor = {node.op_type: constants[node.input[1]] for node in graph.node if node.op_type in ("Sub", "Div")}
    return Chain(name, graph.input[0].name, Normalisation(divisor["Sub"], divisor["Div"]), layers)


@dataclass(frozen=True)
class _Norm:
    """Batch normalisation as it is after training: a factor and a shift for each channel."""

    factor: Float64
    shift: Float64


def _layers(graph: Any) -> Iterator[Layer | _Norm]:  # noqa: ANN401 - onnx has no types
    """The graph's layers, each ReLU joined to the convolution before it: a ReLU and a maximum may change places."""
    from onnx import helper, numpy_helper

    weights = {tensor.name: numpy_helper.to_array(tensor).astype(np.float64) for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MaxPool", "BatchNormalization", "Relu")]
    for i, node in enumerate(nodes):
        settings = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        tensors = [weights[name] for name in node.input[1:]]
        if node.op_type in ("Conv", "Gemm"):
            following = [other.op_type for other in nodes[i + 1 : i + 3]]
            relu = following[:1] == ["Relu"] or following == ["MaxPool", "Relu"]
            yield Convolution(_square(tensors[0]), tensors[1], settings.get("auto_pad") == b"SAME_UPPER", relu)
        elif node.op_type == "MaxPool":
            *height, width = settings["kernel_shape"]
            yield Pooling((*height, width) if height else (1, width))
        elif node.op_type == "BatchNormalization":
            factor = tensors[0] / np.sqrt(tensors[3] + settings["epsilon"])
            yield _Norm(factor, tensors[1] - tensors[2] * factor)


def _square(weight: Float64) -> Float64:
    """Weights of a fully connected layer or a 1-D convolution as those of a 2-D one."""
    if weight.ndim == 2:
        return weight[:, :, None, None]
    return weight[:, :, None] if weight.ndim == 3 else weight


def _fold(layers: Iterator[Layer | _Norm]) -> Iterator[Layer]:
    """Put each norm into the convolution after it."""
    norm: _Norm | None = None
    for layer in layers:
        if isinstance(layer, _Norm):
            norm = layer
        elif isinstance(layer, Pooling):
            if norm is not None and (norm.factor <= 0).any():
                raise ValueError("a negative norm before a pooling")
            yield layer
        elif norm is None:
            yield layer
        elif layer.same:
            raise ValueError("a norm before padding")
        else:
            shift = np.einsum("oihw,i->o", layer.weight, norm.shift)
            yield replace(layer, weight=layer.weight * norm.factor[None, :, None, None], bias=layer.bias + shift)
            norm = None


def _holds_one_number(node: Any) -> bool:  # noqa: ANN401
    return node.op_type == "Constant" and _constant(node).size == 1


def _constant(node: Any) -> NDArray[Any]:  # noqa: ANN401
    from onnx import numpy_helper

    values: NDArray[Any] = numpy_helper.to_array(node.attribute[0].t)
    return values
