"""Read stages in any form as intervals, and put intervals on a grid of epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import mne
import numpy as np
import pandas as pd

from .._constants import EPOCH_DURATION, STAGES
from .._utils import warn
from .stage_names import INTEGERS, parse_stage

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from yasa import Hypnogram

_MAJORITY = EPOCH_DURATION / 2 + 1e-6
_DAY = 86_400.0  # unknown names count up to a day before and after the stages
# What an unmarked name such as "W" must tile to be a stage, and the epochs from which
# on a failure is reported; our choice.
_MIN_TILED = 0.9
_MANY = 20
MAX_EPOCHS = 366 * 24 * 120  # a year; more would be a typing error
_NO_STAGE = -128


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
    step : float | None
        The duration of one value in s, if there is one value for each epoch.
    """

    onset: NDArray[np.float64]
    duration: NDArray[np.float64]
    stage: NDArray[np.int8]
    origin: pd.Timestamp | None = None
    step: float | None = None

    @property
    def end(self) -> float:
        """The time in s at which the last interval ends."""
        return float((self.onset + self.duration).max())


def as_utc(time: Any) -> pd.Timestamp | None:
    """Convert a time to UTC; one without a zone is in UTC already, as in MNE."""
    if time is None:
        return None
    time = pd.Timestamp(time)
    return time.tz_localize("UTC") if time.tz is None else time.tz_convert("UTC")


def intervals_from_hypnogram(hypno: Hypnogram) -> Intervals:
    """Turn the runs of a Hypnogram of any epoch duration into intervals."""
    from yasa import Hypnogram

    if not isinstance(hypno, Hypnogram):
        raise TypeError(
            "A hypnogram must be a yasa.Hypnogram, mne.Annotations, a path, or a "
            f"one-dimensional array of stages; found {type(hypno).__name__}."
        )
    if hypno.n_stages != len(STAGES):
        raise ValueError(
            f"The hypnogram has {hypno.n_stages} stages, which do not correspond to "
            f"{', '.join(STAGES)}; pass one of {len(STAGES)} stages."
        )
    # By name: a Hypnogram may have integers of its own (hypno.mapping).
    values = hypno.hypno.map(INTEGERS).to_numpy(dtype=np.int8)
    step = pd.Timedelta(hypno.freq).total_seconds()
    return _runs(values, step)._replace(origin=as_utc(hypno.start))


def intervals_from_annotations(annotations: mne.Annotations) -> Intervals:
    """Pick the sleep stages among annotations."""
    if not isinstance(annotations, mne.Annotations):
        raise TypeError(
            f"Annotations must be mne.Annotations; found {type(annotations).__name__}."
        )
    intervals = pick_stages(
        annotations.onset, annotations.duration, annotations.description
    )
    return intervals._replace(origin=as_utc(annotations.orig_time))


def pick_stages(onset: ArrayLike, duration: ArrayLike, names: ArrayLike) -> Intervals:
    """Pick the sleep stages among events in seconds, by their names.

    Time that only unknown names cover is unscored, with a warning. A ValueError if no
    name is a stage, a stage has no valid time, or unknown names cover more time than
    the stages.
    """
    onset, duration = np.asarray(onset, float), np.asarray(duration, float)
    names = np.asarray(names, dtype=object)
    stage, is_known = _parse_all(names, "annotations")
    is_valid = np.isfinite(onset) & np.isfinite(duration) & (duration >= 0)
    invalid = is_known & ~is_valid
    if invalid.any():
        raise ValueError(
            f"A sleep stage has onset {onset[invalid][0]:g} s and duration "
            f"{duration[invalid][0]:g} s; correct or delete it."
        )
    if not duration[is_known].any():
        raise ValueError(
            "The sleep stages among the annotations all have a duration of 0 s; give "
            "each its duration, such as 30 s."
        )
    intervals = Intervals(onset[is_known], duration[is_known], stage[is_known])
    # BAD is MNE's mark of a bad segment.
    is_bad = np.array([str(name).lower().startswith("bad") for name in names], bool)
    other = ~is_known & is_valid & (duration > 0) & ~is_bad
    if not other.any():
        return intervals
    return _keep_unknown(intervals, onset[other], duration[other], names[other])


