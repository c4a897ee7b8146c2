"""Sinusoidal position encoding, for frames of an epoch and epochs of a sequence."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoidal_positions(n_positions: int, width: int) -> Tensor:
    """Return the position code of Vaswani et al. (2017), section 3.5.

    Of shape (n_positions, width): sines in even columns, cosines in odd ones.
    """
    # Never on "meta", where torch would import its compiler.
    position, column = (
        torch.arange(0, stop, step, device="cpu")
        for stop, step in ((n_positions, 1), (width, 2))
    )
    angle = position[:, None] * torch.exp(-math.log(10_000.0) * column / width)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
