"""Published taggers whose knowledge the bundle distils: Musicnn and FCN, rebuilt around their stored arrays.

Both were trained and published by Won, Ferraro, Bogdanov and Serra, "Evaluation of CNN-based Automatic Music Tagging
Models" (SMC 2020, MIT licence). An .npz file holds the arrays of one checkpoint under their original names; the
modules here carry the same names, so that an array belongs to the layer that it is called after.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import ClassVar
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import fuse_conv_bn_eval

from mtag.constants import N_TAGS, POWER_FLOOR
from mtag.errors import WeightsError

# The teachers' own front end; the students' is in `mtag.constants`.
N_FFT = 512  # samples in one Hann-windowed frame
HOP_LENGTH = 256  # samples between centred frames, at 16 kHz
N_MELS = 96

# What NumPy raises for a file that is missing, empty, foreign, cut short, damaged, or a single array.
_UNREADABLE = (OSError, EOFError, ValueError, BadZipFile, zlib.error, AttributeError, TypeError)

_NEGLIGIBLE = 1e-15  # a weight that cannot move a score by 1e-9

_RENAMED = {"spec.spectrogram.window": "spec.window", "spec.mel_scale.fb": "spec.filters"}


class Teacher(nn.Module):
    """A published tagger that listens to pieces of fixed length.

    Call it on (n, piece_samples) float32, 16 kHz mono in [-1, 1], for (n, 50) scores in [0, 1]; the order of the
    tags is that of the data set it was trained on.
    """

    piece_samples: ClassVar[int]  # samples that one pass takes

    def __init__(self) -> None:
        super().__init__()
        self.spec = _LogMel()
        self.spec_bn = nn.BatchNorm2d(1)

    def spectrogram(self, pieces: Tensor) -> Tensor:
        """Normalised log-mel images: (n, samples) to (n, 1, 96, 1 + samples // 256)."""
        image: Tensor = self.spec_bn(self.spec(pieces).unsqueeze(1))
        return image

    @torch.no_grad()
    def scores(self, windows: Tensor) -> Tensor:
        """Mean score over each window's consecutive pieces; a rest shorter than a piece is not heard.

        Parameters
        ----------
        windows
            (n, samples) float32, 16 kHz mono in [-1, 1], on any device; 465,600 samples give nine pieces to
            Musicnn and one to FCN.

        Returns
        -------
        (n, 50) float32 in [0, 1], on the teacher's device.
        """
        pieces = windows.to(self.spec.window.device).unfold(1, self.piece_samples, self.piece_samples)
        scores: Tensor = self(pieces.flatten(0, 1)).unflatten(0, pieces.shape[:2])
        return scores.mean(1)


class Musicnn(Teacher):
    """Wide filters that look for timbre (vertical) and tempo (horizontal), after Pons et al. 2018; pieces of 3 s."""

    piece_samples: ClassVar[int] = 48_000

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [_Vertical(204, 67), _Vertical(204, 38), _Horizontal(51, 129), _Horizontal(51, 65), _Horizontal(51, 33)]
        )
        n_front = 2 * 204 + 3 * 51
        self.layer1 = _Conv1d(n_front, 64, 7)
        self.layer2 = _Conv1d(64, 64, 7)
        self.layer3 = _Conv1d(64, 64, 7)
        self.dense1 = nn.Linear(2 * (n_front + 3 * 64), 200)
        self.bn = nn.BatchNorm1d(200)
        self.dense2 = nn.Linear(200, N_TAGS)

    def forward(self, pieces: Tensor) -> Tensor:
        """Score pieces: (n, 48000) float32 to (n, 50) in [0, 1]."""
        image = self.spectrogram(pieces)
        front = torch.cat([layer(image) for layer in self.layers], dim=1)
        first = self.layer1(front)
        second = self.layer2(first) + first
        third = self.layer3(second) + second
        features = torch.cat([front, first, second, third], dim=1)
        pooled = torch.cat([features.amax(dim=2), features.mean(dim=2)], dim=1)
        return torch.sigmoid(self.dense2(torch.relu(self.bn(self.dense1(pooled)))))


