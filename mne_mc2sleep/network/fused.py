"""Fuse each BatchNorm with the convolution before it, for faster inference."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from .protocol import SleepNetwork


def fuse(net: SleepNetwork) -> SleepNetwork:
    """Return a copy without BatchNorm, which encodes about 5 % faster.

    Parameters
    ----------
    net : SleepNetwork
        A network in eval mode. It is not modified.

    Returns
    -------
    net : SleepNetwork
        Its outputs differ by rounding errors. It cannot be trained or saved.
    """
    net = deepcopy(net)
    for block in [m for m in net.modules() if isinstance(m, nn.Sequential)]:
        for index, (layer, norm) in enumerate(pairwise(block)):
            if isinstance(layer, nn.Conv1d) and isinstance(norm, nn.BatchNorm1d):
                block[index] = fuse_conv_bn_eval(layer, norm)
                block[index + 1] = nn.Identity()
    return net
