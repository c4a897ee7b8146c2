"""Report versions, device and weights, for bug reports."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version
from typing import IO, TYPE_CHECKING

from ._common import PROGRAM, add_command

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction

_PACKAGES = ("mne", "yasa", "torch", "numpy", "scipy", "pandas", "scikit-learn")


def add_parser(subparsers: _SubParsersAction) -> None:
    """Add the sub-command."""
    example, text = f"  {PROGRAM} sys-info", "print versions, for bug reports"
    add_command(subparsers, "sys-info", run, example, help=text)


def run(_args: Namespace) -> int:
    """Print versions, device and weights."""
    sys_info()
    return 0


def sys_info(file: IO[str] | None = None) -> None:
    """Print versions, device and weights.

    Parameters
    ----------
    file : file-like | None
        Where to print. None is the standard output.
    """
    import torch

    from .. import __version__
    from .._utils import data_folder, find_device
    from ..weights.registry import KNOWN_WEIGHTS

    device = find_device(None)
    is_gpu = device.type == "cuda"
    gpu = f" ({torch.cuda.get_device_name(device)})" if is_gpu else ""
    facts = {
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "mne-mc2sleep": __version__,
        **{name: version(name) for name in _PACKAGES},
        "device": f"{device}{gpu}, {torch.get_num_threads()} threads",
    }
    for name, known in KNOWN_WEIGHTS.items():
        facts[f"weights {name!r}"] = f"sha256 {known.sha256[:16]}"
    facts["downloaded weights"] = str(data_folder(None, "mne_mc2sleep"))
    for name, fact in facts.items():
        print(f"{name + ':':<20}{fact}", file=file)
