"""The network as a CPU encodes fastest, with the same result."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from .mc2sleepnet import MC2SleepNet
    from .signal_backbone import ChannelGate, SignalBackbone


def fuse(net: MC2SleepNet) -> MC2SleepNet:
    """Return a copy to encode by; see ``benchmarks/encoders.py`` for what it saves.

    Parameters
    ----------
    net : MC2SleepNet
        In eval mode; it stays as it is.

    Returns
    -------
    net : MC2SleepNet
        Its embeddings differ by rounding. It cannot be trained or saved.
    """
    # A network of your own may have another backbone.
    if not hasattr(getattr(net, "signal_backbone", None), "blocks"):
        return net
    net = deepcopy(net)
    net.signal_backbone = _FusedSignalBackbone(net.signal_backbone)
    return net


class _FusedSignalBackbone(nn.Module):
    """Channels-last convolutions that hold the BatchNorm after them."""

    def __init__(self, backbone: SignalBackbone):
        super().__init__()
        self.register_buffer("scale", backbone.scale)
        layers = []
        for block in backbone.blocks:
            if isinstance(block, nn.MaxPool1d):
                layers.append(nn.MaxPool2d((1, block.kernel_size), ceil_mode=True))
                continue
            convolution, norm, gate, activation = block
            layers.append(_in_2d(fuse_conv_bn_eval(convolution, norm)))
            layers.append(gate if isinstance(gate, nn.Identity) else _Gate2d(gate))
            layers.append(activation)
        self.blocks = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.projection, self.norm = backbone.projection, backbone.norm

    def forward(self, signals: Tensor) -> Tensor:
        signals = signals[:, None, None] / self.scale
        signals = signals.contiguous(memory_format=torch.channels_last)
        features = self.blocks(signals)
        return self.norm(self.projection(features.mean(dim=(-2, -1))))


class _Gate2d(nn.Module):
    """A ChannelGate for features of shape (n_epochs, n_channels, 1, n_times)."""

    def __init__(self, gate: ChannelGate):
        super().__init__()
        self.gate = gate.gate

    def forward(self, features: Tensor) -> Tensor:
        return features * self.gate(features.mean(dim=(-2, -1)))[..., None, None]


def _in_2d(convolution: nn.Conv1d) -> nn.Conv2d:
    """Return the same convolution in 2-D: only those can be channels-last."""
    # Else it would draw weights, and with them from torch's global generator.
    flat = skip_init(
        nn.Conv2d,
        convolution.in_channels,
        convolution.out_channels,
        (1, convolution.kernel_size[0]),
        (1, convolution.stride[0]),
        (0, convolution.padding[0]),
    )
    flat.weight.data = convolution.weight.data[:, :, None]
    flat.bias.data = convolution.bias.data
    return flat
