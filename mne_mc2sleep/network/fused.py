"""A copy of a network for inference: fewer operations, shared parameters."""

from __future__ import annotations

from copy import copy
from itertools import pairwise
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fuse(net: Any) -> Any:
    """Return a copy of a network in eval mode without BatchNorm.

    It encodes about 5 % faster; its outputs differ by rounding errors. It shares all
    other parameters with ``net``, which is not modified. Neither train nor save it.
    """
    fused = copy(net)
    fused._modules = {
        name: None if module is None else fuse(module)
        for name, module in net._modules.items()
    }
    if isinstance(fused, nn.Sequential):
        for index, (layer, norm) in enumerate(pairwise(fused)):
            if isinstance(layer, nn.Conv1d) and isinstance(norm, nn.BatchNorm1d):
                fused[index] = fuse_conv_bn_eval(layer, norm)
                fused[index + 1] = nn.Identity()
    return fused
