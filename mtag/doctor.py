"""Whether mtag works on this machine, and with what: every part is tried, none is asked."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtag.audio.decode import versions
from mtag.audio.decoders import Decoders
from mtag.audio.windows import WindowReader
from mtag.bundle import load_bundle
from mtag.catalog import Catalog, default_path, is_begun
from mtag.constants import HOP_LENGTH, N_FFT, N_MELS, POWER_FLOOR, SAMPLE_RATE, WINDOW_SAMPLES
from mtag.ensemble import Ensemble, built_in_devices, load_ensemble
from mtag.errors import MtagError
from mtag.features import log_mel
from mtag.predict import predict

Float32 = NDArray[np.float32]

# The greatest differences that are still well.
SCORES = {"fp32": 0.01, "int8": 0.1}  # from float32 on the CPU
SPECTROGRAMS = 1e-3  # dB, from librosa
SAMPLES = 0.01  # of a decoded track, from the sound that was encoded
TRACK_RATE = 44_100  # Hz, of that track
RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml")  # packages that hold the same module


@dataclass(frozen=True)
class Options:
    """What is to be tried."""

    weights: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    catalog: Path | None = None


@dataclass(frozen=True)
class Finding:
    """What came of trying one part."""

    part: str
    well: bool
    message: str


class _AmissError(MtagError):
    """A part works otherwise than it should."""


def examine(options: Options) -> Iterator[Finding]:
    """Try all parts one after another. Nothing is raised, and nothing changed but what opening a catalog does."""
    for part, check in PARTS.items():
        try:
            yield Finding(part, True, check(options))
        except MtagError as error:
            yield Finding(part, False, str(error))
        except Exception as error:  # a broken installation can fail in any way
            yield Finding(part, False, f"{type(error).__name__}: {error}")


def librosa_log_mel(window: Float32) -> Float32:
    """What `mtag.features.log_mel` has to give for one window: (465600,) float32 to (128, 592) float32, dB."""
    import librosa  # takes seconds

    power = librosa.feature.melspectrogram(y=window, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP_LENGTH, n_mels=N_MELS)
    decibels: Float32 = (10 * np.log10(np.maximum(power, POWER_FLOOR))).astype(np.float32)
    return decibels


def _weights(options: Options) -> str:
    bundle = load_bundle(options.weights)
    files = bundle.manifest["files"]
    for name in files:
        bundle.read(name)
    return f"{bundle.folder}: {len(files)} networks as they were made"


def _device(options: Options) -> str:
    ensemble = _ensemble(options)
    runtimes = {name: version for name in RUNTIMES if (version := _version(name))}
    installed = " and ".join(f"{name} {version}" for name, version in runtimes.items()) or "a private onnxruntime"
    if len(runtimes) > 1:
        raise _AmissError(f"{installed} overwrite each other's files; the networks run on the {ensemble.device}")
    return f"{ensemble.device} in {ensemble.precision}; {installed} is built for {', '.join(built_in_devices())}"


def _scores(options: Options) -> str:
    ensemble = _ensemble(options)
    reference = _ensemble(Options(options.weights, device="cpu", precision="fp32"))
    window = _sound(SAMPLE_RATE)[None, :WINDOW_SAMPLES]
    difference = float(np.abs(predict(window, ensemble) - predict(window, reference)).max())
    return _within(difference, SCORES[ensemble.precision], f"at most {difference:.2g} from float32 on the CPU")


def _spectrograms(options: Options) -> str:
    window = _sound(SAMPLE_RATE)[:WINDOW_SAMPLES]
    difference = float(np.abs(log_mel(window[None])[0] - librosa_log_mel(window)).max())
    return _within(difference, SPECTROGRAMS, f"at most {difference:.2g} dB from librosa {_version('librosa')}")


def _decoding(options: Options) -> str:
    import soundfile

    with tempfile.TemporaryDirectory() as folder, Decoders() as decoders:
        track = Path(folder) / "track.flac"
        soundfile.write(track, np.stack([_sound(TRACK_RATE)] * 2, axis=1), TRACK_RATE)
        began = time.monotonic()
        (window,) = WindowReader(track, decoders.read_blocks)
        seconds = time.monotonic() - began
    difference = float(np.abs(window - _sound(SAMPLE_RATE)[:WINDOW_SAMPLES])[SAMPLE_RATE:-SAMPLE_RATE].max())
    told = f"half a minute of FLAC in {seconds:.2f} s, at most {difference:.2g} from its sound"
    return _within(difference, SAMPLES, f"{told}; {versions()}")


def _catalog(options: Options) -> str:
    path = options.catalog or default_path()
    if not is_begun(path):
        return f"{path}: there is none yet"
    with Catalog.open(options.catalog) as catalog:
        if catalog.notice:
            raise _AmissError(catalog.notice)
        info = catalog.info()
    return f"{path}: whole; tracks {info.n_tracks:,}, runs {info.n_runs:,}, failures {info.n_failures:,}"


PARTS = {
    "weights": _weights,
    "device": _device,
    "scores": _scores,
    "spectrograms": _spectrograms,
    "decoding": _decoding,
    "catalog": _catalog,
}


def _within(difference: float, limit: float, told: str) -> str:
    if not difference <= limit:  # nor is what is no number
        raise _AmissError(f"{told}, where {limit:g} is the most that is right")
    return told


def _ensemble(options: Options) -> Ensemble:
    return load_ensemble(load_bundle(options.weights), device=options.device, precision=options.precision)


def _version(package: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None


def _sound(rate: int) -> Float32:
    """Half a minute of a chord that swells twice a second, (30 * rate,) float32: the same at each rate."""
    seconds = np.arange(30 * rate) / rate
    chord = sum(np.sin(2 * np.pi * 110 * k * seconds) / k for k in range(1, 31))
    return (0.2 * chord * (1.2 - np.cos(4 * np.pi * seconds))).astype(np.float32)
