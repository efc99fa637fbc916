"""The paper's three CNNs and their combiner, layer by layer (Tables 1 to 4).

All four return logits; the sigmoid belongs to the loss in training and to the exported graph afterwards.
Inputs are already normalised: see `mtag.training.export` for the constants that go into each graph.
"""

import torch
from torch import Tensor, nn

from mtag.constants import N_MELS, N_TAGS

# Added to a norm's variance. A channel that hardly ever speaks in training would otherwise be amplified 300 times when
# it does: torch's own 1e-5 cost Model 1 its correlation on unseen tracks.
EPSILON = 1e-3


class Model1(nn.Module):
    """1-D convolutions over a log-mel spectrogram (Table 1).

    Input (n, 128, 592) float32, normalised dB; output (n, 50) logits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(N_MELS, 256, 4), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(256, 256, 4), nn.ReLU(), nn.BatchNorm1d(256, EPSILON), nn.MaxPool1d(2),
            nn.Conv1d(256, 384, 4), nn.ReLU(), nn.MaxPool1d(2), nn.BatchNorm1d(384, EPSILON),
            nn.Conv1d(384, N_TAGS, 71), nn.Flatten(),
        )  # fmt: skip

    def forward(self, log_mel: Tensor) -> Tensor:
        """Score normalised log-mel windows; the first convolution eats all mel bands at once."""
        logits: Tensor = self.layers(log_mel)
        return logits


class Model2(nn.Module):
    """2-D convolutions factored in space, on the same spectrogram (Table 2).

    Input (n, 128, 592) float32, normalised dB; output (n, 50) logits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_factored(1, 128, "same", pool=4),
            *_factored(128, 256, "same", pool=4),
            *_factored(256, 256, "same", pool=2),
            *_factored(256, 512, "valid", pool=2),
            nn.Conv2d(512, N_TAGS, (1, 8)), nn.Flatten(),
        )  # fmt: skip

    def forward(self, log_mel: Tensor) -> Tensor:
        """Score normalised log-mel windows as one-channel images."""
        logits: Tensor = self.layers(log_mel.unsqueeze(1))
        return logits


class Model3(nn.Module):
    """1-D convolutions on raw audio, ending in a global maximum (Table 3).

    Input (n, samples) float32, normalised waveform, 465,600 samples or any shorter crop; output (n, 50) logits.
    The convolutions are held as 2-D ones of height one: only those have a channels-last layout, in which a training
    step on a CPU is three times as fast. Pooling before the ReLU gives the same values and is cheaper still.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 64, (1, 5)), _pool(16), nn.ReLU(),
            *_double(64, 128), _pool(4), nn.BatchNorm2d(128, EPSILON), nn.Dropout(0.2),
            *_double(128, 128), _pool(4), nn.BatchNorm2d(128, EPSILON), nn.Dropout(0.2),
            *_double(128, 256), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
            nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, N_TAGS),
        )  # fmt: skip

    def forward(self, waveform: Tensor) -> Tensor:
        """Score normalised waveforms of any length from 1,000 samples."""
        logits: Tensor = self.layers(waveform[:, None, None, :])
        return logits


class Combiner(nn.Module):
    """Fully connected network on the members' probabilities (Table 4).

    Input (n, 50 * n_members) float32 in [0, 1], members side by side; output (n, 50) logits.
    """

    def __init__(self, n_members: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(N_TAGS * n_members, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, N_TAGS)
        )

    def forward(self, scores: Tensor) -> Tensor:
        """Weigh the members' scores against each other."""
        logits: Tensor = self.layers(scores)
        return logits


def _factored(n_in: int, n_out: int, padding: str, pool: int) -> tuple[nn.Module, ...]:
    """A 3 x 3 convolution factored into a column and a row, as Table 2's shapes have it, and the pooling behind it.

    Pooling before the ReLU gives the same values and is cheaper.
    """
    column = nn.Conv2d(n_in, n_out, (3, 1), padding=padding)
    row = nn.Conv2d(n_out, n_out, (1, 3), padding=padding)
    return column, nn.ReLU(), row, nn.MaxPool2d(pool), nn.ReLU()


def _double(n_in: int, n_out: int) -> tuple[nn.Module, ...]:
    """Two convolutions of length 3."""
    return nn.Conv2d(n_in, n_out, (1, 3)), nn.ReLU(), nn.Conv2d(n_out, n_out, (1, 3)), nn.ReLU()


def _pool(length: int) -> nn.Module:
    return nn.MaxPool2d((1, length))


def initialise(network: nn.Module, output_bias: float) -> None:
    """Give a network He-initialised weights and a bias that starts every score near the labels' mean.

    Parameters
    ----------
    network
        One of the four networks; changed in place.
    output_bias
        Logit of the typical label, about -2.5 for MagnaTagATune's sparse tags.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear))]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    last = layers[-1]
    with torch.no_grad():
        last.weight.mul_(0.1)
        if last.bias is not None:
            last.bias.fill_(output_bias)


def tie_head(network: nn.Module) -> tuple[Tensor, int]:
    """Let a fully convolutional network's last layer weigh all moments alike, for as long as it learns.

    A window is cut anywhere, so its moments mean the same; a weight for each would learn the training tracks by heart.
    The layer keeps its shape: its weights begin as their mean over time, and get the mean gradient.

    Parameters
    ----------
    network
        Model 1 or 2; changed in place.

    Returns
    -------
    The tied weight, and the number of moments. Each of them moves the logit, so it wants so much smaller a rate.
    """
    *_, last = (layer for layer in network.modules() if isinstance(layer, (nn.Conv1d, nn.Conv2d)))
    weight = last.weight

    def tied(values: Tensor) -> Tensor:
        return values.mean(dim=-1, keepdim=True).expand_as(values)

    with torch.no_grad():
        weight.copy_(tied(weight))
    weight.register_hook(tied)  # type: ignore[no-untyped-call]
    return weight, weight.shape[-1]


def count_parameters(network: nn.Module) -> int:
    """Number of values a bundle stores: parameters and the norms' running means and variances."""
    buffers = [b for name, b in network.named_buffers() if not name.endswith("num_batches_tracked")]
    return sum(t.numel() for t in [*network.parameters(), *buffers])
