"""A weights bundle on disk, and its networks ready to score windows.

ONNX Runtime is wrapped here and nowhere else.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
from mtag.errors import DeviceError, WeightsError

if TYPE_CHECKING:
    import onnxruntime

Float32 = NDArray[np.float32]

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
# The order in which devices are tried; a device stands first when it is both built in and working.
PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
# CoreML is in every onnxruntime for macOS, unlike the others, which somebody has chosen to install; and it computes in
# float16 where it likes. It must be asked for, as long as nobody has measured these networks on it.
AUTOMATIC = ("cuda", "directml", "cpu")
# By default cuDNN tries all algorithms on each new batch size, 0.1 to 0.2 s a network on an H200, and tracks differ in
# length; those that it takes untried do 1,000 windows in the same time.
PROVIDER_OPTIONS = {"cuda": {"cudnn_conv_algo_search": "HEURISTIC"}}
PRECISIONS = ("auto", "fp32", "int8")
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


def choose_precision(bundle: Bundle, precision: str = "auto", device: str = "auto") -> str:
    """What `load_ensemble` computes in, "fp32" or "int8", without loading it.

    "auto" is int8 where a CPU will run a bundle that has twins: they take a fraction of the time there, and nowhere
    else.

    Raises
    ------
    WeightsError
        int8 was asked for, and the bundle has no twins.
    DeviceError
        int8 was asked for on another device than a CPU, or there is no such precision or device.
    """
    if precision not in PRECISIONS:
        raise DeviceError(f"no precision is called {precision}: choose one of {', '.join(PRECISIONS)}")
    if precision == "int8" and device not in ("auto", "cpu"):
        raise DeviceError(f"int8 networks run on a CPU alone, not on {device}")
    if precision == "int8" and not bundle.has_twins:
        raise WeightsError(f"{bundle.folder} holds no int8 networks: choose --precision fp32")
    if precision != "auto":
        return precision
    return "int8" if bundle.has_twins and _wanted_devices(device)[0] == "cpu" else "fp32"


def built_in_devices() -> list[str]:
    """What the installed ONNX Runtime has been built for, whether it is there or not."""
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    return [name for name, provider in PROVIDERS.items() if provider in providers]


def _wanted_devices(device: str) -> list[str]:
    """The devices to try, best first, that this ONNX Runtime has been built for and that are there."""
    if device == "cpu":
        return ["cpu"]
    if device not in ("auto", *PROVIDERS):
        raise DeviceError(f"no device is called {device}: choose auto or one of {', '.join(PROVIDERS)}")
    built_in = built_in_devices()
    wanted = [name for name in (AUTOMATIC if device == "auto" else (device,)) if name in built_in]
    if not wanted:
        raise DeviceError(f"{device} is not available: this onnxruntime is built for {', '.join(built_in)}")
    if "cuda" in wanted and not _has_nvidia_gpu():
        wanted.remove("cuda")
    if not wanted:
        raise DeviceError(f"{device} is not available: NVIDIA's driver is missing or finds no GPU")
    return wanted


@cache
def _has_nvidia_gpu() -> bool:
    """Whether NVIDIA's driver is there and finds a GPU.

    Without one ONNX Runtime would turn to the CPU by itself, but only when it is too late to choose int8 networks.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    found = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return found and count.value > 0


