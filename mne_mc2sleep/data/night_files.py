"""Nights on the disk: written once, then read in parts by the training."""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save

from .._constants import N_TIMES
from .._utils import replace_file
from .nights import Night

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

# MNE's logger by its name: training also runs where MNE is not installed.
logger = logging.getLogger("mne")

_FORMAT = "mne_mc2sleep night/2"
_MAX_LEVEL = np.iinfo(np.int16).max
_TINY = 1e-30  # µV; keeps the scale of an all-zero epoch above zero


@dataclass(frozen=True)
class CachedSignals:
    """Signals of one night in the cache, the ``signals`` of a `Night`.

    The file is opened at each access: thousands of open nights would exceed the limits
    of the system.

    Parameters
    ----------
    fname : Path
        The file.
    n_epochs : int
        Number of epochs.
    first : int
        The first of them in the file.
    """

    fname: Path
    n_epochs: int
    first: int = 0

    @property
    def shape(self) -> torch.Size:
        """The shape of the whole, (n_epochs, n_times)."""
        return torch.Size((self.n_epochs, N_TIMES))

    def __getitem__(self, epochs: slice | NDArray[np.integer]) -> Tensor:
        """Read epochs, in µV; a ValueError says that some are damaged."""
        if not isinstance(epochs, slice):
            parts = [self[epoch : epoch + 1] for epoch in epochs.tolist()]
            return torch.cat([self[:0], *parts])
        start, stop, _ = epochs.indices(self.n_epochs)
        part = slice(self.first + start, self.first + stop)
        try:
            with safe_open(self.fname, framework="np") as file:
                levels, scales, checksums = (
                    file.get_slice(name)[part]
                    for name in ("levels", "scales", "checksums")
                )
            if (checksums != _checksums(levels, scales)).any():
                raise ValueError("an epoch does not match its checksum")
        # A damaged file can cause any error.
        except Exception as error:
            raise ValueError(
                f"The prepared night {str(self.fname)!r} is missing or damaged: "
                f"{error}. Call prepare_cohort with verify=True to prepare it again."
            ) from error
        return torch.from_numpy(levels * scales[:, None])

    def crop(self, start: int, stop: int) -> CachedSignals:
        """Keep the epochs from ``start`` to before ``stop``, without reading any."""
        return replace(self, first=self.first + start, n_epochs=stop - start)


@dataclass(frozen=True)
class StoredEmbeddings:
    """Embeddings of one night in a file, the ``embeddings`` of an `EncodedNight`.

    Parameters
    ----------
    fname : Path
        A file of 32-bit floats.
    offset : int
        The byte at which the embeddings begin.
    shape : torch.Size
        The shape of the whole, (n_epochs, 2, width).
    """

    fname: Path
    offset: int
    shape: torch.Size

    @classmethod
    def store(cls, fname: Path, embeddings: Tensor) -> StoredEmbeddings:
        """Append ``embeddings`` of shape (n_epochs, 2, width) to a file."""
        with fname.open("ab") as file:
            offset = file.tell()
            file.write(embeddings.numpy().tobytes())
        return cls(fname, offset, embeddings.shape)

    def __getitem__(self, epochs: slice | NDArray[np.integer]) -> Tensor:
        """Read the embeddings of some epochs, or of all by ``[:]``."""
        whole = np.memmap(self.fname, np.float32, "r", self.offset, self.shape)
        return torch.from_numpy(np.array(whole[epochs]))


def write_night(
    fname: Path,
    source: str,
    signals: NDArray[np.float32],
    stages: NDArray[np.int8],
    usable: NDArray[np.bool_],
) -> None:
    """Write a night; ``source`` describes everything that it depends on."""
    # A scale for each epoch, so that an artefact costs no other epoch its precision.
    scales = np.maximum(np.abs(signals).max(axis=1), _TINY) / np.float32(_MAX_LEVEL)
    levels = np.rint(signals / scales[:, None]).astype(np.int16)
    checksums = _checksums(levels, scales)
    arrays = {"stages": stages, "usable": usable, "checksums": checksums}
    header = {"format": _FORMAT, "source": source, "seal": _seal(source, **arrays)}
    content = save({**arrays, "scales": scales, "levels": levels}, header)
    try:
        replace_file(fname, content)
    except OSError as error:
        raise OSError(
            f"A prepared night of {len(content) / 1e6:.1f} MB cannot be written to "
            f"{str(fname.parent)!r} ({error}). Earlier nights are kept: free some "
            "space and call prepare_cohort again to continue."
        ) from error


def open_night(
    fname: Path, source: str, subject: Hashable, verify: bool = False
) -> Night | None:
    """Open what `write_night` wrote; return None if it is missing or damaged.

    Stages are checked at once, the signals when they are read, or now by ``verify``.
    """
    if not fname.exists():
        return None
    try:
        with safe_open(fname, framework="np") as file:
            header = file.metadata()
            names = ("stages", "usable", "checksums")
            arrays = {name: file.get_tensor(name) for name in names}
        seal = _seal(source, **arrays)
        if header != {"format": _FORMAT, "source": source, "seal": seal}:
            raise ValueError("its content does not match its checksum")
        signals = CachedSignals(fname, len(arrays["stages"]))
        if verify:
            signals[:]
    # A damaged file can cause any error.
    except Exception as error:
        logger.warning("%s is damaged (%s); preparing it again.", fname, error)
        return None
    return Night(signals, arrays["stages"], arrays["usable"], subject)


def _checksums(
    levels: NDArray[np.int16], scales: NDArray[np.float32]
) -> NDArray[np.uint32]:
    """Return a checksum of each epoch."""
    starts = scales.view(np.uint32).tolist()
    pairs = zip(levels, starts, strict=True)
    return np.array([zlib.crc32(row, start) for row, start in pairs], np.uint32)


def _seal(source: str, **arrays: NDArray) -> str:
    content = source.encode() + b"".join(a.tobytes() for a in arrays.values())
    return f"{zlib.crc32(content):08x}"
