"""Read stages in any form as intervals, and put intervals on a grid of epochs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import mne
import numpy as np
import pandas as pd

from .._constants import EPOCH_DURATION, STAGES

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from yasa import Hypnogram

INTEGERS = {stage: i for i, stage in enumerate(STAGES)} | {"ART": -1, "UNS": -2}
"""YASA's integers."""

_SPELLINGS = {
    0: ["w", "wake", "s0"],
    1: ["n1", "s1", "nrem1"],
    2: ["n2", "s2", "nrem2"],
    3: ["n3", "s3", "s4", "nrem3", "nrem4"],
    4: ["r", "rem"],
    -1: ["art", "mt", "movement time"],
    -2: ["uns", "unscored", "nd", "?"],
}
# Alone these may be triggers or events; after "Sleep stage" they are stages.
_SPELLINGS_AFTER_PREFIX = {0: ["0"], 1: ["1"], 2: ["2"], 3: ["3", "4"], -1: ["m"]}
_INTEGER_OF_NAME = {name: i for i, names in _SPELLINGS.items() for name in names}
_INTEGER_AFTER_PREFIX = _INTEGER_OF_NAME | {
    name: i for i, names in _SPELLINGS_AFTER_PREFIX.items() for name in names
}
_PREFIX = re.compile(r"(?:sleep[\s_-]*)?stage(?![a-z])[\s_:-]*")


class Intervals(NamedTuple):
    """Stages in time.

    Parameters
    ----------
    onset, duration : array of shape (n_intervals,)
        In seconds.
    stage : array of int8, shape (n_intervals,)
        YASA's integers: 0 to 4, -1 artefact, -2 unscored.
    origin : Timestamp | None
        The time (UTC) of onset 0. None: the recording's first sample.
    """

    onset: NDArray[np.float64]
    duration: NDArray[np.float64]
    stage: NDArray[np.int8]
    origin: pd.Timestamp | None = None


def as_utc(time: object) -> pd.Timestamp | None:
    """Convert a time to UTC; one without a zone is in UTC already, as in MNE."""
    if time is None:
        return None
    time = pd.Timestamp(time)
    return time.tz_localize("UTC") if time.tz is None else time.tz_convert("UTC")


def intervals_from_hypnogram(hypno: Hypnogram) -> Intervals:
    """Turn the runs of a Hypnogram, whatever its epoch duration, into intervals."""
    from yasa import Hypnogram

    if not isinstance(hypno, Hypnogram):
        raise TypeError(
            "A hypnogram must be a yasa.Hypnogram, mne.Annotations, a path, or a "
            f"one-dimensional array of stages; found {type(hypno).__name__}."
        )
    if hypno.n_stages != len(STAGES):
        raise ValueError(
            f"The hypnogram has {hypno.n_stages} stages, which cannot be told apart as "
            f"{', '.join(STAGES)}; pass one of {len(STAGES)} stages."
        )
    # By name: a Hypnogram may have integers of its own (hypno.mapping).
    values = hypno.hypno.map(INTEGERS).to_numpy(dtype=np.int8)
    duration = pd.Timedelta(hypno.freq).total_seconds()
    return _runs(values, duration)._replace(origin=as_utc(hypno.start))


def intervals_from_annotations(annotations: mne.Annotations) -> Intervals:
    """Pick the sleep stages among annotations."""
    if not isinstance(annotations, mne.Annotations):
        raise TypeError(
            f"Annotations must be mne.Annotations; found {type(annotations).__name__}."
        )
    names = annotations.description.astype(object)
    unique = sorted(set(names))
    integers = {name: _stage_integer(name) for name in unique}
    unknown = [
        name
        for name in unique
        if integers[name] is None and _PREFIX.match(name.strip().lower())
    ]
    if unknown:
        raise ValueError(
            f"The annotations hold unknown sleep stages {unknown}; rename them (as "
            "'Sleep stage N2') or delete them."
        )
    is_stage = np.array([integers[name] is not None for name in names], dtype=bool)
    if not is_stage.any():
        raise ValueError(
            f"The annotations hold no sleep stage; found descriptions {unique[:10]}. "
            "A stage is written 'Sleep stage W', 'Sleep stage N2' or alike."
        )
    onset, duration = annotations.onset[is_stage], annotations.duration[is_stage]
    invalid = ~(np.isfinite(onset) & np.isfinite(duration) & (duration >= 0))
    if invalid.any():
        raise ValueError(
            f"A sleep stage has onset {onset[invalid][0]:g} s and duration "
            f"{duration[invalid][0]:g} s; correct or delete it."
        )
    if not duration.any():
        raise ValueError(
            "The sleep stages among the annotations all have a duration of 0 s; give "
            "each its duration, such as 30 s."
        )
    stage = np.array([integers[name] for name in names[is_stage]], dtype=np.int8)
    return Intervals(onset, duration, stage, as_utc(annotations.orig_time))


