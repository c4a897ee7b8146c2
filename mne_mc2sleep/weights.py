"""Weights in files: safetensors with metadata, loaded strictly, never pickles."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .network import MC2SleepConfig, MC2SleepNet

if TYPE_CHECKING:
    from typing import Any

    from torch import Tensor

_FORMAT = "mne_mc2sleep/1"


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
    state = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in net.state_dict().items()
    }
    header = {
        "format": _FORMAT,
        "config": json.dumps(asdict(net.config)),
        "metadata": json.dumps(metadata),
    }
    header["sha256"] = _checksum(state, header)
    # Not safetensors' save_file: what it writes, the owner alone may read.
    replace_file(fname, save(state, header))


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


def replace_file(fname: Path, content: bytes) -> None:
    """Write a file that takes its name when it is complete."""
    # Beside the file, because only within one file system a name is given in one step.
    with tempfile.TemporaryDirectory(dir=fname.parent, prefix=".saving_") as folder:
        part = Path(folder) / fname.name
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(fname)


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
    try:
        with safe_open(fname, framework="pt") as file:
            header = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{fname} is damaged or no safetensors file ({error}). Get or save it anew."
        ) from error
    if header.get("format") != _FORMAT:
        raise ValueError(
            f"{fname} holds no weights that this version of mne_mc2sleep can read: its "
            f"format is {header.get('format')!r}, not {_FORMAT!r}."
        )
    if header.pop("sha256", None) != _checksum(state, header):
        raise ValueError(
            f"{fname} is damaged: its content does not match its checksum. Get or save "
            "it anew."
        )
    try:
        config = json.loads(header["config"])
        config = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        net = MC2SleepNet(MC2SleepConfig(**config))
        net.load_state_dict(state, strict=True)
        metadata = json.loads(header["metadata"])
    # What a wrong configuration breaks in torch cannot be foreseen.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"The weights in {fname} do not fit their configuration ({reason}). If "
            "another version of mne_mc2sleep wrote them, use it, or save them anew."
        ) from error
    return net.eval(), metadata