def own_stages(annotations: mne.Annotations, n_epochs: int) -> Intervals | None:
    """Pick the stages among a recording's own annotations, None if there are none.

    The onsets count from the first sample. Names such as "W" or "S1" may be event
    markers. They count as stages only if another name is marked as a stage ("Sleep
    stage N2", "Stage 2", NSRR's "REM sleep|5"), or if they tile at least half of the
    recording.
    """
    names = annotations.description.astype(object)
    if not any(parse_stage(name).is_marked for name in names):
        stage = np.array([_integer(name) for name in names], dtype=np.int8)
        onset, duration = annotations.onset, annotations.duration
        is_stage = (stage != _NO_STAGE) & np.isfinite(onset) & (duration > 0)
        bare = Intervals(onset[is_stage], duration[is_stage], stage[is_stage])
        covered = np.flatnonzero(coverage(bare, n_epochs) > _MAJORITY)
        if not covered.size:
            return None
        n_tiled = max(n_epochs / 2, _MIN_TILED * (covered[-1] - covered[0] + 1))
        is_one = len(set(bare.stage[bare.stage >= 0].tolist())) < 2
        if is_one or covered.size < n_tiled:
            _warn_of_bare_names(sorted(set(names[is_stage])), covered.size)
            return None
    return intervals_from_annotations(annotations)._replace(origin=None)


def _warn_of_bare_names(names: list[str], n_epochs: int) -> None:
    if n_epochs >= _MANY:
        warn(
            f"The annotations {names[:10]} cover {n_epochs / 2:g} min of the recording "
            "but do not cover it by several stages, so they are not read as sleep "
            "stages. If they are, rename them (as 'Sleep stage N2') or pass "
            "raw.annotations as hypnogram."
        )


def intervals_from_values(
    values: object, epoch_duration: float = EPOCH_DURATION
) -> Intervals:
    """Turn one integer or name per epoch into intervals."""
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
        array = array.astype(object)
    try:
        if array.dtype == bool:
            raise TypeError
        numbers = array.astype(np.float64)
    except (TypeError, ValueError):
        if not all(isinstance(name, str) for name in array):
            raise TypeError(
                f"Stages must be integers or names; found {array[:5].tolist()}."
            ) from None
        return _intervals_from_names(array, epoch_duration)
    wrong = ~np.isin(numbers, list(INTEGERS.values()))
    if wrong.any():
        found = np.unique(numbers[wrong]).tolist()[:10]
        raise ValueError(
            f"Stages must be YASA's integers ({INTEGERS}); found {found}. Codes of "
            "another table (in R&K's, 4 is stage 4 and 5 is REM) must be replaced by "
            "YASA's or by names."
        )
    return _runs(numbers.astype(np.int8), epoch_duration)


def _intervals_from_names(names: NDArray[np.object_], step: float) -> Intervals:
    stage, is_known = _parse_all(names, "values")
    n_unknown = np.count_nonzero(~is_known)
    if n_unknown:
        unknown = sorted(set(names[~is_known]))
        _report_unknown(unknown, step * n_unknown, step * (names.size - n_unknown))
        stage = np.where(is_known, stage, INTEGERS["UNS"]).astype(np.int8)
    return _runs(stage, step)


def _integer(name: str) -> int:
    integer = parse_stage(str(name)).integer
    return _NO_STAGE if integer is None else integer


