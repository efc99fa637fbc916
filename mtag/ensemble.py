"""A bundle's networks, ready to score windows on the best device that there is.

ONNX Runtime is wrapped here and nowhere else.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mtag.bundle import COMBINATIONS, FAST, FULL, MEMBERS, Bundle, combiner_of, load_bundle
from mtag.errors import DeviceError, WeightsError

if TYPE_CHECKING:
    import onnxruntime

Float32 = NDArray[np.float32]

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

    def __init__(self, bundle: Bundle, combinations: tuple[str, ...], device: str, precision: str) -> None:
        members = {member for combination in combinations for member in COMBINATIONS[combination]}
        self.bundle = bundle
        self.combination = combinations[0]
        self.precision = choose_precision(bundle, precision, device)
        files = {name: bundle.member_file(name, self.precision) for name in MEMBERS if name in members}
        files |= {combiner_of(c): combiner_of(c) for c in combinations}
        wanted = ["cpu"] if self.precision == "int8" else _wanted_devices(device)
        self._sessions, self.device = _open_sessions(bundle, files, wanted)
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
    combinations: tuple[str, ...] | None = None,
) -> Ensemble:
    """Load a bundle's networks.

    Parameters
    ----------
    bundle
        Default: the one that `load_bundle` finds.
    fast
        Models 1 and 2 only: about a third of the networks' work in int8 on a CPU.
    device
        "auto" (CUDA, DirectML, CPU: the first that works), or one of them or "coreml" by name.
    precision
        "fp32", "int8", or "auto": int8 on a CPU where the bundle has it.
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
    return Ensemble(bundle or load_bundle(), combinations, device, precision)


def _open_sessions(
    bundle: Bundle, files: Mapping[str, str], wanted: list[str]
) -> tuple[dict[str, onnxruntime.InferenceSession], str]:
    """Session of each network by its name in `files`, and the device that runs them all."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    onnxruntime.disable_telemetry_events()  # as in `mtag/__init__.py`; Windows builds may know of this way alone
    _share_arena()
    if "cuda" in wanted:
        _load_cuda_libraries()
    providers = [(PROVIDERS[device], PROVIDER_OPTIONS.get(device, {})) for device in wanted]
    sessions = {name: _open_session(bundle, file, providers) for name, file in files.items()}
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
    bundle: Bundle, name: str, providers: list[tuple[str, dict[str, str]]]
) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # tracks are scored side by side, so one thread is a track's share
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return onnxruntime.InferenceSession(bundle.read(name), options, providers=providers)
    except WeightsError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions share no public root
        raise WeightsError(f"{bundle.folder}: {name} cannot be loaded ({error})") from error
