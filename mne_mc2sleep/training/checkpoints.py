"""Checkpoints: where a training stands, in one file that one training writes."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.torch import save

from ..weights.file_format import load_tensors, save_tensors

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has none, and gets no lock
    fcntl = None

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

_FORMAT = "mne_mc2sleep checkpoint/1"
# Stands between the name of a group of tensors and the name of the tensor.
_SEPARATOR = "|"


@contextmanager
def locked(fname: Path) -> Iterator[None]:
    """Keep a checkpoint to one training.

    The lock is a file ``*.lock`` beside it, which stays; the system gives the lock back
    when the process ends, however it ends.

    Parameters
    ----------
    fname : Path
        The checkpoint, whether it is there yet or not.

    Raises
    ------
    RuntimeError
        If another training has it.
    """
    with fname.with_name(f"{fname.name}.lock").open("w") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RuntimeError(
                    f"Another training writes to {fname}. Wait until it ends, or name "
                    "another file."
                ) from error
        yield


def save_checkpoint(
    fname: Path,
    origin: dict[str, Any],
    record: dict[str, Any],
    tensors: dict[str, dict[str, Tensor]],
) -> None:
    """Write a checkpoint, which replaces the last one when it is complete.

    Parameters
    ----------
    fname : Path
        The file.
    origin : dict
        What the training is: a checkpoint goes on only where this is the same.
    record, tensors : dict
        Where it stands: what JSON can hold, and groups of tensors by name.
    """
    flat = {
        f"{group}{_SEPARATOR}{name}": tensor
        for group, members in tensors.items()
        for name, tensor in members.items()
    }
    header = {
        "format": _FORMAT,
        "origin": _to_json(origin),
        "record": _to_json(record),
    }
    save_tensors(fname, flat, header)


def load_checkpoint(
    fname: Path, origin: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Read what `save_checkpoint` wrote.

    Parameters
    ----------
    fname : Path
        The file.
    origin : dict
        What the training is that will go on.

    Returns
    -------
    record, tensors : dict
        As they were saved; the tensors are on the CPU.

    Raises
    ------
    ValueError
        If the file is damaged, or the checkpoint of another training.
    """
    remedy = "Delete it: the training then starts anew."
    flat, header = load_tensors(fname, _FORMAT, "checkpoint", remedy)
    there, here = json.loads(header["origin"]), json.loads(_to_json(origin))
    different = [
        f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]
    if different:
        raise ValueError(
            f"{fname} is the checkpoint of another training ({', '.join(different)}). "
            "Train as it says, name another file, or delete it."
        )
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, tensor in flat.items():
        group, name = key.split(_SEPARATOR, 1)
        tensors.setdefault(group, {})[name] = tensor
    return json.loads(header["record"]), tensors


def fingerprint(tensors: dict[str, Tensor]) -> str:
    """Return a short text that other tensors would hardly have."""
    content = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    return hashlib.sha256(save(content)).hexdigest()[:16]


def _to_json(value: dict[str, Any]) -> str:
    # Parameters drawn by a search are NumPy's scalars.
    return json.dumps(value, default=np.generic.item)
