"""Nights on the disk: written once, then read in parts by the training."""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .._utils import replace_file
from .nights import Night

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

# MNE's logger by its name: training also runs where MNE is not installed.
logger = logging.getLogger("mne")

_MAX_LEVEL = np.iinfo(np.int16).max
_TINY = 1e-30  # µV; keeps the scale of an all-zero epoch above zero
_LABELS = ("stages", "usable")


@dataclass(frozen=True)
class StoredEpochs:
    """Signals or embeddings of one night in a file, see `Epochs`.

    The file is opened at each access: thousands of open nights would exceed the limits
    of the system. ``first`` is the first of the epochs in the file.
    """

    fname: Path
    shape: torch.Size
    first: int = 0

    @classmethod
    def store(cls, fname: Path, values: Tensor) -> StoredEpochs:
        """Write values to a new file, unchanged."""
        fname.write_bytes(save({"values": values.numpy()}))
        return cls(fname, values.shape)

    def __getitem__(self, epochs: slice) -> Tensor:
        """Read consecutive epochs."""
        start, stop, _ = epochs.indices(self.shape[0])
        part = slice(self.first + start, self.first + stop)
        try:
            with safe_open(self.fname, framework="np") as file:
                values = file.get_slice("values")[part]
                if "scales" in file.keys():  # noqa: SIM118
                    values = values * file.get_slice("scales")[part]
        except (SafetensorError, OSError) as error:
            raise ValueError(
                f"The prepared night {str(self.fname)!r} is missing or damaged: "
                f"{error}. Call prepare_cohort to prepare it again."
            ) from error
        return torch.from_numpy(values)

    def crop(self, start: int, stop: int) -> StoredEpochs:
        """Keep the epochs from ``start`` to before ``stop``, without reading any."""
        shape = torch.Size((stop - start, *self.shape[1:]))
        return replace(self, first=self.first + start, shape=shape)


def write_night(
    fname: Path,
    signals: NDArray[np.float32],
    stages: NDArray[np.int8],
    usable: NDArray[np.bool_],
) -> None:
    """Write a night atomically, its signals in 16 bits."""
    # A scale for each epoch, so that an artefact costs no other epoch its precision.
    peaks = np.abs(signals).max(axis=1, keepdims=True)
    scales = np.maximum(peaks, _TINY) / np.float32(_MAX_LEVEL)
    levels = np.rint(signals / scales).astype(np.int16)
    labels = {"stages": stages, "usable": usable}
    arrays = {"values": levels, "scales": scales, **labels}
    replace_file(fname, save(arrays, {"checksum": _checksum(labels)}))


def open_night(fname: Path, subject: Hashable) -> Night | None:
    """Open what `write_night` wrote; return None if it is missing or damaged.

    A truncated file is damaged, and stages that do not match their checksum. Signals
    are not checked: a wrong bit in them cannot exceed the largest sample of the epoch.
    """
    if not fname.exists():
        return None
    try:
        with safe_open(fname, framework="np") as file:
            labels = {name: file.get_tensor(name) for name in _LABELS}
            shape = torch.Size(file.get_slice("values").get_shape())
            if file.metadata()["checksum"] != _checksum(labels):
                raise ValueError("the stages do not match their checksum")
    # A damaged file can cause any error.
    except Exception as error:
        logger.warning("%s is damaged (%s); preparing it again.", fname, error)
        return None
    return Night(
        StoredEpochs(fname, shape), labels["stages"], labels["usable"], subject
    )


def _checksum(labels: dict[str, NDArray]) -> str:
    return str(zlib.crc32(b"".join(labels[name].tobytes() for name in _LABELS)))
