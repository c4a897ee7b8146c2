"""A copy of a network for inference: fewer operations, the same result."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from .interface import SleepNetwork


def fuse(net: SleepNetwork) -> SleepNetwork:
    """Return a copy of a network in eval mode without BatchNorm.

    It encodes about 5 % faster; its outputs differ by rounding errors. Neither train
    nor save it.
    """
    fused = deepcopy(net)
    for module in fused.modules():
        if isinstance(module, nn.Sequential):
            for index, (layer, norm) in enumerate(pairwise(module)):
                if isinstance(layer, nn.Conv1d) and isinstance(norm, nn.BatchNorm1d):
                    module[index] = fuse_conv_bn_eval(layer, norm)
                    module[index + 1] = nn.Identity()
    return fused
