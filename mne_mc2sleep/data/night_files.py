"""Files of prepared nights: written once, then read in parts by the training."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save

from .._constants import N_TIMES
from .._utils import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

# MNE's logger by its name: training also runs where MNE is not installed.
logger = logging.getLogger("mne")

_FORMAT = "mne_mc2sleep night/1"
# One epoch. A scale for each, so that an artefact costs no other epoch its precision,
# and a checksum for each, so that what is read is checked without reading the rest.
_RECORD = np.dtype([("crc32", "<u4"), ("scale", "<f4"), ("signal", "<i2", (N_TIMES,))])
_MAX_LEVEL = np.iinfo(np.int16).max
_TINY = 1e-30  # µV; keeps the scale of an all-zero epoch above zero


@dataclass(frozen=True)
class CachedSignals:
    """Signals of one night in the cache, read when they are indexed.

    It stands for a tensor as the ``inputs`` of a `Night`. The file is mapped anew at
    each access: thousands of nights kept open would exceed the system's limits, and
    pages once read would count as this process's memory.

    Parameters
    ----------
    fname : Path
        The file.
    offset : int
        The byte at which the epochs begin.
    n_epochs : int
        Number of epochs.
    """

    fname: Path
    offset: int
    n_epochs: int

    dtype = torch.float32

    @property
    def shape(self) -> torch.Size:
        """The shape of the whole, (n_epochs, n_times)."""
        return torch.Size((self.n_epochs, N_TIMES))

    def __len__(self) -> int:
        """Return the number of epochs."""
        return self.n_epochs

    def __getitem__(self, epochs: slice | NDArray[np.integer]) -> Tensor:
        """Read epochs.

        Parameters
        ----------
        epochs : slice | array of int
            Which; ``[:]`` reads the whole night.

        Returns
        -------
        signals : Tensor of shape (n_chosen, n_times)
            In µV.

        Raises
        ------
        ValueError
            If the file is gone, or one of these epochs is damaged.
        """
        try:
            records = np.memmap(
                self.fname, _RECORD, "r", self.offset, (self.n_epochs,)
            )[epochs]
            if (records["crc32"] != _checksums(records)).any():
                raise ValueError("an epoch does not match its checksum")
        except (FileNotFoundError, ValueError) as error:
            raise ValueError(
                f"The prepared night {str(self.fname)!r} is gone or damaged: {error}. "
                "Call prepare_cohort with verify=True, which makes it anew."
            ) from error
        signals = records["signal"].astype(np.float32)
        signals *= records["scale"][:, None]
        return torch.from_numpy(signals)

    def crop(self, start: int, stop: int) -> CachedSignals:
        """Leave out epochs at both ends, without reading any.

        Parameters
        ----------
        start, stop : int
            The first epoch to keep, and the one after the last; both from 0 to
            ``n_epochs``.

        Returns
        -------
        signals : CachedSignals
            Those between.
        """
        offset = self.offset + start * _RECORD.itemsize
        return replace(self, offset=offset, n_epochs=stop - start)


@dataclass(frozen=True)
class StoredEmbeddings:
    """Embeddings of one night in a file, read when they are indexed.

    As `CachedSignals`, it stands for a tensor as the ``inputs`` of a `Night`.

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

    dtype = torch.float32

    @classmethod
    def store(cls, fname: Path, embeddings: Tensor) -> StoredEmbeddings:
        """Append ``embeddings`` of shape (n_epochs, 2, width) to a file."""
        with fname.open("ab") as file:
            offset = file.tell()
            file.write(embeddings.numpy().tobytes())
        return cls(fname, offset, embeddings.shape)

    def __getitem__(self, epochs: slice) -> Tensor:
        """Read the embeddings of some epochs, or of all by ``[:]``."""
        whole = np.memmap(self.fname, np.float32, "r", self.offset, self.shape)
        return torch.from_numpy(np.array(whole[epochs]))


class PreparedNight(NamedTuple):
    """What training needs to know of a prepared night."""

    signals: CachedSignals
    stages: NDArray[np.int8]
    usable: NDArray[np.bool_]


