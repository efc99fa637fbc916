"""Trained networks to ONNX: batch-dynamic, normalisation and sigmoid inside the graph, checked against torch."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mtag.constants import N_FRAMES, N_MELS, N_TAGS, WINDOW_SAMPLES
from mtag.errors import WeightsError
from mtag.training.batches import Normalisation
from mtag.training.networks import Combiner

OPSET = 17
IR_VERSION = 9  # what ONNX Runtime 1.17, the oldest that is allowed, still reads
TOLERANCE = 1e-4  # largest difference to torch, in probability


class Exported(nn.Module):
    """A network between its normalisation and the sigmoid: dB or samples in, probabilities out."""

    def __init__(self, network: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.network = network
        self.normalisation = normalisation

    def forward(self, inputs: Tensor) -> Tensor:
        """Scores (n, 50) float32 in [0, 1]."""
        normalised = (inputs - self.normalisation.mean) / self.normalisation.std
        return torch.sigmoid(self.network(normalised))


def export_member(name: str, network: nn.Module, normalisation: Normalisation, folder: Path) -> Path:
    """Write `NAME.onnx` and prove that ONNX Runtime gives torch's scores.

    Raises
    ------
    WeightsError
        The scores differ by more than 1e-4.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (3, WINDOW_SAMPLES) if name == "model3" else (3, N_MELS, N_FRAMES)
    noise = torch.randn(shape, generator=generator)
    example = noise * normalisation.std + normalisation.mean
    input_name = "waveform" if name == "model3" else "log_mel"
    return _export(Exported(network, normalisation), example, input_name, folder / f"{name}.onnx")


def export_combiner(name: str, network: Combiner, n_members: int, folder: Path) -> Path:
    """Write a combiner likewise; its inputs are probabilities and need no normalisation."""
    example = torch.rand((3, N_TAGS * n_members), generator=torch.Generator().manual_seed(0))
    return _export(Exported(network, Normalisation(0.0, 1.0)), example, "member_scores", folder / f"{name}.onnx")


def _export(network: Exported, example: Tensor, input_name: str, path: Path) -> Path:
    import onnx

    # Channels-last is a layout for training; a graph is exported in the plain one.
    network = network.cpu().float().to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    part = path.with_suffix(".part")
    torch.onnx.export(
        network,
        (example,),
        str(part),
        input_names=[input_name],
        output_names=["scores"],
        dynamic_axes={input_name: {0: "windows"}, "scores": {0: "windows"}},
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load(str(part))
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    onnx.save(model, str(part))
    with torch.inference_mode():
        _check(part, example, network(example))
    os.replace(part, path)
    return path


def _check(path: Path, example: Tensor, expected: Tensor) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for n in (1, len(example)):
        scores = session.run(None, {session.get_inputs()[0].name: example[:n].numpy()})[0]
        difference = float(np.abs(scores - expected[:n].numpy()).max())
        if not difference <= TOLERANCE:
            raise WeightsError(f"{path} differs from the trained network by {difference:.1e}")
