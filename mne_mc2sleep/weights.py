"""Weights in files: safetensors with metadata, loaded strictly, never pickles."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

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
    fname = Path(fname)
    if fname.suffix != ".safetensors":
        raise ValueError(f"Weights are saved as '*.safetensors', not {fname.name!r}.")
    if fname.exists() and not overwrite:
        raise FileExistsError(
            f"{fname} exists. Pass overwrite=True to replace it, or another name."
        )
    if not fname.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(fname.parent)!r} for the weights. Make it first."
        )
    state = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in net.state_dict().items()
    }
    header = {
        "format": _FORMAT,
        "config": json.dumps(asdict(net.config)),
        "metadata": json.dumps(metadata),
    }
    # Not safetensors' save_file: what it writes, the owner alone may read.
    _replace_file(fname, save(state, header))


def _replace_file(fname: Path, content: bytes) -> None:
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
    try:
        metadata = json.loads(header["metadata"])
        net = MC2SleepNet(_read_config(header["config"]))
    # What a wrong configuration breaks in torch cannot be foreseen.
    except Exception as error:
        raise ValueError(
            f"{fname} is damaged: its description makes no network ({error!r:.200}). "
            "Get or save it anew."
        ) from error
    differing = _find_differing(net.state_dict(), state)
    if differing:
        raise ValueError(
            f"The weights in {fname} do not fit their configuration: {len(differing)} "
            "tensors are missing, unknown, or of another shape or type, "
            f"{differing[0]!r} among them. Get or save the file anew."
        )
    net.load_state_dict(state)
    return net.eval(), metadata


def _read_config(text: str) -> MC2SleepConfig:
    config = json.loads(text)
    # A default in the place of a lost size could fit the tensors and stage otherwise.
    if config.keys() != MC2SleepConfig.__dataclass_fields__.keys():
        raise ValueError(f"not the sizes of an MC2SleepNet: {sorted(config)}")
    return MC2SleepConfig(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    )


def _find_differing(expected: dict[str, Tensor], found: dict[str, Tensor]) -> list[str]:
    """Return the names of tensors that are not of one shape and type in both."""
    kinds = [
        {name: (tensor.shape, tensor.dtype) for name, tensor in state.items()}
        for state in (expected, found)
    ]
    names = sorted(expected.keys() | found.keys())
    return [name for name in names if kinds[0].get(name) != kinds[1].get(name)]
