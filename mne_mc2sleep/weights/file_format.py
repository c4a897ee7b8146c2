"""Weights in files: safetensors with metadata, loaded strictly, never pickles."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .._constants import N_TIMES
from .._utils import replace_file
from ..network import MC2SleepConfig, MC2SleepNet

if TYPE_CHECKING:
    from typing import Any

    from torch import Tensor

_FORMAT = "mne_mc2sleep/1"

MAX_SEQUENCE_LENGTH = 10_000
"""Epochs of a sequence, over three days: a network stores a code for each position."""


def save_weights(
    fname: str | Path,
    net: MC2SleepNet,
    metadata: dict[str, Any],
    overwrite: bool = False,
) -> None:
    """Write a network and what must be known of it into one file.

    The file takes its name when it is complete: if anything fails on the way, an older
    file of that name stays as it was.

    Parameters
    ----------
    fname : path-like
        The file, ``*.safetensors``.
    net : MC2SleepNet
        The network.
    metadata : dict
        Anything that JSON can hold.
    overwrite : bool
        Whether to replace a file of that name.

    Raises
    ------
    ValueError
        If the name does not end in ``.safetensors``.
    FileExistsError
        If the file exists and ``overwrite`` is False.
    FileNotFoundError
        If there is no such folder.
    """
    fname = check_fname(fname, ".safetensors", overwrite)
    header = {
        "format": _FORMAT,
        "config": json.dumps(asdict(net.config)),
        "metadata": json.dumps(metadata),
    }
    save_tensors(fname, net.state_dict(), header)


def save_tensors(
    fname: Path, tensors: dict[str, Tensor], header: dict[str, str]
) -> None:
    """Write tensors and a header into one file, sealed by a checksum."""
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()
    }
    header = header | {"sha256": _checksum(tensors, header)}
    # Not safetensors' save_file: what it writes, the owner alone may read.
    replace_file(fname, save(tensors, header))


def _checksum(state: dict[str, Tensor], header: dict[str, str]) -> str:
    # Safetensors has none: a damaged file could be sound and stage otherwise.
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def check_fname(fname: str | Path, suffix: str, overwrite: bool) -> Path:
    """Return the path of a file to be written; raise as `save_weights` does."""
    fname = Path(fname)
    if fname.suffix != suffix:
        raise ValueError(f"The file must be named '*{suffix}', not {fname.name!r}.")
    if fname.exists() and not overwrite:
        raise FileExistsError(
            f"{fname} exists. Pass overwrite=True to replace it, or another name."
        )
    if not fname.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(fname.parent)!r} for the file. Make it first."
        )
    return fname


def load_weights(fname: str | Path) -> tuple[MC2SleepNet, dict[str, Any]]:
    """Read what `save_weights` wrote.

    Parameters
    ----------
    fname : path-like
        The file.

    Returns
    -------
    net : MC2SleepNet
        The network in eval mode, on the CPU.
    metadata : dict
        What was saved with it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or holds no weights of this package, or weights that do
        not fit the configuration that they name.
    """
    fname = Path(fname)
    if not fname.is_file():
        raise FileNotFoundError(
            f"There is no file of weights {str(fname)!r}. Pass the path of a file that "
            "MC2SleepClassifier.save wrote."
        )
    state, header = load_tensors(fname, _FORMAT, "weights", "Get or save it anew.")
    try:
        config = json.loads(header["config"])
        config = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        config = MC2SleepConfig(**config)
        _check_sizes(config, state)
        net = MC2SleepNet(config).eval()
        net.load_state_dict(state, strict=True)
        _try_out(net)
        metadata = json.loads(header["metadata"])
        if not isinstance(metadata, dict):
            raise ValueError("the metadata are no table")
    # What a wrong configuration breaks in torch cannot be foreseen.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"The weights in {fname} do not fit their configuration ({reason}). If "
            "another version of mne_mc2sleep wrote them, use it, or save them anew."
        ) from error
    return net, metadata


def _check_sizes(config: MC2SleepConfig, state: dict[str, Tensor]) -> None:
    """Raise before a network is made that would be far greater than its tensors."""
    for name, value in asdict(config).items():
        if name != "dropout" and min(np.atleast_1d(value)) < 1:
            raise ValueError(f"{name} is {value}")
    width, channels = config.width, config.signal_channels
    n_layers = config.spectrogram_layers + 2 * config.sequence_layers
    n_expected = n_layers * width * (4 * width + 2 * config.feedforward)
    n_expected += config.stem_kernel * channels[0]
    n_expected += sum(a * b for a, b in pairwise(channels))
    n_found = sum(tensor.numel() for tensor in state.values())
    n_modules = n_layers + sum(config.signal_convolutions)
    if n_expected > n_found or n_modules > len(state):
        raise ValueError(f"{n_found} numbers in {len(state)} tensors are too few")
    if config.sequence_length > MAX_SEQUENCE_LENGTH:
        raise ValueError(f"sequence_length is over {MAX_SEQUENCE_LENGTH}")
    if max(config.pool_size, config.stem_stride) > N_TIMES:
        raise ValueError("pool_size or stem_stride is more than an epoch")


@torch.inference_mode()
def _try_out(net: MC2SleepNet) -> None:
    """Raise if a network cannot stage, whatever the reason."""
    for posteriors in net(torch.zeros(1, 1, N_TIMES)):
        if not posteriors.isfinite().all():
            raise ValueError("posteriors are not finite")


def load_tensors(
    fname: Path, file_format: str, kind: str, remedy: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the header that `save_tensors` wrote.

    Parameters
    ----------
    fname : Path
        The file.
    file_format : str
        What its header must give as the ``"format"``.
    kind, remedy : str
        For the errors: what the file should hold, and what to do if it is damaged.

    Returns
    -------
    tensors, header : dict
        On the CPU; without the checksum.

    Raises
    ------
    ValueError
        If the file is damaged or of another format.
    """
    try:
        with safe_open(fname, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{fname} is damaged or no safetensors file ({error}). {remedy}"
        ) from error
    if header.get("format") != file_format:
        raise ValueError(
            f"{fname} holds no {kind} that this version of mne_mc2sleep can read: its "
            f"format is {header.get('format')!r}, not {file_format!r}."
        )
    if header.pop("sha256", None) != _checksum(tensors, header):
        raise ValueError(
            f"{fname} is damaged: its content does not match its checksum. {remedy}"
        )
    return tensors, header
