"""A weights bundle of a few kilobytes that hears the same in everything, so that tests need no trained networks.

The ONNX files are spelt byte by byte: the package that writes them is no dependency of the tests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mtag.bundle import BUNDLE_FORMAT, COMBINATIONS, FEATURES, MEMBERS, combiner_of, twin_of
from mtag.constants import N_FRAMES, N_MELS, N_TAGS, WINDOW_SAMPLES
from mtag.vocabulary import WORDS

TAGS = tuple(tag for word in WORDS for tag in word.tags)
HEARD = {"rock": 0.9, "guitar": 0.8, "slow": 0.7}  # scores; every other tag gets 0.1
THRESHOLD = 0.5

INPUTS = {
    "model1": (N_MELS, N_FRAMES),
    "model2": (N_MELS, N_FRAMES),
    "model3": (WINDOW_SAMPLES,),
    **{combiner_of(name): (N_TAGS * len(members),) for name, members in COMBINATIONS.items()},
}


def write_tiny_bundle(folder: Path, heard: Mapping[str, float] | None = None) -> Path:
    """Write a bundle whose every network gives the same scores for all that it hears."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, shape in INPUTS.items():
        content = _constant_network(shape, scores_of(HEARD if heard is None else heard))
        (folder / f"{name}.onnx").write_bytes(content)
        files[name] = {"name": f"{name}.onnx", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    thresholds = {name: dict.fromkeys(TAGS, THRESHOLD) for name in COMBINATIONS}
    manifest = {
        "format": BUNDLE_FORMAT,
        "features": FEATURES,
        "tags": TAGS,
        "files": files,
        "thresholds": {"scores": thresholds},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def add_tiny_twins(folder: Path, heard: Mapping[str, float]) -> Path:
    """Give a tiny bundle int8 networks, as far as its manifest is concerned."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for member in MEMBERS:
        content = _constant_network(INPUTS[member], scores_of(heard))
        (folder / f"{member}.int8.onnx").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        entry = {"name": f"{member}.int8.onnx", "sha256": digest, "bytes": len(content)}
        manifest["files"][twin_of(member)] = entry
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def scores_of(heard: Mapping[str, float]) -> np.ndarray:
    """(50,) float32 in the order of `TAGS`."""
    return np.array([heard.get(tag, 0.1) for tag in TAGS], np.float32)


def _constant_network(shape: tuple[int, ...], scores: np.ndarray) -> bytes:
    """(n, *shape) to (n, 50): the mean of the input times nought, plus the scores."""
    axes = _attribute("axes", range(1, len(shape) + 1))
    nodes = [
        _node("ReduceMean", ["input"], "mean", axes, _attribute("keepdims", [0], many=False)),
        _node("Reshape", ["mean", "column"], "tall"),
        _node("Mul", ["tall", "nought"], "zeros"),
        _node("Add", ["zeros", "scores"], "output"),
    ]
    tensors = [
        _tensor("column", np.array([-1, 1], np.int64)),
        _tensor("nought", np.zeros(1, np.float32)),
        _tensor("scores", scores[None]),
    ]
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"tiny")
    graph += b"".join(_field(5, tensor) for tensor in tensors)
    graph += _field(11, _value("input", shape)) + _field(12, _value("output", (len(scores),)))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))  # IR version 8, operator set 13


def _field(number: int, content: bytes | int) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    number &= 2**64 - 1
    octets = bytearray()
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    return bytes([*octets, number])


def _attribute(name: str, numbers, many: bool = True) -> bytes:
    values = b"".join(_field(8 if many else 3, number) for number in numbers)
    return _field(1, name.encode()) + values + _field(20, 7 if many else 2)


def _node(kind: str, inputs: list[str], output: str, *attributes: bytes) -> bytes:
    node = b"".join(_field(1, name.encode()) for name in inputs) + _field(2, output.encode())
    return node + _field(4, kind.encode()) + b"".join(_field(5, attribute) for attribute in attributes)


def _tensor(name: str, values: np.ndarray) -> bytes:
    dims = b"".join(_field(1, size) for size in values.shape)
    kind = 7 if values.dtype == np.int64 else 1
    return dims + _field(2, kind) + _field(8, name.encode()) + _field(9, values.tobytes())


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    dims = _field(1, _field(2, b"n")) + b"".join(_field(1, _field(1, size)) for size in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _field(1, 1) + _field(2, dims)))