def write_night(
    fname: Path,
    source: str,
    signals: NDArray[np.float32],
    stages: NDArray[np.int8],
    usable: NDArray[np.bool_],
) -> None:
    """Write a prepared night; its file takes its name when it is complete.

    Parameters
    ----------
    fname : Path
        The file; one of that name is replaced.
    source : str
        All that the night depends on, for `open_night` to compare.
    signals : array of shape (n_epochs, n_times)
        In µV, all finite. They are kept as 16-bit integers with a scale for each epoch.
    stages : array of int8 of shape (n_epochs,)
        -1 where unscored.
    usable : array of bool of shape (n_epochs,)
        False where the signal is no EEG.

    Raises
    ------
    OSError
        If the file cannot be written; there is none then, or the one of before.
    """
    header = {"format": _FORMAT, "source": source}
    header["sha256"] = _seal(header, stages, usable)
    epochs = _as_bytes(_make_records(signals))
    content = save({"epochs": epochs, "stages": stages, "usable": usable}, header)
    try:
        replace_file(fname, content)
    except OSError as error:
        raise OSError(
            f"A prepared night of {len(content) / 1e6:.1f} MB cannot be written to "
            f"{str(fname.parent)!r} ({error}). Those written before it stay: make room "
            "and call prepare_cohort again, and it goes on from there."
        ) from error


def open_night(fname: Path, source: str, verify: bool = False) -> PreparedNight | None:
    """Look up a prepared night.

    Parameters
    ----------
    fname : Path
        The file.
    source : str
        What `write_night` was told that it depends on.
    verify : bool
        Whether to check the signals too, which takes reading them all.

    Returns
    -------
    night : PreparedNight | None
        None if there is no such file or it is damaged.
    """
    if not fname.exists():
        return None
    try:
        # It also checks that the file is as long as its header tells.
        with safe_open(fname, framework="np") as file:
            header = file.metadata()
            stages, usable = file.get_tensor("stages"), file.get_tensor("usable")
        signals = CachedSignals(fname, *_find_epochs(fname))
        sound = (
            header.pop("sha256") == _seal(header, stages, usable)
            and header == {"format": _FORMAT, "source": source}
            and len(signals) == len(stages) == len(usable)
        )
        if not sound:
            raise ValueError("its content does not match its checksum")
        if verify:
            signals[:]
    # What a damaged file breaks cannot be foreseen.
    except Exception as error:
        logger.warning("%s is damaged (%s); it is made anew.", fname, error)
        return None
    return PreparedNight(signals, stages, usable)


def _find_epochs(fname: Path) -> tuple[int, int]:
    """Return where in the file the epochs begin, and how many there are."""
    # As the format is documented; safetensors itself does not tell.
    with fname.open("rb") as file:
        n_bytes = int.from_bytes(file.read(8), "little")
        epochs = json.loads(file.read(n_bytes))["epochs"]
    return 8 + n_bytes + epochs["data_offsets"][0], epochs["shape"][0]


def _seal(
    header: dict[str, str], stages: NDArray[np.int8], usable: NDArray[np.bool_]
) -> str:
    """Return the checksum of all but the epochs, which have their own."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    digest.update(stages.tobytes() + usable.tobytes())
    return digest.hexdigest()


def _make_records(signals: NDArray[np.float32]) -> NDArray[np.void]:
    """Turn signals of shape (n_epochs, n_times) into n_epochs records."""
    records = np.empty(len(signals), _RECORD)
    peaks = np.abs(signals).max(axis=1)
    records["scale"] = np.maximum(peaks, _TINY) / _MAX_LEVEL
    records["signal"] = np.rint(signals / records["scale"][:, None])
    records["crc32"] = _checksums(records)
    return records


def _checksums(records: NDArray[np.void]) -> NDArray[np.uint32]:
    """Return the checksum that each record should hold."""
    start = _RECORD.fields["scale"][1]
    return np.array([zlib.crc32(row[start:]) for row in _as_bytes(records)], "<u4")


def _as_bytes(records: NDArray[np.void]) -> NDArray[np.uint8]:
    """Look at records as an array of shape (n_epochs, n_bytes)."""
    contiguous = np.ascontiguousarray(records)
    return contiguous.view(np.uint8).reshape(len(records), _RECORD.itemsize)
