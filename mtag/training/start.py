"""A bundle's networks in PyTorch again, to be trained further or timed."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from mtag.bundle import COMBINATIONS, MEMBERS, Bundle, combiner_of
from mtag.errors import WeightsError
from mtag.training.batches import Normalisation
from mtag.training.fit import NETWORKS, Trained
from mtag.training.networks import Combiner

PREFIX = "network."  # of the exported parameters' names


def load_members(bundle: Bundle) -> dict[str, Trained]:
    """Rebuild the three members of a bundle that `mtag train` made.

    Raises
    ------
    WeightsError
        A network is missing or damaged, or is not of the paper's shape.
    """
    fingerprint = bundle.fingerprint()
    loaded = {member: load_member(bundle, member) for member in MEMBERS}
    return {
        member: replace(trained, record=trained.record | {"bundle": fingerprint}) for member, trained in loaded.items()
    }


def load_member(bundle: Bundle, member: str) -> Trained:
    """Rebuild one of them."""
    network = NETWORKS[member]()
    _fill(network, bundle, member)
    try:
        record = bundle.manifest["training"]["members"][member]
        normalisation = Normalisation(**record["normalisation"])
    except (KeyError, TypeError) as error:
        raise _foreign(bundle, member, error) from error
    return Trained(network.eval(), normalisation, record)


def load_combiner(bundle: Bundle, combination: str) -> Combiner:
    """Rebuild the combiner of "1+2", "1+2+3" and so on; raises as `load_members`."""
    network = Combiner(len(COMBINATIONS[combination]))
    _fill(network, bundle, combiner_of(combination))
    return network.eval()


def _fill(network: nn.Module, bundle: Bundle, name: str) -> None:
    """Give a network the parameters of an exported one."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(bundle.read(name)).graph
    stored = {
        parameter.name.removeprefix(PREFIX): torch.from_numpy(numpy_helper.to_array(parameter).copy())
        for parameter in graph.initializer
        if parameter.name.startswith(PREFIX)
    }
    counters = {key: value for key, value in network.named_buffers() if key.endswith("num_batches_tracked")}
    try:
        network.load_state_dict(stored | counters)
    except RuntimeError as error:
        raise _foreign(bundle, name, error) from error


def _foreign(bundle: Bundle, name: str, error: Exception) -> WeightsError:
    return WeightsError(f"{bundle.folder}: {name} is not one that mtag train has made ({error})")
