"""Prepare recordings once, as nights that training reads from the disk."""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mne.utils import ProgressBar, verbose

from .. import __version__
from .._utils import warn
from ..io.stage_intervals import as_intervals
from ..preprocessing.scaling import SCALINGS
from .night_files import open_night, write_night
from .reading import pair, read_channel, read_stages, run_on_recordings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .nights import Night

_FORMAT = 3


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
    hypnos : list | None
        As in ``MC2SleepClassifier.fit``; files or in memory.
    groups : list | None
        The subject of each recording. If None, each recording is its own subject.
    picks : str | list of str | None
        As in ``MC2SleepClassifier``.
    scaling : {"none", "robust", "spectrum"}
        As in ``MC2SleepClassifier``.
    n_jobs : int | None
        Number of recordings to prepare in parallel, by joblib. None means 1 unless
        :func:`joblib.parallel_config` says otherwise.
    verbose : bool | str | int | None
        MNE's verbosity; it also controls the progress bar.

    Returns
    -------
    nights : list of Night
        In the order of ``recordings``, with the signals in µV on the disk. Recordings
        that cannot be prepared are left out with a warning that gives the reasons.

    Raises
    ------
    ValueError
        If the lists do not match, ``scaling`` is unknown, or no recording can be
        prepared.
    OSError
        If a night cannot be written, as on a full disk. Earlier nights are kept.

    Notes
    -----
    A night is one safetensors file. Signals are 16-bit integers with a scale for each
    epoch: the error of a sample is at most 1/65534 of the largest sample of its epoch.
    An epoch takes 6,006 bytes, a night of 8 h 5.8 MB.

    The file name contains a hash of everything that the night depends on: path, size
    and modification time of the recording and the hypnogram (the content of a hypnogram
    in memory), ``picks``, ``scaling`` and the version of this package. If one of these
    changes, another file is written and the old one stays. Of a format of several
    files, such as BrainVision, only the file that was passed is considered. Truncated
    files are prepared again.
    """
    recordings, hypnos = pair(recordings, hypnos, "hypnograms")
    _, subjects = pair(recordings, groups, "groups")
    if groups is None:
        subjects = list(range(len(recordings)))
    channels = [picks] * len(recordings)
    nights = prepare_all(
        recordings, hypnos, subjects, channels, folder, scaling, n_jobs
    )
    return [night for night in nights if night is not None]


def prepare_all(
    recordings: list,
    hypnos: list,
    subjects: list,
    picks: list,
    folder: str | os.PathLike,
    scaling: str,
    n_jobs: int | None,
) -> list[Night | None]:
    """Prepare nights as `prepare_cohort` does, and return None for those that failed.

    Each recording has its own ``picks``.
    """
    if scaling not in SCALINGS:
        raise ValueError(
            f"'scaling' must be one of {list(SCALINGS)}, got {scaling!r} instead."
        )
    folder = Path(folder).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    prepare = partial(_prepare, folder=folder, scaling=scaling)
    generator = run_on_recordings(
        prepare, recordings, hypnos, subjects, picks, n_jobs=n_jobs
    )
    bar = ProgressBar(generator, max_value=len(recordings), mesg="Preparing nights")
    outcomes = list(bar)
    if failures := [outcome for outcome in outcomes if isinstance(outcome, str)]:
        message = (
            f"{len(failures)} of {len(outcomes)} recordings could not be prepared:\n"
            + "\n".join(failures)
        )
        if len(failures) == len(outcomes):
            raise ValueError(message)
        warn(f"{message}\nThey are left out.")
    return [None if isinstance(outcome, str) else outcome for outcome in outcomes]


def _prepare(
    recording: Any,
    hypno: Any,
    subject: Any,
    picks: str | list[str] | None,
    folder: Path,
    scaling: str,
) -> Night | str:
    """Return the prepared night, or why there is none."""
    try:
        source = _describe_source(recording, hypno, picks, scaling)
        name = hashlib.sha256(source.encode()).hexdigest()[:24]
        fname = folder / f"{Path(recording).stem[:100]}-{name}.safetensors"
        if night := open_night(fname, subject):
            return night
        prepared = read_channel(recording, picks, scaling)
        stages = read_stages(prepared, hypno, is_needed=False)
    # A malformed file can cause any error, and the other recordings must go on.
    except Exception as error:
        return f"{recording}: {error}"
    write_night(fname, prepared.signals, stages, prepared.usable)
    night = open_night(fname, subject)
    return night or f"{recording}: its prepared night cannot be read back."


def _describe_source(
    recording: str | os.PathLike, hypno: Any, picks: Any, scaling: str
) -> str:
    """Return as text everything that a prepared night depends on."""
    if not isinstance(recording, str | os.PathLike):
        raise TypeError(
            f"A cohort is prepared from files, got {type(recording)} instead. Pass the "
            "path of the recording, or save it first by its method 'save'."
        )
    if isinstance(hypno, str | os.PathLike):
        hypno = _describe_file(hypno)
    elif hypno is not None:
        intervals = as_intervals(hypno)
        content = b"".join(values.tobytes() for values in intervals[:3])
        hypno = hashlib.sha256(content).hexdigest(), str(intervals.origin)
    source = {
        "format": _FORMAT,
        "version": __version__,
        "recording": _describe_file(recording),
        "hypnogram": hypno,
        "picks": picks,
        "scaling": scaling,
    }
    # The reader refuses picks of a wrong type.
    return json.dumps(source, default=str)


def _describe_file(fname: str | os.PathLike) -> tuple[str, int, int]:
    path = Path(fname).expanduser().resolve()
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns
