"""One optimizer step; on a GPU a single CUDA graph, as its 400 small kernels take longer to launch than to run."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

WARM_UP = 3  # steps of each input shape before they are recorded: cuDNN looks for its fastest algorithms in them


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 where it pays, on GPUs and CPUs with AVX-512 or AMX; others emulate it. The loss stays in float32."""
    pays = device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=pays)


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """A CUDA stream for what is going to be recorded, which the default stream cannot be."""
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):  # None: as before
        yield


class Learner:
    """A network, its optimizer, and the exponential average of its weights.

    Attributes
    ----------
    network
        What learns, on its device.
    average
        The same network with averaged weights.
    optimizer
        AdamW over the given groups of parameters; a group's `share` multiplies its learning rate.
    """

    def __init__(
        self, network: nn.Module, groups: list[dict[str, Any]], *, weight_decay: float, clip_norm: float
    ) -> None:
        device = next(network.parameters()).device
        recorded = device.type == "cuda"
        self.network = network
        self.average = copy.deepcopy(network)
        self.optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True, capturable=recorded)
        self._clip_norm = clip_norm
        self._device = device
        self._average_share = torch.zeros((), device=device)
        self._recordings: dict[torch.Size, _Recording] = {}
        self._n_seen: dict[torch.Size, int] = {}
        if recorded:
            for group in self.optimizer.param_groups:
                group["lr"] = torch.zeros((), device=device)

    def step(self, inputs: Tensor, labels: Tensor, *, rate: float, decay: float) -> Tensor:
        """Learn from one batch.

        Parameters
        ----------
        inputs, labels
            On the network's device.
        rate
            Learning rate.
        decay
            Share of the average that stays.

        Returns
        -------
        The loss, a scalar on the device.
        """
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate * group["share"])
            else:
                group["lr"] = rate * group["share"]
        self._average_share.fill_(1 - decay)
        if self._device.type != "cuda":
            return self._learn(inputs, labels)
        shape = inputs.shape
        if shape not in self._recordings:
            self._n_seen[shape] = self._n_seen.get(shape, 0) + 1
            if self._n_seen[shape] <= WARM_UP:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message=".*capturable=True")
                    return self._learn(inputs, labels)
            self._recordings[shape] = _Recording(self, inputs, labels)
        return self._recordings[shape].replay(inputs, labels)

    def _learn(self, inputs: Tensor, labels: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        with autocast(self._device):
            logits = self.network(inputs)
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), labels)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), self._clip_norm)
        self.optimizer.step()
        self._move_average()
        return loss.detach()

    @torch.no_grad()
    def _move_average(self) -> None:
        """Move the averaged weights and norms towards the present ones."""
        present, average = self.network.state_dict().values(), self.average.state_dict().values()
        for there, here in zip(average, present, strict=True):
            if there.is_floating_point():
                there.lerp_(here, self._average_share)

    def state_dict(self) -> dict[str, Any]:
        """All that a checkpoint needs to go on."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, of whatever device."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        ours = [{key: group[key] for key in ("lr", "capturable")} for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, settings in zip(self.optimizer.param_groups, ours, strict=True):
            group.update(settings)


class _Recording:
    """A step of one input shape as a CUDA graph: the same kernels over the same memory."""

    def __init__(self, learner: Learner, inputs: Tensor, labels: Tensor) -> None:
        self._inputs, self._labels = inputs.clone(), labels.clone()
        self._graph = torch.cuda.CUDAGraph()
        learner.optimizer.zero_grad()
        with torch.cuda.graph(self._graph, stream=torch.cuda.current_stream()):
            self._loss = learner._learn(self._inputs, self._labels)

    def replay(self, inputs: Tensor, labels: Tensor) -> Tensor:
        self._inputs.copy_(inputs)
        self._labels.copy_(labels)
        self._graph.replay()
        return self._loss
