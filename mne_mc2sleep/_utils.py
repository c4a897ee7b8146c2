"""Atomic file writing, warnings, and the choice of the device."""

from __future__ import annotations

import os
import tempfile
import threading
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

_lock = threading.Lock()
_collected: dict[int, list] = {}  # by thread
_patch = ExitStack()

# Warnings point to the first frame outside of these packages.
_NOT_THE_USERS = ("mne", "mne_mc2sleep", "joblib", "sklearn")


def warn(message: str, category: type[Warning] = RuntimeWarning) -> None:
    """Warn by :func:`mne.utils.warn`, pointing to the user's line."""
    # Weights can be trained where MNE is not installed.
    import mne

    mne.utils.warn(message, category, ignore_namespaces=_NOT_THE_USERS)


@contextmanager
def collect_warnings() -> Iterator[list[tuple[str, type[Warning]]]]:
    """Collect the warnings of this thread instead of showing them.

    Yields
    ------
    messages : list of (str, type)
        The text and the category of each different warning.

    Notes
    -----
    Unlike :func:`warnings.catch_warnings`, this works in several threads at once.
    """
    thread = threading.get_ident()
    messages: list[tuple[str, type[Warning]]] = []
    with _lock:
        if not _collected:
            _start_collecting()
        outer = _collected.get(thread)
        _collected[thread] = messages
    try:
        yield messages
    finally:
        with _lock:
            if outer is None:
                del _collected[thread]
            else:
                _collected[thread] = outer
            if not _collected:
                _patch.close()


def _start_collecting() -> None:
    _patch.enter_context(warnings.catch_warnings())
    warnings.simplefilter("always")
    show_as_before = warnings.showwarning

    def show(message, category, *args, **kwargs):
        messages = _collected.get(threading.get_ident())
        if messages is None:
            show_as_before(message, category, *args, **kwargs)
        elif (str(message), category) not in messages:
            messages.append((str(message), category))

    warnings.showwarning = show


def replace_file(fname: Path, content: bytes) -> None:
    """Write a file atomically: it has the old content or the new one, never a part.

    A link of that name is replaced, not followed.

    Parameters
    ----------
    fname : Path
        The file.
    content : bytes
        Its new content.
    """
    fname = Path(fname).expanduser()
    if not fname.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(fname.parent)!r} to write {fname.name} to; "
            "create it first."
        )
    # In the same folder, because a rename is atomic only within one file system.
    with tempfile.TemporaryDirectory(dir=fname.parent, prefix=".saving_") as folder:
        part = Path(folder) / fname.name
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(fname)


def find_device(device: str | torch.device | None) -> torch.device:
    """Return the device that torch computes on.

    Parameters
    ----------
    device : str | torch.device | None
        The device or torch's name of it. None takes CUDA, else MPS, else the CPU.

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

    if device is None:
        if torch.cuda.is_available():
            device = "cuda"
        else:
            device = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    # A build without CUDA raises an AssertionError.
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"Torch cannot compute on the device {str(device)!r} here. Use 'cpu', or "
            "leave the device out."
        ) from error
