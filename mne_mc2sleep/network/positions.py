"""Sinusoidal position encoding, for frames of an epoch and epochs of a sequence."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoidal_positions(n_positions: int, width: int) -> Tensor:
    """Return the position code of Vaswani et al. (2017), equation of section 3.5.

    Parameters
    ----------
    n_positions : int
        Number of consecutive positions.
    width : int
        Size of the code, an even number.

    Returns
    -------
    positions : Tensor of shape (n_positions, width)
        Sines in the even columns, cosines in the odd ones.
    """
    position = torch.arange(n_positions)[:, None]
    rate = torch.exp(-math.log(10_000.0) * torch.arange(0, width, 2) / width)
    positions = torch.zeros(n_positions, width)
    positions[:, 0::2] = torch.sin(position * rate)
    positions[:, 1::2] = torch.cos(position * rate)
    return positions