class FCN(Teacher):
    """Five blocks of 3 x 3 convolutions down to one vector, after Choi et al. 2016; one piece of 29 s."""

    piece_samples: ClassVar[int] = 464_000

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = _Conv2d(1, 64, (2, 4))
        self.layer2 = _Conv2d(64, 128, (2, 4))
        self.layer3 = _Conv2d(128, 128, (2, 4))
        self.layer4 = _Conv2d(128, 128, (3, 5))
        self.layer5 = _Conv2d(128, 64, (4, 4))
        self.dense = nn.Linear(64, N_TAGS)

    def forward(self, pieces: Tensor) -> Tensor:
        """Score pieces: (n, 464000) float32 to (n, 50) in [0, 1]."""
        image = self.spectrogram(pieces)
        for block in (self.layer1, self.layer2, self.layer3, self.layer4, self.layer5):
            image = block(image)
        return torch.sigmoid(self.dense(image.flatten(1)))


class _LogMel(nn.Module):
    """(n, samples) to (n, 96, frames) dB, with the window and the mel filters that came with the checkpoint."""

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.empty(N_FFT))
        self.register_buffer("filters", torch.empty(1 + N_FFT // 2, N_MELS))

    def forward(self, pieces: Tensor) -> Tensor:
        spectrum = torch.stft(
            pieces, N_FFT, HOP_LENGTH, window=self.window, center=True, pad_mode="reflect", return_complex=True
        )
        mel = self.filters.T @ (spectrum.real.square() + spectrum.imag.square())
        return 10 * mel.clamp(min=POWER_FLOOR).log10()


class _Vertical(nn.Module):
    """Filters `height` mel bands tall; the strongest answer over all transpositions counts: (n, channels, frames)."""

    def __init__(self, n_out: int, height: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, n_out, (height, 7), padding=(0, 3))
        self.bn: nn.Module = nn.BatchNorm2d(n_out)

    def forward(self, image: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(image)).amax(dim=2))


class _Conv1d(nn.Module):
    """Convolution in time, "same" padding, norm and ReLU."""

    def __init__(self, n_in: int, n_out: int, length: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, length, padding="same")
        self.bn: nn.Module = nn.BatchNorm1d(n_out)

    def forward(self, sequence: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(sequence)))


class _Horizontal(_Conv1d):
    """Filters `length` frames long over the mean of all mel bands: (n, channels, frames)."""

    def __init__(self, n_out: int, length: int) -> None:
        super().__init__(1, n_out, length)

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image.mean(dim=2))


class _Conv2d(nn.Module):
    """Convolution 3 x 3, "same" padding, norm, ReLU and max pool."""

    def __init__(self, n_in: int, n_out: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 3, padding="same")
        self.bn: nn.Module = nn.BatchNorm2d(n_out)
        self.pool = nn.MaxPool2d(pool)

    def forward(self, image: Tensor) -> Tensor:
        return torch.relu(self.pool(self.bn(self.conv(image))))


def load_teacher(path: Path) -> Teacher:
    """Rebuild a tagger from the arrays of its checkpoint.

    Parameters
    ----------
    path
        An .npz file with a checkpoint's arrays under their original names; the names tell Musicnn from FCN.

    Returns
    -------
    The teacher on the CPU, in eval mode, its parameters frozen and its norms fused into the convolutions.

    Raises
    ------
    WeightsError
        The file is missing or damaged, or holds the arrays of another network.
    """
    try:
        with np.load(path) as stored:
            arrays = {_RENAMED.get(name, name): torch.from_numpy(stored[name]) for name in stored.files}
    except _UNREADABLE as error:
        raise WeightsError(f"{path}: cannot be read as a teacher's arrays ({error})") from error
    teacher = Musicnn() if "layers.0.conv.weight" in arrays else FCN()
    try:
        teacher.load_state_dict(arrays)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise WeightsError(f"{path}: does not hold the arrays of a {type(teacher).__name__} ({reason})") from error
    teacher.eval().requires_grad_(False)
    _fuse(teacher)
    _silence_dead_weights(teacher)
    return teacher


def _fuse(teacher: Teacher) -> None:
    """Fold each norm into the convolution before it: the same scores for a sixth less work."""
    for layer in teacher.modules():
        if isinstance(layer, (_Vertical, _Conv1d, _Conv2d)) and isinstance(layer.bn, _BatchNorm):
            layer.conv = fuse_conv_bn_eval(layer.conv, layer.bn)
            layer.bn = nn.Identity()
        if isinstance(layer, _Conv2d):  # the layout that a CPU convolves many channels in twice as fast
            weight = layer.conv.weight
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)


def _silence_dead_weights(teacher: Teacher) -> None:
    """Round to zero what weight decay left next to it.

    Their products are subnormal numbers, which make a CPU 50 times slower: 98,424 in Jamendo's Musicnn.
    """
    for parameter in teacher.parameters():
        parameter[parameter.abs() < _NEGLIGIBLE] = 0
