"""Write a bundle's manifest: what the files are, what was measured, how they came to be."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtag.bundle import BUNDLE_FORMAT, COMBINATIONS, FEATURES, MANIFEST, MEMBERS, combiner_of, twin_of
from mtag.evaluate import Evaluation

LICENCE = "CC BY-NC-SA 4.0"


def write_manifest(
    folder: Path,
    *,
    tags: tuple[str, ...],
    thresholds: Mapping[str, Any],
    training: Mapping[str, Any],
) -> None:
    """Describe the networks that lie in `folder`, replacing an earlier manifest in one step."""
    manifest = {
        "format": BUNDLE_FORMAT,
        "name": "mtat50",
        "licence": LICENCE,
        "tags": list(tags),
        "features": FEATURES,
        "files": {name: _describe(folder / f"{name}.onnx") for name in (*MEMBERS, *map(combiner_of, COMBINATIONS))},
        "thresholds": thresholds,
        "training": training,
    }
    _replace(folder, manifest)


def add_twins(folder: Path, quantization: Mapping[str, Any]) -> None:
    """Describe the int8 networks that lie in `folder`, and how they were made, in the manifest there."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    files = {twin_of(member): _describe(folder / twin_file(member)) for member in MEMBERS}
    _replace(folder, manifest | {"files": manifest["files"] | files, "quantization": dict(quantization)})


def add_metrics(folder: Path, measured: Mapping[str, Evaluation]) -> None:
    """Keep what the bundle in `folder` reached on the test tracks, by precision, fp32 among them."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    metrics = {precision: evaluation.to_json() for precision, evaluation in measured.items()}
    exact = measured["fp32"]
    at_thresholds = {row.name: row.per_tag(exact.tags, "precision", "recall") for row in exact.rows if row.precision}
    thresholds = manifest["thresholds"] | {"measured": at_thresholds}
    _replace(folder, manifest | {"metrics": metrics, "thresholds": thresholds})


def twin_file(member: str) -> str:
    """Name of the file of a member's int8 network."""
    return f"{member}.int8.onnx"


def _replace(folder: Path, manifest: Mapping[str, Any]) -> None:
    part = folder / f"{MANIFEST}.part"
    part.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    os.replace(part, folder / MANIFEST)


def _describe(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"name": path.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
