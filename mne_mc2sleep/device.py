"""Where to compute."""

from __future__ import annotations

import torch


def find_device(name: str | None) -> torch.device:
    """Return the device that torch computes on.

    Parameters
    ----------
    name : str | None
        Torch's name of it; None takes a GPU if there is one.

    Returns
    -------
    device : torch.device
        The device.

    Raises
    ------
    ValueError
        If torch cannot compute on it.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    # A build without CUDA raises an AssertionError.
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"Torch cannot compute on the device {name!r} here; use 'cpu', or leave "
            "the device out."
        ) from error
