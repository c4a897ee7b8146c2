"""Prepare recordings once, as nights that training reads from the disk."""

import os
from collections.abc import Hashable, Sequence
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import torch
from mne.utils import ProgressBar, logger, verbose
from safetensors import safe_open
from safetensors.numpy import save

from .. import __version__
from .._utils import replace_file, size_and_time, warn
from ..io.stage_intervals import as_intervals
from ..preprocessing.scaling import SCALINGS
from .nights import Night, StoredEpochs
from .reading import pair, read_channel, read_stages, run_on_recordings

_FORMAT = 3
_TINY = 1e-30  # µV; keeps the scale of an all-zero epoch above zero


@verbose
def prepare_cohort(
    recordings: Sequence[str | os.PathLike],
    folder: str | os.PathLike,
    hypnos: Sequence | None = None,
    groups: Sequence | None = None,
    *,
    picks: str | list[str] | None = None,
    scaling: str = "none",
    n_jobs: int | None = None,
    verbose: bool | str | int | None = None,
) -> list[Night]:
    """Prepare recordings once, and return nights that are read from the disk.

    Nights that an earlier call prepared are reused, also if it was interrupted. Several
    processes may use the same folder at the same time.

    Parameters
    ----------
    recordings : list of path-like
        Files that MNE can read.
    folder : path-like
        Where the prepared nights are kept; created if needed. Any file in it may be
        deleted: the next call prepares it again.
    hypnos, groups, verbose
        As in `MC2SleepClassifier.fit`.
    picks, scaling, n_jobs
        As in `MC2SleepClassifier` and its ``predict``.

    Returns
    -------
    nights : list of Night
        In the order of ``recordings``, with the signals in µV on the disk. Recordings
        that cannot be prepared are left out with a warning that gives the reasons.

    Notes
    -----
    A night is one safetensors file, 5.8 MB for 8 h. Signals are 16-bit integers: the
    error of a sample is at most 1/65534 of the largest sample of its epoch. Another
    file is written, and the old one stays, if one of these changes: path, size or
    modification time of the recording or the hypnogram (the content of one in memory),
    ``picks``, ``scaling``, and the version of this package.
    """
    cohort = pair(recordings, hypnos, groups)
    channels = [picks] * len(cohort[0])
    nights = prepare_all(*cohort, channels, folder, scaling, n_jobs)
    return [night for night in nights if night is not None]


def prepare_all(
    recordings, hypnos, subjects, picks, folder, scaling: str, n_jobs: int | None
) -> list[Night | None]:
    """Do as `prepare_cohort`, with ``picks`` for each; return None for failures."""
    if scaling not in SCALINGS:
        raise ValueError(
            f"'scaling' must be one of {list(SCALINGS)}, got {scaling!r} instead."
        )
    folder = Path(folder).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    prepare = partial(_prepare, folder=folder, scaling=scaling)
    cohort = recordings, hypnos, subjects, picks
    runs = run_on_recordings(prepare, *cohort, n_jobs=n_jobs)
    outcomes = [*ProgressBar(runs, max_value=len(picks), mesg="Preparing nights")]
    if failures := [outcome for outcome in outcomes if isinstance(outcome, str)]:
        share = f"{len(failures)} of {len(outcomes)}"
        message = "\n".join([f"{share} recordings could not be prepared:", *failures])
        if len(failures) == len(outcomes):
            raise ValueError(message)
        warn(f"{message}\nThey are left out.")
    return [None if isinstance(outcome, str) else outcome for outcome in outcomes]


def _prepare(recording, hypno, subject, picks, folder, scaling) -> Night | str:
    """Return the prepared night, or why there is none."""
    try:
        name = _hash_source(recording, hypno, picks, scaling)
        fname = folder / f"{Path(recording).stem[:100]}-{name}.safetensors"
        if night := open_night(fname, subject, scaling):
            return night
        prepared = read_channel(recording, picks, scaling)
        stages = read_stages(prepared, hypno, is_needed=False)
    # A malformed file can cause any error, and the other recordings must go on.
    except Exception as error:
        return f"{recording}: {error}"
    write_night(fname, prepared.signals, stages, prepared.usable)
    return open_night(fname, subject, scaling) or f"{recording}: cannot be read back."


def _hash_source(recording, hypno, picks, scaling) -> str:
    """Return a hash of everything that a prepared night depends on."""
    if not isinstance(recording, str | os.PathLike):
        raise TypeError(
            f"A cohort is prepared from files, got {type(recording)} instead. Pass the "
            "path of the recording, or save it first by its method 'save'."
        )
    if isinstance(hypno, str | os.PathLike):
        hypno = _describe_file(hypno)
    elif hypno is not None:
        hypno = tuple(as_intervals(hypno))
    recording = _describe_file(recording)
    return joblib.hash((_FORMAT, __version__, recording, hypno, picks, scaling))


def _describe_file(fname: str | os.PathLike) -> tuple[str, int, int]:
    path = Path(fname).expanduser().resolve()
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    return str(path), *size_and_time(path)


def write_night(fname: Path, signals, stages, usable) -> None:
    """Write the arrays of a night atomically, its signals in 16 bits."""
    # A scale for each epoch, so that an artefact costs no other epoch its precision.
    peaks = np.abs(signals).max(axis=1, keepdims=True)
    scales = np.maximum(peaks, _TINY) / np.float32(np.iinfo(np.int16).max)
    levels = np.rint(signals / scales).astype(np.int16)
    arrays = {"values": levels, "scales": scales, "stages": stages, "usable": usable}
    replace_file(fname, save(arrays))


def open_night(fname: Path, subject: Hashable, scaling: str = "none") -> Night | None:
    """Open what `write_night` wrote; return None if it is missing or truncated."""
    if not fname.exists():
        return None
    try:
        with safe_open(fname, framework="np") as file:
            stages, usable = map(file.get_tensor, ("stages", "usable"))
            shape = torch.Size(file.get_slice("values").get_shape())
    # A damaged file can cause any error.
    except Exception as error:
        logger.warning("%s is damaged (%s); preparing it again.", fname, error)
        return None
    return Night(StoredEpochs(fname, shape), stages, usable, subject, scaling=scaling)
