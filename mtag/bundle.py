"""A weights bundle on disk: a folder of exported networks, and what its manifest says of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtag.constants import (
    F_MAX,
    F_MIN,
    HOP_LENGTH,
    N_FFT,
    N_FRAMES,
    N_MELS,
    N_TAGS,
    POWER_FLOOR,
    SAMPLE_RATE,
    WINDOW_SAMPLES,
)
from mtag.errors import WeightsError

BUNDLE_FORMAT = 1
MANIFEST = "manifest.json"
MEMBERS = ("model1", "model2", "model3")
COMBINATIONS = {  # name as the paper's Table 5 writes it -> members
    "1+2": ("model1", "model2"),
    "1+3": ("model1", "model3"),
    "2+3": ("model2", "model3"),
    "1+2+3": MEMBERS,
}
FAST, FULL = "1+2", "1+2+3"
# The graphs hear only what was computed with these numbers.
FEATURES = {
    "sample_rate": SAMPLE_RATE,
    "window_samples": WINDOW_SAMPLES,
    "n_fft": N_FFT,
    "hop_length": HOP_LENGTH,
    "n_mels": N_MELS,
    "n_frames": N_FRAMES,
    "f_min": F_MIN,
    "f_max": F_MAX,
    "power_floor": POWER_FLOOR,
}


def combiner_of(combination: str) -> str:
    """The bundle's name of a combination's network: "1+2" -> "combiner_12"."""
    return "combiner_" + combination.replace("+", "")


def twin_of(member: str) -> str:
    """The bundle's name of the network that computes a member in 8-bit integers."""
    return f"{member}_int8"


@dataclass(frozen=True)
class Bundle:
    """A folder of exported networks and what its manifest says of them."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def tags(self) -> tuple[str, ...]:
        """The 50 tags, in the order of every score array."""
        return tuple(self.manifest["tags"])

    def thresholds(self, combination: str = FULL) -> dict[str, float]:
        """Score from which each tag is believed; infinite for a tag that never reached the stated precision."""
        stored = self.manifest["thresholds"]["scores"][combination]
        return {tag: float("inf") if value is None else float(value) for tag, value in stored.items()}

    def measured(self, combination: str = FULL) -> Mapping[str, Mapping[str, float]]:
        """Precision and recall of each tag at its threshold, as far as they were measured."""
        figures: Mapping[str, Mapping[str, float]] = (
            self.manifest["thresholds"].get("measured", {}).get(combination, {})
        )
        return figures

    @property
    def seed(self) -> int:
        """What decided the split of the corpus that the networks learnt from."""
        return int(self.manifest.get("training", {}).get("seed", 0))

    @property
    def has_twins(self) -> bool:
        """Whether every member can be computed in 8-bit integers, too."""
        return all(twin_of(member) in self.manifest["files"] for member in MEMBERS)

    def member_file(self, member: str, precision: str) -> str:
        """The name under which `read` knows a member's network in "fp32" or "int8"."""
        return twin_of(member) if precision == "int8" else member

    def fingerprint(self, combination: str = FULL, precision: str = "fp32") -> str:
        """Identifies the networks behind stored scores: changes with any file that takes part."""
        members = [self.member_file(member, precision) for member in COMBINATIONS[combination]]
        names = [*members, combiner_of(combination)]
        hashes = [self.manifest["files"][name]["sha256"] for name in names]
        return hashlib.sha256(" ".join([*hashes, json.dumps(FEATURES)]).encode()).hexdigest()[:16]

    def read(self, name: str) -> bytes:
        """One exported network, verified.

        Raises
        ------
        WeightsError
            The file is missing or is not the one that the manifest describes.
        """
        entry = self.manifest["files"][name]
        path: Path = self.folder / entry["name"]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise WeightsError(f"{path} cannot be read ({error.strerror})") from error
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise WeightsError(f"{path} is damaged: its SHA-256 is not the one in {MANIFEST}")
        return content


def load_bundle(weights: Path | None = None) -> Bundle:
    """Find a bundle and check its manifest; the networks are read later.

    Parameters
    ----------
    weights
        A bundle's folder. None: the environment variable MTAG_WEIGHTS, the installed package, the checkout.

    Raises
    ------
    WeightsError
        There is none, or it has another format or was made for other features.
    """
    folder = next((f for f in _candidates(weights) if (f / MANIFEST).is_file()), None)
    if folder is None:
        raise WeightsError(f"no weights bundle ({MANIFEST}) in {next(_candidates(weights))}")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder / MANIFEST} cannot be read ({error})") from error
    _check(folder, manifest)
    return Bundle(folder, manifest)


def _candidates(weights: Path | None) -> Iterator[Path]:
    named = weights or os.environ.get("MTAG_WEIGHTS")
    if named:
        yield Path(named)
        return
    package = Path(__file__).parent
    yield package / "weights" / "mtat50"
    yield package.parent / "weights" / "mtat50"


def _check(folder: Path, manifest: object) -> None:
    if not isinstance(manifest, dict) or manifest.get("format") != BUNDLE_FORMAT:
        raise WeightsError(f"{folder} is not a weights bundle of format {BUNDLE_FORMAT}")
    wrong = [name for name, value in FEATURES.items() if manifest.get("features", {}).get(name) != value]
    if wrong:
        raise WeightsError(f"{folder} was made for other features: {', '.join(wrong)} differ")
    if len(manifest.get("tags", ())) != N_TAGS:
        raise WeightsError(f"{folder} does not name {N_TAGS} tags")
    needed = {*MEMBERS, *map(combiner_of, COMBINATIONS)}
    missing = needed - manifest.get("files", {}).keys()
    if missing or manifest.get("thresholds", {}).get("scores", {}).keys() != COMBINATIONS.keys():
        raise WeightsError(f"{folder / MANIFEST} is not complete: {', '.join(sorted(missing)) or 'thresholds'} missing")
