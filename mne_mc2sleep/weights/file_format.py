"""Weights in files: safetensors with metadata, loaded strictly."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .._constants import N_TIMES
from .._utils import check_fname, replace_file
from ..network import MC2SleepConfig, SleepNetwork, make_network

_FORMAT = "mne_mc2sleep/1"
MAX_LENGTH = 10_000  # limit of a sequence (three days) and of all sizes in a file
_MAX_LAYERS = 100

_TYPES: dict[str, type | tuple[type, ...]] = {
    "parameters": dict,
    "scaling": str,
    "calibration_temperature": (float, int),
    "can_stage": bool,
    "was_finetuned": bool,
    "validation_subjects": list,
    "provenance": list,
    "scores": dict,
    "profile": (dict, NoneType),
    "levels": (list, NoneType),
}


def save_weights(
    fname: str | os.PathLike,
    net: SleepNetwork,
    metadata: dict[str, Any],
    overwrite: bool = False,
    network: Callable | None = None,
) -> None:
    """Write a network and its metadata; ``network`` is what made it, as in Stager."""
    fname = check_fname(fname, (".safetensors",), overwrite)
    header = {} if network is None else {"network": _import_name(network)}
    header |= {"format": _FORMAT, "config": json.dumps(asdict(net.config))}
    header["metadata"] = json.dumps(metadata)
    save_tensors(fname, net.state_dict(), header)


def save_tensors(
    fname: Path, tensors: dict[str, Tensor], header: dict[str, str]
) -> None:
    """Write tensors and a header into one file, with a checksum of both."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    header = header | {"sha256": _checksum(tensors, header)}
    # save_file of safetensors makes files that only their owner can read.
    replace_file(fname, save(tensors, header))


def _checksum(state: dict[str, Tensor], header: dict[str, str]) -> str:
    # Without it, a file with a flipped bit would load and stage differently.
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_weights(
    fname: str | Path, network: Callable | None = None
) -> tuple[SleepNetwork, dict[str, Any]]:
    """Read the network, in eval mode on the CPU, and its metadata."""
    fname = Path(fname)
    if not fname.is_file():
        raise FileNotFoundError(
            f"The weights file {str(fname)!r} does not exist. Pass the path of a file "
            "that MC2SleepClassifier.save wrote."
        )
    state, header = load_tensors(fname)
    _check_network(fname, header.get("network"), network)
    try:
        config = _read_config(header["config"])
        # First on "meta", without memory: the file may describe a huge network.
        with torch.device("meta"):
            make_network(config, network).load_state_dict(state, assign=True)
        with torch.random.fork_rng(devices=[]):
            net = make_network(config, network).eval()
        net.load_state_dict(state)
        with torch.inference_mode():
            logits = net(torch.zeros(1, 1, N_TIMES))
        if not all(part.isfinite().all() for part in logits):
            raise ValueError("posteriors are not finite")
        metadata = dict(json.loads(header["metadata"]))
    # A wrong configuration can raise any error in torch.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"The weights in {fname} do not fit their configuration ({reason}). If "
            "another version of mne_mc2sleep wrote them, use it, or save them again."
        ) from error
    for name, kind in _TYPES.items():
        if not isinstance(metadata.get(name), kind):
            raise ValueError(
                f"The metadata {name!r} in {fname} are not valid: found "
                f"{metadata.get(name)!r:.80}. Download or save the weights again."
            )
    return net, {name: metadata[name] for name in _TYPES}


def format_card(metadata: dict[str, Any], fname: str | Path) -> str:
    """Return the settings of weights and the steps of their training as text."""
    facts = {k: v for k, v in metadata.items() if k not in ("profile", "levels")}
    steps = facts.pop("provenance")
    lines = [f"Weights: {Path(fname).name}", *_lines(facts)]
    for number, step in enumerate(steps, start=1):
        lines += ["", f"Step {number} of {len(steps)}", *_lines(step)]
    return "\n".join(lines)


def _lines(facts: dict[str, Any]) -> list[str]:
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict):
            value = [f"{k} {v}" for k, v in value.items()]
        if isinstance(value, list):
            value = ", ".join(map(str, value))
        if value not in ("", None):
            lines.append(f"{name.replace('_', ' ')}: {value}")
    return lines


def _import_name(network: Callable) -> str:
    # A partial function has no name of its own.
    name = getattr(network, "__qualname__", type(network).__qualname__)
    return f"{network.__module__}:{name}"


def _check_network(fname: Path, saved: str | None, network: Callable | None) -> None:
    passed = None if network is None else _import_name(network)
    # Its module may have been renamed.
    if (saved or "").split(":")[-1] != (passed or "").split(":")[-1]:
        raise ValueError(
            f"The weights in {fname} are of the network {saved or 'MC2SleepNet'!r}, "
            f"but network={passed!r} was requested. Pass the class that they were "
            "trained with as 'network', None for MC2SleepNet."
        )


def _read_config(text: str) -> MC2SleepConfig:
    """Read a configuration; raise if its network would take too much memory or time."""
    saved: dict[str, Any] = json.loads(text)
    for name, value in saved.items():
        sizes = value if isinstance(value, list) else [value]
        is_count = all(type(n) is int and 1 <= n <= MAX_LENGTH for n in sizes)
        if name != "dropout" and not is_count:
            raise ValueError(f"{name} is {value}")
        saved[name] = tuple(value) if isinstance(value, list) else value
    config = MC2SleepConfig(**saved)
    n_layers = config.sequence_layers + config.spectrogram_layers
    if n_layers + sum(config.signal_convolutions) > _MAX_LAYERS:
        raise ValueError(f"it has over {_MAX_LAYERS} layers")
    return config


def load_tensors(fname: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and header; raise a ValueError if the file is not what was saved."""
    try:
        with safe_open(fname, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        is_ours = header.get("format") == _FORMAT
        if is_ours and header.pop("sha256", None) != _checksum(tensors, header):
            raise SafetensorError("its content does not match its checksum")
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{fname} is damaged or not a safetensors file ({error}). Download or save "
            "it again."
        ) from error
    if not is_ours:
        raise ValueError(
            f"{fname} holds no weights that this version of mne_mc2sleep can read: its "
            f"format is {header.get('format')!r}, not {_FORMAT!r}."
        )
    return tensors, header
