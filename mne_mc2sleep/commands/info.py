"""``mne-mc2sleep weights`` and ``sys-info``: describe weights and the installation."""

import platform
import sys
from argparse import Namespace
from importlib.metadata import version
from typing import IO

import torch

from .. import __version__
from .._utils import data_folder, find_device
from ..weights.file_format import format_card, load_weights
from ..weights.registry import KNOWN_WEIGHTS, find_weights

_PACKAGES = ("mne", "yasa", "torch", "numpy", "scipy", "pandas", "scikit-learn")


def run_list(_args: Namespace) -> int:
    """Print a table of the named weights."""
    print("name\tsize\twhere\tdescription")
    for name, known in KNOWN_WEIGHTS.items():
        size, place = f"{known.n_bytes / 1e6:.1f} MB", known.url or "in the package"
        print(f"{name}\t{size}\t{place}\t{known.description}")
    return 0


def run_card(args: Namespace) -> int:
    """Print the settings of weights and the steps of their training."""
    fname = find_weights(args.weights, args.sha256)
    print(f"Path: {fname}")
    print(format_card(load_weights(fname)[1], fname))
    return 0


def run_sys_info(_args: Namespace) -> int:
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
    device = find_device(None)
    gpu = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
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
