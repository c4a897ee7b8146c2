"""The backbone of the raw signal: a CNN over one epoch."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import MC2SleepConfig


class ChannelGate(nn.Module):
    """Scale the channels by a gate (squeeze and excitation)."""

    def __init__(self, n_channels: int):
        super().__init__()
        n_squeezed = max(n_channels // 16, 1)  # as in SleePyCo
        self.gate = nn.Sequential(
            nn.Linear(n_channels, n_squeezed),
            nn.ReLU(),
            nn.Linear(n_squeezed, n_channels),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Scale ``features`` of shape (n_epochs, n_channels, n_times) by channel."""
        gate = self.gate(features.mean(dim=-1))[..., None]
        # In place to save memory, unless the gradient needs what was there.
        return features * gate if torch.is_grad_enabled() else features.mul_(gate)


class Activation(nn.PReLU):
    """A PReLU that is in place if no gradient is needed."""

    def forward(self, features: Tensor) -> Tensor:
        """Multiply negative ``features`` by the one weight."""
        if torch.is_grad_enabled():
            return super().forward(features)
        return functional.leaky_relu_(features, self.weight.item())


def _convolution(n_in: int, n_out: int, kernel: int, stride: int, gated: bool):
    return nn.Sequential(
        nn.Conv1d(n_in, n_out, kernel, stride=stride, padding=kernel // 2),
        nn.BatchNorm1d(n_out),
        ChannelGate(n_out) if gated else nn.Identity(),
        Activation(),
    )


class SignalBackbone(nn.Module):
    """Embed raw epochs by a CNN of the SleePyCo kind.

    Five blocks of convolutions with max-pooling between them; the last convolution of
    each block is gated. Seen in the authors' code; the embedding's LayerNorm, which
    fixes its scale so that the reconstruction target cannot shrink, and the strided
    stem of the small size are our choices.
    """

    scale: Tensor

    def __init__(self, config: MC2SleepConfig):
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        blocks: list[nn.Module] = []
        n_in, kernel, stride = 1, config.stem_kernel, config.stem_stride
        sizes = zip(config.signal_channels, config.signal_convolutions, strict=True)
        for n_out, n_convolutions in sizes:
            if blocks:
                blocks.append(nn.MaxPool1d(config.pool_size, ceil_mode=True))
            for index in range(n_convolutions):
                gated = index == n_convolutions - 1
                blocks.append(_convolution(n_in, n_out, kernel, stride, gated))
                n_in, kernel, stride = n_out, 3, 1
        self.blocks = nn.Sequential(*blocks)
        self.projection = nn.Linear(n_in, config.width)
        self.norm = nn.LayerNorm(config.width)

    def fit_scale(self, signals: Tensor) -> None:
        """Store the standard deviation in µV of training ``signals``."""
        self.scale.copy_(signals.std().clamp(min=1e-3))

    def forward(self, signals: Tensor) -> Tensor:
        """Embed ``signals`` (n_epochs, n_times) in µV as (n_epochs, width)."""
        features = self.blocks(signals[:, None, :] / self.scale)
        return self.norm(self.projection(features.mean(dim=-1)))
