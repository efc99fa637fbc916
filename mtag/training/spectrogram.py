"""Log-mel spectrograms in PyTorch, computed where the waveforms lie."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtag.constants import HOP_LENGTH, N_FFT, POWER_FLOOR
from mtag.features import mel_filters


class LogMel(nn.Module):
    """Waveforms (n, 465600) float32 in [-1, 1] to (n, 128, 592) float32, dB: what `mtag.features.log_mel` gives.

    The transform is in double precision, as there.
    """

    hann: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("hann", torch.hann_window(N_FFT, dtype=torch.float64))
        self.register_buffer("filters", torch.from_numpy(mel_filters()))

    def forward(self, waveforms: Tensor) -> Tensor:
        """Spectrograms of whole windows."""
        spectrum = torch.stft(
            waveforms.double(), N_FFT, HOP_LENGTH, window=self.hann, pad_mode="constant", return_complex=True
        )
        mels = self.filters @ torch.view_as_real(spectrum).square().sum(-1).float()
        return 10 * mels.clamp(min=POWER_FLOOR).log10()
