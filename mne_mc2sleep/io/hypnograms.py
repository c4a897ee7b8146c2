"""Put stages onto the recording's grid, and read and write hypnograms."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mne
import numpy as np
import pandas as pd
from mne.utils import logger
from numpy.typing import ArrayLike, NDArray

from .._constants import EPOCH_DURATION, SCORER, STAGES, UNSCORED
from .._utils import check_fname, importing, replace_file, warn
from . import stage_intervals
from .hypnogram_formats import WRITERS, load_hypnogram
from .stage_intervals import Intervals, StageEvents, as_events, to_intervals

if TYPE_CHECKING:
    from yasa import Hypnogram

# AASM names in EDF+ files; movement and unscored epochs have R&K's.
_AASM = ("W", "N1", "N2", "N3", "R")
_DESCRIPTIONS = {i: f"Sleep stage {name}" for i, name in enumerate(_AASM)}
_DESCRIPTIONS |= {-1: "Movement time", -2: "Sleep stage ?"}
_DROP_START = "pass the hypnogram without its start (Annotations: orig_time=None)"
_FEW_EPOCHS = 5  # a scoring may be so much shorter or longer; our choice
# Values per epoch of scorings in steps of 20, 15, 10, 5, 4, 3, 2 and 1 s.
_FACTORS = (1.5, 2, 3, 6, 7.5, 10, 15, 30)
_MIN_SAMPLES = 59  # per epoch, at 2 Hz


def stages_on_grid(
    hypno: Any, n_epochs: int | None = None, start: datetime | None = None
) -> NDArray[np.int8]:
    """Turn a hypnogram of any form into one integer for each epoch of a recording.

    ``hypno`` is a Hypnogram with epochs of any length, Annotations in R&K or AASM
    spelling, a file for :func:`read_hypnogram`, or one of YASA's integers or a name for
    each epoch of 30 s. If it knows its start, it is aligned by time with ``start``, the
    time of the recording's first sample; any other begins with the recording.
    ``n_epochs=None`` takes the hypnogram's own epochs.

    Returns int8 of shape (n_epochs,): positions in ``STAGES``, or -1 where unscored,
    artefact or movement. An epoch gets the stage that covers more than half of it (our
    choice; scorers' epochs need not begin with the recording).
    """
    if isinstance(hypno, str | os.PathLike):
        with _errors_name(hypno):
            return stages_on_grid(load_hypnogram(hypno), n_epochs, start)
    intervals = stage_intervals.as_intervals(hypno)
    if n_epochs is None:
        intervals, n_epochs = _own_grid(intervals)
        start = intervals.origin
    intervals = align(intervals, n_epochs, start)
    # Intervals are the recording's own, which may be of any length.
    if intervals.origin is None and not isinstance(hypno, Intervals):
        _check_length(intervals, n_epochs)
    half = EPOCH_DURATION / 2
    offset = np.abs(np.mod(intervals.onset + half, EPOCH_DURATION) - half).max()
    if offset > 1e-3:
        logger.info(
            "The hypnogram's epochs are up to %.3g s off the recording's: each epoch "
            "gets the stage that covers more than half of it.",
            offset,
        )
    return np.maximum(stage_intervals.put_on_grid(intervals, n_epochs), UNSCORED)


def make_hypnogram(
    probabilities: ArrayLike, usable: ArrayLike, start: datetime | None = None
) -> Hypnogram:
    """Turn stage probabilities (n_epochs, 5) into a hypnogram.

    Epochs that are not ``usable`` (n_epochs,) become ``UNS``; ``proba`` has a column
    ``UNS`` only if there are any.
    """
    with importing():
        from yasa import Hypnogram

    usable = np.asarray(usable, dtype=bool)
    proba = np.where(usable[:, None], np.asarray(probabilities, np.float64), 0.0)
    table = pd.DataFrame(proba, columns=STAGES)
    if not usable.all():
        table["UNS"] = (~usable).astype(np.float64)
    total = table.sum(axis=1)
    # Half-precision probabilities may be off by some 1e-3.
    valid = (table >= 0).all(axis=1) & ((total - 1).abs() < 1e-2)
    if not valid.all():
        raise ValueError(
            "Probabilities must be finite, not negative and sum to 1; found "
            f"{proba[valid.argmin()]} in epoch {valid.argmin()}."
        )
    values, table = table.idxmax(axis=1).to_numpy(), table.div(total, axis=0)
    return Hypnogram(values, start=start, scorer=SCORER, proba=table)


def hypnogram_to_annotations(hypno: Hypnogram) -> mne.Annotations:
    """Turn a hypnogram into annotations, one per run of the same stage.

    Parameters
    ----------
    hypno : Hypnogram
        A hypnogram of five stages.

    Returns
    -------
    annotations : Annotations
        AASM names, ``"Sleep stage ?"`` (unscored) and ``"Movement time"`` (artefact);
        ``orig_time`` is the hypnogram's start in UTC (to the µs), or None.
    """
    intervals = to_intervals(stage_intervals.events_from_hypnogram(hypno))
    names = [_DESCRIPTIONS[stage] for stage in intervals.stage.tolist()]
    origin = intervals.origin and intervals.origin.floor("us").to_pydatetime()
    return mne.Annotations(intervals.onset, intervals.duration, names, origin)


def annotations_to_hypnogram(
    annotations: mne.Annotations, scorer: str | None = None
) -> Hypnogram:
    """Turn sleep stage annotations into a hypnogram of 30-s epochs.

    Parameters
    ----------
    annotations : Annotations
        Stages in R&K or AASM spelling; other annotations are ignored.
    scorer : str | None
        The name of the scorer.

    Returns
    -------
    hypno : Hypnogram
        The stages from the first to the last, ``UNS`` in gaps. With ``orig_time`` it
        starts with the first stage; without, at the recording's first sample (0 s).
    """
    events = as_events(annotations)
    first = to_intervals(events).onset.min()
    if annotations.orig_time is None and first > 0:
        warn(
            f"The annotations have no date and the first stage begins at {first:g} s, "
            "so the hypnogram begins unscored. In a cropped recording without a date, "
            "MNE counts from before it was cropped: then subtract raw.first_time."
        )
    return _as_hypnogram(events, scorer)


def write_hypnogram(
    fname: str | os.PathLike, hypno: Hypnogram, overwrite: bool = False
) -> None:
    """Write a hypnogram to a file.

    Parameters
    ----------
    fname : path-like
        The file. Its suffix is the format: ``.csv``, a table with everything in it (one
        row per epoch); ``.tsv``, BIDS events (runs of a stage, without start and
        probabilities); ``.edf``, EDF+ annotations (runs, with the start in UTC).
    hypno : Hypnogram
        A hypnogram of five stages.
    overwrite : bool
        Replace an existing file.
    """
    fname = check_fname(fname, tuple(WRITERS), overwrite)
    write = WRITERS[fname.suffix.lower()]
    replace_file(fname, write(hypno, hypnogram_to_annotations(hypno)))


def read_hypnogram(
    fname: str | os.PathLike,
    scorer: str | None = None,
    epoch_duration: float | None = None,
) -> Hypnogram:
    """Read a hypnogram from a file.

    Parameters
    ----------
    fname : path-like
        A file of those that the page "Hypnogram formats" lists, such as EDF+ with sleep
        stage annotations, BIDS events, a table, or a text with one stage per line.
    scorer : str | None
        The scorer to name, if the file names none.
    epoch_duration : float | None
        The duration of an epoch in s in files of one stage per line; None means 30 s.

    Returns
    -------
    hypno : Hypnogram
        The stages. A file with one value per epoch keeps its step; events become
        epochs of 30 s, as by :func:`annotations_to_hypnogram`. The start of an EDF
        file is that of its header, in UTC (1985-01-01 00:00:00 means none).
    """
    with _errors_name(fname):
        return _as_hypnogram(load_hypnogram(fname, epoch_duration), scorer)


@contextmanager
def _errors_name(fname: str | os.PathLike) -> Iterator[None]:
    """Put the file's name before a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{Path(fname).name}: {error}") from error


def _own_grid(intervals: Intervals) -> tuple[Intervals, int]:
    """Return intervals on the grid that begins with them, and its length."""
    if (origin := intervals.origin) is not None:
        first = intervals.onset.min()
        origin = (origin + pd.Timedelta(first, "s")).round("us")
        intervals = intervals._replace(onset=intervals.onset - first, origin=origin)
    n_epochs = np.ceil(intervals.end / EPOCH_DURATION - 0.5)
    if not 0 < n_epochs <= stage_intervals.MAX_EPOCHS:
        raise ValueError(
            f"The sleep stages end {intervals.end:g} s after the hypnogram's start: a "
            "hypnogram must last from one epoch to one year. Check its times."
        )
    return intervals, int(n_epochs)


def _as_hypnogram(events: StageEvents, scorer: str | None) -> Hypnogram:
    """Make a Hypnogram of the events' own epochs, or else of epochs of 30 s."""
    from yasa import Hypnogram

    intervals = to_intervals(events)
    start, step = events.start, events.step
    if step is None:
        step = EPOCH_DURATION
        own, n_epochs = _own_grid(intervals)
        start, values = own.origin, stage_intervals.put_on_grid(own, n_epochs)
    else:
        n_values = np.rint(intervals.duration / step).astype(int)
        values = np.repeat(intervals.stage, n_values)
    try:
        more = {"scorer": events.scorer or scorer, "proba": events.proba}
        return Hypnogram.from_integers(values, freq=f"{step:.9g}s", start=start, **more)
    except AssertionError as error:  # YASA checks by assert
        raise ValueError(
            "The probabilities of each epoch must sum to 1, and have a column for "
            "each stage; correct or delete these columns."
        ) from error


def _check_length(intervals: Intervals, n_epochs: int) -> None:
    """Refuse one value per epoch in another step, and warn of another length."""
    end, n_allowed = intervals.end, _FEW_EPOCHS
    if (step := intervals.step) is not None:
        _check_step(step, end, n_epochs)
        found = f"has {round(end / step)} values of {step:g} s"
    else:
        # Events may go on unscored, and need not fill the recording.
        is_scored = intervals.stage >= 0
        end = (intervals.onset + intervals.duration)[is_scored].max(initial=0)
        found = f"ends at {end:g} s"
        if intervals.clock is None and end < n_epochs * EPOCH_DURATION:
            n_allowed = n_epochs // 2
    n_other = round(end / EPOCH_DURATION) - n_epochs
    if abs(n_other) > n_allowed:
        effect = "were cut" if n_other > 0 else "of the recording are unscored"
        warn(
            f"The hypnogram {found} but the recording has {n_epochs} epochs of 30 s: "
            f"the last {abs(n_other)} epochs {effect}. Check that both belong and "
            "begin together."
        )


def _check_step(step: float, end: float, n_epochs: int) -> None:
    """Refuse values that seem to be in another step than ``step``."""
    length = end / EPOCH_DURATION
    if abs(round(length) - n_epochs) <= _FEW_EPOCHS:
        return
    ratio = length / n_epochs
    # An incomplete last epoch of the recording may have values.
    lowest = length / (n_epochs + 1) / 1.02
    factors = [factor for factor in _FACTORS if lowest <= factor <= ratio * 1.02]
    if ratio > _MIN_SAMPLES:
        # One value per sample; the samples after the last epoch are few.
        factors.append(30 * int(ratio / 30 + 0.02))
    if factors:
        other = f"{step / factors[0]:.9g}"
        raise ValueError(
            f"The hypnogram has {round(end / step)} values for {n_epochs} epochs of "
            f"30 s, so each seems to stand for {other} s. Convert it by yasa.Hypnogram("
            f'names, freq="{other}s") or read_hypnogram(fname, epoch_duration={other}).'
        )


def align(intervals: Intervals, n_epochs: int, start: datetime | None) -> Intervals:
    """Count the onsets from the recording's first sample; raise without an overlap."""
    origin, begin, shift = intervals.origin, stage_intervals.as_utc(start), 0.0
    if origin is not None:
        if begin is None:
            raise ValueError(
                f"The hypnogram's times count from {origin} but the recording has no "
                "start: set it (raw.set_meas_date) or, if both start together, "
                f"{_DROP_START}."
            )
        shift = (origin - begin).total_seconds()
        intervals = intervals._replace(onset=intervals.onset + shift)
    elif intervals.clock is not None and begin is not None:
        _check_clock(intervals.clock - (begin - begin.normalize()).total_seconds())
    covered = stage_intervals.coverage(intervals, n_epochs)
    n_outside = np.count_nonzero(covered <= EPOCH_DURATION / 2)
    end = n_epochs * EPOCH_DURATION
    if n_outside == n_epochs:
        times = [intervals.onset.min(), intervals.end, 0.0, end]
        names = [f"{t:g} s" for t in times]
        if begin is not None and origin is not None:
            names = [str(begin + pd.Timedelta(t, "s")) for t in times]
        first, last, *recording = names
        raise ValueError(
            f"The hypnogram ({first} to {last}) and the recording "
            f"({' to '.join(recording)}) have no epoch in common; check that they "
            f"belong together and, if both start together, {_DROP_START}."
        )
    if not shift:
        return intervals
    ends = intervals.onset, intervals.onset + intervals.duration
    lost = intervals.duration - np.diff(np.clip(ends, 0, end), axis=0)[0]
    n_lost = lost[intervals.stage >= 0].sum() / EPOCH_DURATION
    message = (
        f"The hypnogram's clock starts {abs(shift):g} s "
        f"{'after' if shift > 0 else 'before'} the recording's, by which it was "
        f"aligned: {n_outside} of {n_epochs} epochs are outside the hypnogram, and "
        f"{n_lost:.0f} scored ones outside the recording."
    )
    # A scoring is not expected to begin on the hour after the recording, nor to leave
    # out one end of it and to exceed the other.
    hours = round(shift / 3600)
    is_hours = hours != 0 and abs(shift - 3600 * hours) <= 1
    if n_outside > _FEW_EPOCHS and (is_hours or n_lost > _FEW_EPOCHS):
        warn(
            f"{message} The clocks may be of different time zones: if both start "
            f"together, {_DROP_START}."
        )
    else:
        logger.info(message)
    return intervals


def _check_clock(late: float) -> None:
    """Warn if a clock without a date begins ``late`` s after the recording's."""
    # Whole hours may be those between time zones.
    late = (late + 1800) % 3600 - 1800
    if abs(late) > EPOCH_DURATION / 2:
        warn(
            "The times of the hypnogram have no date, so it begins with the recording, "
            f"but its clock differs by {late:g} s (and perhaps by hours). Write the "
            "times with their date to align it."
        )
