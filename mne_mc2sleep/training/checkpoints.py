"""Checkpoints: the state of a training after a train epoch, in one file."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from .._utils import replace_file

_FORMAT = "mne_mc2sleep checkpoint/2"


def reserve(fname: Path) -> Any:
    """Reserve a checkpoint for one training by a file ``*.lock`` beside it."""
    try:
        # The system releases the lock when the process ends, also after kill -9.
        return FileLock(f"{fname}.lock").acquire(timeout=0)
    except Timeout as error:
        raise RuntimeError(
            f"Another training writes to {fname}. Wait until it ends, or name another "
            "file."
        ) from error


def save_checkpoint(fname: Path, origin: str, state: dict[str, Any]) -> None:
    """Replace a checkpoint, from which a training of the same ``origin`` can resume."""
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT, "origin": origin, "state": state}, buffer)
    replace_file(fname, buffer.getvalue())


def load_checkpoint(fname: Path, origin: str) -> dict[str, Any]:
    """Return the state that was saved, on the CPU; raise if ``origin`` differs."""
    try:
        # torch.load does not compare the checksums in the file.
        with zipfile.ZipFile(fname) as file:
            if member := file.testzip():
                raise ValueError(f"{member!r} does not match its checksum")
        content = torch.load(fname, map_location="cpu", weights_only=True)
        if content["format"] != _FORMAT:
            raise ValueError(f"the format is {content['format']!r}, not {_FORMAT!r}")
    # A damaged file can cause any error.
    except Exception as error:
        raise ValueError(
            f"{fname} is damaged or not a checkpoint of this version ({error}). Delete "
            "it to train from scratch, or name another file."
        ) from error
    there, here = json.loads(content["origin"]), json.loads(origin)
    different = [
        f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]
    if different:
        raise ValueError(
            f"{fname} is the checkpoint of another training ({', '.join(different)}). "
            "Train with the same settings, name another file, or delete it."
        )
    return content["state"]


def fingerprint(modules: tuple[torch.nn.Module, ...]) -> str:
    """Return a short hash of all weights and buffers."""
    digest = hashlib.sha256()
    for module in modules:
        for name, tensor in module.state_dict().items():
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
