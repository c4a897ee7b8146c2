"""Prepare recordings once, as nights that training reads without loading them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mne.parallel import parallel_func
from mne.utils import verbose, warn

from .. import __version__
from ..io.hypnograms import as_intervals
from ..preprocessing.scaling import SCALINGS
from .night_files import PreparedNight, open_night, write_night
from .nights import Night
from .reading import pair, read_channel, read_stages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_LEFTOVER_AGE = 3600.0  # seconds; writing one night takes well under one


@verbose
def prepare_cohort(
    recordings: Sequence[str | os.PathLike],
    folder: str | os.PathLike,
    hypnos: Sequence | None = None,
    groups: Sequence | None = None,
    *,
    picks: str | list[str] | None = None,
    scaling: str | None = None,
    verify: bool = False,
    on_error: str = "warn",
    n_jobs: int | None = None,
    verbose: bool | str | int | None = None,
) -> list[Night]:
    """Prepare recordings once, and give back nights that are read from the disk.

    What an earlier call prepared is not prepared again, also if that call was
    interrupted. Several processes may prepare the same recordings into one folder:
    none harms another, but a night may be prepared by each.

    Parameters
    ----------
    recordings : list of path-like
        Files that MNE can read.
    folder : path-like
        Where the prepared nights are kept; it is made if needed. Any file in it may be
        deleted: it is made anew by the next call.
    hypnos : list | None
        As in ``MC2SleepClassifier.fit``; files or in memory.
    groups : list | None
        The subject of each recording; None takes each for a subject of its own.
    picks : str | list of str | None
        As in ``MC2SleepClassifier``.
    scaling : {None, "robust", "spectrum"}
        As in ``MC2SleepClassifier``.
    verify : bool
        Whether to read all prepared nights and to make anew those whose signals do not
        match their checksums. Without, a file that is cut short, or whose stages are
        damaged, is made anew all the same, and a damaged signal is an error when
        training reads it.
    on_error : {"warn", "raise"}
        What to do about recordings that cannot be prepared, when all others are: warn
        of them and leave them out, or raise.
    n_jobs : int | None
        Recordings prepared at once, by joblib; None is 1 unless
        :func:`joblib.parallel_config` says otherwise.
    verbose : bool | str | int | None
        MNE's verbosity; it also controls the progress bar.

    Returns
    -------
    nights : list of Night
        In the order of ``recordings``. Their inputs are `CachedSignals` in µV.

    Raises
    ------
    ValueError
        If the lists do not match, ``scaling`` or ``on_error`` is unknown, or recordings
        cannot be prepared; each is named with the reason.
    OSError
        If a night cannot be written, as on a full disk.

    Notes
    -----
    A night is one safetensors file. Signals are 16-bit integers with a scale for each
    epoch, so no sample is off by more than 1/65534 of its epoch's largest: 6,010 bytes
    per epoch, 5.8 MB for 8 h.

    The file is named by what it was made from: the recording's and the hypnogram's
    path, size and time of change (a hypnogram in memory: its content), ``picks``,
    ``scaling`` and the version of this package. Anything else in one of these makes
    another file; the old one stays. A hash of the content would be surer, but would
    read all recordings at each start. Of a format of several files, such as
    BrainVision, only the file that was passed is looked at.
    """
    _check_option("scaling", scaling, (None, *SCALINGS))
    _check_option("on_error", on_error, ("warn", "raise"))
    recordings, hypnos = pair(recordings, hypnos, "hypnograms")
    _, subjects = pair(recordings, groups, "groups")
    if groups is None:
        subjects = range(len(recordings))
    folder = Path(folder).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    parallel, prepare, _ = parallel_func(
        _prepare, n_jobs, max_nbytes=None, total=len(recordings)
    )
    outcomes = parallel(
        prepare(recording, hypno, folder, picks, scaling, verify)
        for recording, hypno in zip(recordings, hypnos, strict=True)
    )
    _report_failures(outcomes, on_error)
    return [
        Night(*outcome, subject)
        for outcome, subject in zip(outcomes, subjects, strict=True)
        if isinstance(outcome, PreparedNight)
    ]


def _check_option(name: str, value: Any, options: tuple) -> None:
    if value not in options:
        raise ValueError(f"{name!r} must be one of {options}, not {value!r}.")


def _remove_leftovers(folder: Path) -> None:
    """Remove what `replace_file` left where its process was killed."""
    for part in folder.glob(".saving_*"):
        # A younger one may be another process's at work, and be gone by now.
        with suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > _LEFTOVER_AGE:
                shutil.rmtree(part, ignore_errors=True)


def _report_failures(outcomes: Sequence[PreparedNight | str], on_error: str) -> None:
    failures = [outcome for outcome in outcomes if isinstance(outcome, str)]
    if not failures:
        return
    message = (
        f"{len(failures)} of {len(outcomes)} recordings could not be prepared:\n"
        + "\n".join(failures)
    )
    if on_error == "raise" or len(failures) == len(outcomes):
        raise ValueError(message)
    warn(f"{message}\nThey are left out.")


def _prepare(
    recording: str | os.PathLike,
    hypno: Any,
    folder: Path,
    picks: str | list[str] | None,
    scaling: str | None,
    verify: bool,
) -> PreparedNight | str:
    """Return the prepared night, or why there is none."""
    try:
        source = _describe_source(recording, hypno, picks, scaling)
        name = hashlib.sha256(source.encode()).hexdigest()[:24]
        fname = folder / f"{Path(recording).stem[:100]}-{name}.safetensors"
        if night := open_night(fname, source, verify):
            return night
        prepared = read_channel(recording, picks, scaling)
        stages = read_stages(prepared, hypno, is_needed=False)
    # What a malformed file breaks cannot be foreseen, and the others shall go on.
    except Exception as error:
        return f"{recording}: {error}"
    write_night(fname, source, prepared.signals, stages, prepared.usable)
    night = open_night(fname, source)
    return night or f"{recording}: what was written for it cannot be read back."


def _describe_source(
    recording: str | os.PathLike, hypno: Any, picks: Any, scaling: str | None
) -> str:
    """Return as text all that a prepared night depends on."""
    if not isinstance(recording, str | os.PathLike):
        raise TypeError(
            f"A cohort is prepared from files; got {type(recording)}. Pass the path of "
            "the recording, or save it by its method 'save' first."
        )
    if isinstance(hypno, str | os.PathLike):
        hypno = _describe_file(hypno)
    elif hypno is not None:
        *arrays, origin = as_intervals(hypno)
        content = b"".join(values.tobytes() for values in arrays)
        hypno = hashlib.sha256(content).hexdigest(), str(origin)
    source = {
        "version": __version__,
        "recording": _describe_file(recording),
        "hypnogram": hypno,
        "picks": picks,
        "scaling": scaling,
    }
    # A pick of a wrong type is for the reader to refuse.
    return json.dumps(source, default=str)


def _describe_file(fname: str | os.PathLike) -> tuple[str, int, int]:
    path = Path(fname).expanduser().resolve()
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns
