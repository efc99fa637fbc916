"""A bundle's members as networks again, to be trained further."""

from __future__ import annotations

from dataclasses import replace

import torch

from mtag.ensemble import MEMBERS, Bundle
from mtag.errors import WeightsError
from mtag.training.batches import Normalisation
from mtag.training.fit import NETWORKS, Trained

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
    import onnx
    from onnx import numpy_helper

    network = NETWORKS[member]()
    graph = onnx.load_from_string(bundle.read(member)).graph
    stored = {
        parameter.name.removeprefix(PREFIX): torch.from_numpy(numpy_helper.to_array(parameter).copy())
        for parameter in graph.initializer
        if parameter.name.startswith(PREFIX)
    }
    counters = {name: value for name, value in network.named_buffers() if name.endswith("num_batches_tracked")}
    try:
        network.load_state_dict(stored | counters)
        record = bundle.manifest["training"]["members"][member]
        normalisation = Normalisation(**record["normalisation"])
    except (RuntimeError, KeyError, TypeError) as error:
        raise WeightsError(f"{bundle.folder}: {member} is not one that mtag train has made ({error})") from error
    return Trained(network.eval(), normalisation, record)
