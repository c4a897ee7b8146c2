"""Atomic file writing and the choice of the device."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def replace_file(fname: Path, content: bytes) -> None:
    """Write a file that takes its name when it is complete.

    Whatever happens on the way, even the end of the process, the name stands for the
    file that was there before or for the new one. A link of that name is replaced, not
    followed.

    Parameters
    ----------
    fname : Path
        The file.
    content : bytes
        All that it shall hold.

    Raises
    ------
    OSError
        If there is no such folder, or it cannot be written to.
    """
    # Beside the file, because only within one file system a name is given in one step.
    with tempfile.TemporaryDirectory(dir=fname.parent, prefix=".saving_") as folder:
        part = Path(folder) / fname.name
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(fname)


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
    # Hypnograms are written without torch.
    import torch

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