class Ensemble:
    """Networks loaded on one device. Scoring is thread-safe.

    Attributes
    ----------
    bundle
        Where the networks came from.
    combination
        The combination that `scores` computes, "1+2+3" or "1+2".
    device
        What really runs them: "cuda", "coreml", "directml" or "cpu".
    precision
        What the members compute in: "fp32" or "int8". Combiners always compute in float32.
    batch_size
        How many windows to score at once: one on a CPU, where more only costs memory.
    """

    def __init__(
        self, bundle: Bundle, combinations: tuple[str, ...], device: str, precision: str, threads: int
    ) -> None:
        members = {member for combination in combinations for member in COMBINATIONS[combination]}
        self.bundle = bundle
        self.combination = combinations[0]
        self.precision = choose_precision(bundle, precision, device)
        files = {name: bundle.member_file(name, self.precision) for name in MEMBERS if name in members}
        files |= {combiner_of(c): combiner_of(c) for c in combinations}
        wanted = ["cpu"] if self.precision == "int8" else _wanted_devices(device)
        self._sessions, self.device = _open_sessions(bundle, files, wanted, threads)
        # ONNX Runtime falls back to the CPU without an error where a device's libraries are missing.
        if device not in ("auto", self.device):
            raise DeviceError(
                f"{device} is not available: its libraries are missing, so it would run on the {self.device}"
            )
        self.batch_size = 1 if self.device == "cpu" else 32

    @property
    def tags(self) -> tuple[str, ...]:
        """The 50 tags, in the order of every score array."""
        return self.bundle.tags

    def scores(self, log_mels: Float32, windows: Float32) -> Float32:
        """Taggram of windows by the whole ensemble.

        Parameters
        ----------
        log_mels
            (n, 128, 592) float32, dB.
        windows
            (n, 465600) float32 in [-1, 1], 16 kHz mono; the same windows.

        Returns
        -------
        (n, 50) float32 in [0, 1].
        """
        members = COMBINATIONS[self.combination]
        return self.combine(self.combination, {m: self.member_scores(m, log_mels, windows) for m in members})

    def member_scores(self, member: str, log_mels: Float32, windows: Float32) -> Float32:
        """Taggram of windows by one member alone; shapes as in `scores`."""
        return self._run(member, windows if member == "model3" else log_mels)

    def combine(self, combination: str, scores: Mapping[str, Float32]) -> Float32:
        """A combination's taggram from its members' taggrams, (n, 50) float32 each."""
        return self._run(combiner_of(combination), np.concatenate([scores[m] for m in COMBINATIONS[combination]], 1))

    def _run(self, name: str, inputs: Float32) -> Float32:
        session = self._sessions[name]
        outputs: Float32 = session.run(None, {session.get_inputs()[0].name: inputs})[0]
        return outputs


def load_ensemble(
    bundle: Bundle | None = None,
    *,
    fast: bool = False,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 1,
    combinations: tuple[str, ...] | None = None,
) -> Ensemble:
    """Load a bundle's networks.

    Parameters
    ----------
    bundle
        Default: the one that `load_bundle` finds.
    fast
        Models 1 and 2 only: a third of the work on a CPU.
    device
        "auto" (CUDA, DirectML, CPU: the first that works), or one of them or "coreml" by name.
    precision
        "fp32", "int8", or "auto": int8 on a CPU where the bundle has it.
    threads
        CPU threads for one call; leave it at one where several threads call.
    combinations
        Several combinations for evaluation; `scores` then computes the first.

    Raises
    ------
    WeightsError
        The bundle is missing, damaged or made for other features, or has no int8 networks.
    DeviceError
        The named device does not work here, or not in that precision.
    """
    combinations = combinations or (FAST if fast else FULL,)
    return Ensemble(bundle or load_bundle(), combinations, device, precision, threads)


def _open_sessions(
    bundle: Bundle, files: Mapping[str, str], wanted: list[str], threads: int
) -> tuple[dict[str, onnxruntime.InferenceSession], str]:
    """Session of each network by its name in `files`, and the device that runs them all."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    onnxruntime.disable_telemetry_events()  # as in `mtag/__init__.py`; Windows builds may know of this way alone
    _share_arena()
    if "cuda" in wanted:
        _load_cuda_libraries()
    providers = [(PROVIDERS[device], PROVIDER_OPTIONS.get(device, {})) for device in wanted]
    sessions = {name: _open_session(bundle, file, providers, threads) for name, file in files.items()}
    active = {session.get_providers()[0] for session in sessions.values()}
    return sessions, next(name for name in reversed(PROVIDERS) if PROVIDERS[name] in active)


def _load_cuda_libraries() -> None:
    """Find the CUDA and cuDNN that pip has installed; without this only those of the system are looked for."""
    import onnxruntime

    preload = getattr(onnxruntime, "preload_dlls", None)  # since 1.21
    if preload:
        with redirect_stdout(StringIO()):  # it prints what it does not find
            preload()


@cache
def _share_arena() -> None:
    """Let all networks use the same memory in turn: 290 MB in place of 510 at the same speed (one thread, full)."""
    import onnxruntime

    cpu = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    as_requested = {"max_mem": 0, "arena_extend_strategy": 1, "initial_chunk_size_bytes": -1}
    arena = onnxruntime.OrtArenaCfg(as_requested | {"max_dead_bytes_per_chunk": -1})
    onnxruntime.create_and_register_allocator(cpu, arena)


def _open_session(
    bundle: Bundle, name: str, providers: list[tuple[str, dict[str, str]]], threads: int
) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return onnxruntime.InferenceSession(bundle.read(name), options, providers=providers)
    except WeightsError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions share no public root
        raise WeightsError(f"{bundle.folder}: {name} cannot be loaded ({error})") from error