def has_stages(annotations: mne.Annotations) -> bool:
    """Tell whether any of the annotations is a sleep stage."""
    return any(_stage_integer(name) is not None for name in annotations.description)


def intervals_from_values(values: object) -> Intervals:
    """Turn one integer or name per 30-s epoch into intervals."""
    # A Hypnogram or Raw in a list would be iterated over without end.
    if isinstance(values, list | tuple) and not all(map(np.isscalar, values)):
        raise TypeError("A list of stages must hold integers or names, one per epoch.")
    array = np.asarray(values)
    if array.ndim != 1 or not array.size:
        raise ValueError(
            "Stages must be a one-dimensional array with one value per epoch; found "
            f"shape {array.shape}."
        )
    if isinstance(array[0], str):
        array = _integers_from_names(array.astype(object))
    try:
        if array.dtype == bool:
            raise TypeError
        array = array.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"Stages must be integers or names; found {array[:5].tolist()}."
        ) from None
    wrong = ~np.isin(array, list(INTEGERS.values()))
    if wrong.any():
        raise ValueError(
            f"Stages must be YASA's integers ({INTEGERS}); found "
            f"{np.unique(array[wrong]).tolist()[:10]}."
        )
    return _runs(array.astype(np.int8), EPOCH_DURATION)


def coverage(intervals: Intervals, n_epochs: int) -> NDArray[np.float64]:
    """Measure how much of each epoch is covered by intervals, however many.

    Parameters
    ----------
    intervals : Intervals
        They may overlap: what is covered twice counts once.
    n_epochs : int
        The number of epochs of the grid.

    Returns
    -------
    seconds : array of shape (n_epochs,)
        The seconds of each 30-s epoch, from 0 s, that are covered.
    """
    grid = EPOCH_DURATION * np.arange(n_epochs + 1)
    order = np.argsort(intervals.onset)
    onset = intervals.onset[order]
    end = np.maximum.accumulate(onset + intervals.duration[order])
    onset = np.maximum(onset, np.concatenate(([-np.inf], end[:-1])))
    # Clipped, a duration of years costs neither memory nor precision.
    knots = np.clip(np.column_stack([onset, end]).ravel(), 0.0, grid[-1])
    lengths = np.diff(knots, prepend=0.0)
    lengths[::2] = 0.0  # from the end of one interval to the onset of the next
    return np.diff(
        np.interp(grid, np.append(0.0, knots), np.append(0.0, lengths).cumsum())
    )


def put_on_grid(intervals: Intervals, n_epochs: int) -> NDArray[np.int8]:
    """Give each epoch the stage that covers more than half of it.

    Parameters
    ----------
    intervals : Intervals
        The stages, with onsets from the first epoch.
    n_epochs : int
        The number of epochs.

    Returns
    -------
    values : array of int8, shape (n_epochs,)
        YASA's integers, -2 where no stage covers more than half.

    Raises
    ------
    ValueError
        If two stages cover more than half of the same epoch.
    """
    values = np.full(n_epochs, INTEGERS["UNS"], dtype=np.int8)
    for integer in (INTEGERS["ART"], *range(len(STAGES))):
        of_stage = intervals.stage == integer
        part = Intervals(*(array[of_stage] for array in intervals[:3]))
        covered = coverage(part, n_epochs) > EPOCH_DURATION / 2 + 1e-6
        twice = covered & (values >= 0)
        if twice.any():
            epoch = int(twice.argmax())
            raise ValueError(
                f"Two stages, {STAGES[values[epoch]]} and {STAGES[integer]}, cover the "
                f"epoch at {epoch * EPOCH_DURATION:g} s; delete one of them."
            )
        values[covered] = integer
    return values


def _runs(values: NDArray[np.int8], epoch_duration: float) -> Intervals:
    """Merge consecutive equal stages."""
    first = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    length = np.diff(np.append(first, values.size))
    return Intervals(first * epoch_duration, length * epoch_duration, values[first])


def _integers_from_names(names: NDArray[np.object_]) -> NDArray[np.int64]:
    integers = {name: _stage_integer(str(name)) for name in set(names)}
    unknown = sorted(str(name) for name, i in integers.items() if i is None)
    if unknown:
        raise ValueError(f"Unknown stage names {unknown}; use {', '.join(INTEGERS)}.")
    return np.array([integers[name] for name in names])


def _stage_integer(name: str) -> int | None:
    """Find YASA's integer for a stage's name, None if it names no stage."""
    text = name.strip().lower()
    # "SLEEP-S2" (REMlogic, Compumedics) and "Stage 2 sleep|2" (NSRR)
    text = re.sub(r"( sleep)?(\|\d+)?$", "", text.removeprefix("sleep-"))
    bare = _PREFIX.sub("", text, count=1)
    return (_INTEGER_OF_NAME if bare == text else _INTEGER_AFTER_PREFIX).get(bare)