def _parse_all(
    names: NDArray[np.object_], what: str
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Return the stages, and which names are known; raise if none is a stage."""
    unique = sorted(set(map(str, names)))
    is_certain = any(_integer(x) >= 0 or parse_stage(x).is_marked for x in unique)
    if not is_certain and (not unique or _NO_STAGE in map(_integer, unique)):
        raise ValueError(
            f"The {what} hold no sleep stage; found {unique[:10]}. A stage is written "
            "'Sleep stage W', 'N2' or similar."
        )
    stage = np.array([_integer(name) for name in names], dtype=np.int8)
    return stage, stage != _NO_STAGE


def _keep_unknown(
    stages: Intervals,
    onset: NDArray[np.float64],
    duration: NDArray[np.float64],
    names: NDArray[np.object_],
) -> Intervals:
    """Warn of time that only unknown names cover, and keep it as unscored."""
    stages_first = stages.onset.min()
    first = min(stages_first, max(onset.min(), stages_first - _DAY))
    last = max(stages.end, min((onset + duration).max(), stages.end + _DAY))
    n_epochs = min(int(np.ceil((last - first) / EPOCH_DURATION)), MAX_EPOCHS)
    others = Intervals(onset - first, duration, np.zeros(onset.size, np.int8))
    known = stages._replace(onset=stages.onset - first)
    by_stage = coverage(known, n_epochs)
    is_lost = coverage(others, n_epochs) - by_stage > EPOCH_DURATION / 2 - 1e-6
    if not is_lost.any():
        return stages
    # How many lost epochs there are before a time.
    n_lost = np.append(0, is_lost.cumsum())
    edges = np.stack([others.onset, others.onset + duration]) / EPOCH_DURATION
    edges = np.rint(edges.clip(0, n_epochs)).astype(int)
    is_guilty = n_lost[edges[1]] > n_lost[edges[0]]
    _report_unknown(
        sorted(set(names[is_guilty])),
        EPOCH_DURATION * np.count_nonzero(is_lost),
        EPOCH_DURATION * np.count_nonzero(by_stage > _MAJORITY),
    )
    where = np.flatnonzero(is_lost)[[0, -1]] * EPOCH_DURATION + first
    return stages._replace(
        onset=np.append(stages.onset, where[0]),
        duration=np.append(stages.duration, where[1] - where[0] + EPOCH_DURATION),
        stage=np.append(stages.stage, np.int8(INTEGERS["UNS"])),
    )


def _report_unknown(unknown: list[str], lost: float, scored: float) -> None:
    """Warn of unknown names, or raise if they cover more time than the stages."""
    names = f"{unknown[:10]}{' and others' * (len(unknown) > 10)}"
    if lost > scored:
        raise ValueError(
            f"Unknown stage names {names} cover {lost / 60:g} min and known sleep "
            f"stages only {scored / 60:g} min. Rename them (as 'Sleep stage N2') or "
            "delete them."
        )
    warn(
        f"Unknown stage names {names} cover {lost / 60:g} min, which become unscored. "
        "Rename them (as 'Sleep stage N2') if they are stages."
    )


def coverage(intervals: Intervals, n_epochs: int) -> NDArray[np.float64]:
    """Return how many seconds of each epoch the intervals cover, (n_epochs,).

    Intervals may overlap: what is covered twice counts once.
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
    """Give each epoch the stage that covers more than half of it, (n_epochs,).

    These are YASA's integers, -2 where no stage covers more than half. Two stages that
    cover more than half of the same epoch are a ValueError.
    """
    values = np.full(n_epochs, INTEGERS["UNS"], dtype=np.int8)
    for integer in (INTEGERS["ART"], *range(len(STAGES))):
        of_stage = intervals.stage == integer
        part = Intervals(*(array[of_stage] for array in intervals[:3]))
        covered = coverage(part, n_epochs) > _MAJORITY
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
    return Intervals(
        np.asarray(first * epoch_duration, np.float64),
        np.asarray(length * epoch_duration, np.float64),
        values[first],
        step=epoch_duration,
    )
