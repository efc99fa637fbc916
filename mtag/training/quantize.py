"""Twins of a bundle's members for CPUs: narrower, and in 8-bit integers in place of float32."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtag.audio.decode import read_blocks
from mtag.audio.windows import slice_windows
from mtag.bundle import MEMBERS
from mtag.corpus import Corpus, Indices
from mtag.features import log_mel
from mtag.metrics import correlation
from mtag.training.calibrate import calibrate
from mtag.training.chain import Chain, read_chain
from mtag.training.integer import integer_model
from mtag.training.manifest import add_twins, twin_file
from mtag.training.reduce import reduce_chain

Float32 = NDArray[np.float32]

N_WINDOWS = 64  # training windows that a bundle is quantized by
CHECKED = 1 / 4  # of the windows: not fitted to, but used to see how well the twins agree
BUDGET = {"model1": 1e-4, "model2": 1e-3, "model3": 1e-3}  # see `mtag.training.reduce`


def quantize_bundle(folder: Path, waveforms: Float32, report: Callable[[str], None]) -> None:
    """Write the twins beside a bundle's float32 networks, and into its manifest.

    The same bundle and windows give the same twins.

    Parameters
    ----------
    folder
        A complete bundle; twins that it has already are replaced.
    waveforms
        (n, 465600) float32 in [-1, 1]: training windows, `N_WINDOWS` of them or more, at least three.
    report
        Told how it goes, in sentences.

    Raises
    ------
    WeightsError
        A member's graph holds something that cannot be quantized.
    """
    measured = {member: _quantize_member(folder, member, waveforms, report) for member in MEMBERS}
    n_checked = _n_checked(len(waveforms))
    add_twins(
        folder,
        {
            "windows": {"fitted": len(waveforms) - n_checked, "checked": n_checked},
            "members": measured,
        },
    )


def training_windows(corpus: Corpus, rows: Indices) -> Float32:
    """Decode `N_WINDOWS` windows of a corpus: (n, 465600) float32, the same ones for the same rows."""
    chosen = np.random.default_rng(0).permutation(rows)[:N_WINDOWS]
    return np.stack([next(slice_windows(read_blocks(corpus.files[row]))) for row in chosen])


def _n_checked(n: int) -> int:
    return max(2, round(n * CHECKED))


def _quantize_member(folder: Path, member: str, waveforms: Float32, report: Callable[[str], None]) -> dict[str, Any]:
    """Write one twin; what is told of it in the manifest."""
    inputs = waveforms if member == "model3" else log_mel(waveforms)
    n_checked = _n_checked(len(inputs))
    fitted, checked = inputs[:-n_checked], inputs[-n_checked:]
    original = read_chain(member, folder / f"{member}.onnx")
    narrow = reduce_chain(original, fitted, BUDGET[member], report)
    content = integer_model(*calibrate(narrow, fitted))
    part = folder / f"{twin_file(member)}.part"
    part.write_bytes(content)
    os.replace(part, folder / twin_file(member))
    wanted = _run((folder / f"{member}.onnx").read_bytes(), checked)
    given = _run(content, checked)
    agreement = float(np.nanmean(correlation(wanted, given)))
    difference = float(np.sqrt(np.mean((wanted - given) ** 2)))
    report(f"{member}: {len(content) / 1e6:.1f} MB, correlation with float32 {agreement:.4f}")
    return {
        "channels": [layer.n_out for layer in _convolutions(narrow)],
        "correlation": agreement,
        "rms_difference": difference,
    }


def _convolutions(chain: Chain) -> list[Any]:
    return [chain.layers[i] for i in chain.convolutions]


def _run(network: bytes, inputs: Float32) -> Float32:
    """Scores of windows, one by one: (n, 50) float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: window[None]})[0] for window in inputs])
