"""Parse stages in any form into intervals, and put these on a grid of epochs."""

import re
import unicodedata
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

import mne
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .._constants import EPOCH_DURATION, STAGES
from .._utils import warn

Seconds = NDArray[np.float64]

MAX_EPOCHS = 366 * 24 * 120  # a year; more would be a typing error
_MAJORITY = EPOCH_DURATION / 2 + 1e-6
_DAY = 86_400.0  # unknown names count up to a day before and after the stages
# What an unmarked name such as "W" must tile to be a stage, and the epochs from which
# on a failure is reported; our choice.
_MIN_TILED = 0.9
_MANY = 20
_NO_STAGE = -128
_NAMES = np.array([*STAGES, "UNS", "ART"], dtype=object)  # by YASA's integers
# YASA's.
INTEGERS = {stage: i for i, stage in enumerate(STAGES)} | {"ART": -1, "UNS": -2}

# Without blanks, accents and capitals. English, German, French, Spanish, Portuguese,
# Italian, Dutch and the Scandinavian languages.
_SPELLINGS = {
    0: "w wk wake awake wakefulness waking wach wachheit eveil eveille veille vigile "
    "vigilia despierto despierta acordado veglia sveglio wakker waak vaken s0 n0 nrem0",
    3: "sws slowwave slowwaves n3n4 s3s4",
    4: "r rem rapideyemovement paradoxical paradoxal paradoxale paradojico sp mor",
    -1: "art artefact artifact artefakt artefacto artefatto mt mvt movement "
    "movementtime bodymovement bewegung bewegungszeit mouvement movimiento movimento",
    -2: "? uns unscored unscorable notscored unknown undefined undetermined "
    "indeterminate unclassified nostage nd na nan none",
}
_INTEGER_OF_NAME = {name: i for i, text in _SPELLINGS.items() for name in text.split()}
# Only after a word for "stage": alone they may be triggers.
_AFTER_STAGE = {"0": 0, "m": -1}
_NREM = re.compile(r"(nrem|nonrem)?(?:stage)?([ns])?(34|[1-4]|iv|i{1,3})")
_DIGITS = {"1": 1, "2": 2, "i": 1, "ii": 2}  # all others are N3
_WORDS = re.compile(
    r"(?P<stage>(?:sleep|schlaf|slaap)?(?:stages?|stade|stadium|stadio|estadio))?"
    r"(?P<sleep>sleep)?(?:fase|sommeil|sueno|sonno|sono)?"
    r"(?P<name>.*?)(?:sleep|schlaf|slaap|stage)?"
)


class StageEvents(NamedTuple):
    """The names of stages as they were scored, with their times in seconds.

    Without onsets, there is one event per epoch of ``step`` seconds.
    """

    names: ArrayLike
    onset: ArrayLike | None = None
    duration: ArrayLike | None = None
    step: float | None = None  # the duration of each event, where these are epochs
    start: Any = None  # time of onset 0, in UTC if without a zone; None: first sample
    scorer: str | None = None
    proba: pd.DataFrame | None = None
    clock: float | None = None  # s from midnight to onset 0, if the date is unknown


class Intervals(NamedTuple):
    """Stages in time; the fields are those of `StageEvents`."""

    onset: Seconds
    duration: Seconds
    stage: NDArray[np.int8]  # YASA's integers: 0 to 4, -1 artefact, -2 unscored
    origin: pd.Timestamp | None = None  # the start in UTC
    step: float | None = None
    clock: float | None = None

    @property
    def end(self) -> float:
        """The time in s at which the last interval ends."""
        return float((self.onset + self.duration).max())


class StageName(NamedTuple):
    """Meaning of a name."""

    integer: int | None  # YASA's; None if the name is not a stage's
    is_marked: bool  # it says that it is a stage: "Sleep stage W", "REM sleep|5"


@lru_cache(maxsize=10_000)
def parse_stage(name: str) -> StageName:
    """Parse the name of a sleep stage in R&K or AASM spelling.

    For example ``"Sleep stage 2"``, ``"StageW"``, ``"NREM-2"``, ``"SLEEP-S0"``
    (RemLogic), ``"Stage 2 sleep|2"`` (NSRR) or ``"Sleep stage N2@@C4-M1"`` (EDF+).
    """
    text, has_code = re.subn(r"\|\d+\s*$", "", name.partition("@@")[0])
    text = unicodedata.normalize("NFKD", re.sub(r"\(.*?\)", "", text)).casefold()
    text = re.sub(r"[^\w?]|_", "", text)  # accents are characters of their own here
    match = _WORDS.fullmatch(text)
    assert match is not None  # the pattern takes any text
    words = match.groupdict()
    body, is_stage = words["name"], words["stage"] is not None
    integer = _INTEGER_OF_NAME.get(body)
    if integer is None and is_stage:
        integer = _AFTER_STAGE.get(body)
    if integer is None and (match := _NREM.fullmatch(body)):
        nrem, letter, digit = match.groups()
        if is_stage or nrem or (letter and digit.isdigit()):
            integer = _DIGITS.get(digit, INTEGERS["N3"])
    is_marked = is_stage or words["sleep"] is not None or has_code > 0
    return StageName(integer, is_marked and integer is not None)


def as_utc(time: Any) -> pd.Timestamp | None:
    """Convert a time to UTC; one without a zone is in UTC already, as in MNE."""
    if time is None:
        return None
    time = pd.Timestamp(time)
    return time.tz_localize("UTC") if time.tz is None else time.tz_convert("UTC")


def as_events(hypno: object) -> StageEvents:
    """Return the events of a hypnogram in memory, of any type, stages or not."""
    if isinstance(hypno, StageEvents):
        return hypno
    if isinstance(hypno, mne.Annotations):
        return StageEvents(
            hypno.description, hypno.onset, hypno.duration, start=hypno.orig_time
        )
    if isinstance(hypno, list | tuple | np.ndarray | pd.Series | pd.Index):
        return events_from_values(hypno)
    return events_from_hypnogram(hypno)


def events_from_hypnogram(hypno: object) -> StageEvents:
    """Return the epochs of a yasa.Hypnogram, which may have any duration."""
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
    return StageEvents(
        # By name: a Hypnogram may have integers of its own (hypno.mapping).
        names=hypno.hypno.array,
        step=pd.Timedelta(hypno.freq).total_seconds(),
        start=hypno.start,
        scorer=hypno.scorer,
        proba=hypno.proba,
    )


def events_from_values(values: object, step: float = EPOCH_DURATION) -> StageEvents:
    """Return one event for each integer or name of an array."""
    # A Hypnogram or Raw in a list would be iterated over without end.
    if isinstance(values, list | tuple) and not all(map(np.isscalar, values)):
        raise TypeError("A list of stages must hold integers or names, one per epoch.")
    array = np.asarray(values)
    if array.ndim != 1 or not array.size:
        raise ValueError(
            "Stages must be a one-dimensional array with one value per epoch; found "
            f"shape {array.shape}."
        )
    numbers = None
    with suppress(TypeError, ValueError):
        numbers = array.astype(np.float64)
    if numbers is None and all(isinstance(name, str) for name in array):
        return StageEvents(array, step=step)
    if numbers is None or array.dtype == bool:
        raise TypeError(
            f"Stages must be integers or names; found {array[:5].tolist()}."
        )
    wrong = ~np.isin(numbers, list(INTEGERS.values()))
    if wrong.any():
        found = np.unique(numbers[wrong]).tolist()[:10]
        raise ValueError(
            f"Stages must be YASA's integers ({INTEGERS}); found {found}. Codes of "
            "another table (in R&K's, 4 is stage 4 and 5 is REM) must be replaced by "
            "YASA's or by names."
        )
    runs = numbers[np.append(True, np.diff(numbers) != 0)]
    rem = np.flatnonzero(runs[1:-1] == INTEGERS["REM"])
    is_beside_n3 = np.array([runs[rem], runs[rem + 2]]) == INTEGERS["N3"]
    # Of four or more periods of REM, at most a third follow N3 in 500 real hypnograms.
    if rem.size > 3 and (is_beside_n3.mean(axis=1) > 0.5).all():
        warn(
            "Most of the REM sleep (4) is between epochs of N3 (3). If 4 is stage 4 of "
            "R&K, replace it by 3, and the code of REM by 4."
        )
    return StageEvents(_NAMES[numbers.astype(np.int8)], step=step)


def to_intervals(events: StageEvents) -> Intervals:
    """Pick the sleep stages among events by their names.

    Time that only unknown names cover is unscored, with a warning.
    """
    names: Any = events.names
    if not isinstance(names, pd.Categorical):
        names = np.asarray(names, dtype=object)
    codes, unique = pd.factorize(names)
    names = np.array([str(name) for name in unique], dtype=object)
    stage_of_name = _parse_all(names)
    if events.onset is None:
        step = events.step or EPOCH_DURATION
        first = np.flatnonzero(np.diff(codes, prepend=-1))
        onset = step * first.astype(np.float64)
        duration = step * np.diff(first, append=codes.size).astype(np.float64)
        codes = codes[first]
    else:
        onset = np.asarray(events.onset, np.float64)
        duration = np.asarray(events.duration, np.float64)
    stage = stage_of_name[codes]
    is_stage = stage != _NO_STAGE
    is_timed = np.isfinite(onset) & np.isfinite(duration) & (duration >= 0)
    invalid = is_stage & ~is_timed
    if invalid.any():
        raise ValueError(
            f"A sleep stage has onset {onset[invalid][0]:g} s and duration "
            f"{duration[invalid][0]:g} s; correct or delete it."
        )
    if not duration[is_stage].any():
        raise ValueError(
            "The sleep stages all have a duration of 0 s; give each its duration, such "
            "as 30 s."
        )
    origin = as_utc(events.start)
    intervals = Intervals(onset, duration, stage, origin, events.step, events.clock)
    if is_stage.all():
        return intervals
    if events.onset is not None:
        # BAD is MNE's mark of a bad segment.
        is_bad = np.array([name.lower().startswith("bad") for name in names])[codes]
        is_kept = is_stage | (is_timed & ~is_bad)
        intervals, codes = _take(intervals, is_kept), codes[is_kept]
    return _mark_unknown(intervals, names[codes])


def as_intervals(hypno: object) -> Intervals:
    """Turn a hypnogram in memory, of any type, into intervals."""
    return hypno if isinstance(hypno, Intervals) else to_intervals(as_events(hypno))


def own_stages(annotations: mne.Annotations, n_epochs: int) -> Intervals | None:
    """Pick the stages among a recording's own annotations, None if there are none.

    Names such as "W" or "S1" may be event markers. They count as stages only if another
    name is marked as a stage ("Sleep stage N2", "Stage 2", NSRR's "REM sleep|5"), or if
    they tile at least half of the recording.
    """
    # Strings of NumPy would look odd in messages.
    names = np.array([str(name) for name in annotations.description], dtype=object)
    onset, duration = annotations.onset, annotations.duration
    events = StageEvents(names, onset, duration)
    parsed = [parse_stage(name) for name in names]
    if any(name.is_marked for name in parsed):
        return to_intervals(events)
    is_stage = np.array([name.integer is not None for name in parsed], dtype=bool)
    is_stage &= np.isfinite(onset + duration) & (duration > 0)
    if not is_stage.any():
        return None
    bare = to_intervals(StageEvents(*(x[is_stage] for x in (names, onset, duration))))
    covered = np.flatnonzero(coverage(bare, n_epochs) > _MAJORITY)
    if not covered.size:
        return None
    n_tiled = max(n_epochs / 2, _MIN_TILED * (covered[-1] - covered[0] + 1))
    if covered.size >= n_tiled and np.unique(bare.stage[bare.stage >= 0]).size > 1:
        return to_intervals(events)
    if covered.size >= _MANY:
        warn(
            f"The annotations {sorted(set(names[is_stage]))[:10]} cover "
            f"{covered.size / 2:g} min of the recording but do not cover it by several "
            "stages, so they are not read as sleep stages. If they are, rename them "
            "(as 'Sleep stage N2') or pass raw.annotations as hypnogram."
        )
    return None


def coverage(intervals: Intervals, n_epochs: int) -> Seconds:
    """Return how many seconds of each epoch the intervals cover, overlaps once."""
    grid = EPOCH_DURATION * np.arange(n_epochs + 1, dtype=np.float64)
    return np.diff(_covered_until(grid, intervals.onset, intervals.duration))


def put_on_grid(intervals: Intervals, n_epochs: int) -> NDArray[np.int8]:
    """Give each epoch the stage that covers more than half of it, -2 if none does."""
    values = np.full(n_epochs, INTEGERS["UNS"], dtype=np.int8)
    for integer in (INTEGERS["ART"], *range(len(STAGES))):
        of_stage = intervals.stage == integer
        covered = coverage(_take(intervals, of_stage), n_epochs) > _MAJORITY
        twice = covered & (values >= 0)
        if twice.any():
            epoch = int(twice.argmax())
            raise ValueError(
                f"Two stages, {STAGES[values[epoch]]} and {STAGES[integer]}, cover the "
                f"epoch at {epoch * EPOCH_DURATION:g} s; delete one of them."
            )
        values[covered] = integer
    return values


def _parse_all(names: NDArray[np.object_]) -> NDArray[np.int8]:
    """Return the stages of different names; raise if none is a stage."""
    parsed = [parse_stage(name) for name in names]
    stages = [_NO_STAGE if x.integer is None else x.integer for x in parsed]
    is_certain = any(stage >= 0 for stage in stages) or any(x.is_marked for x in parsed)
    if not is_certain and (not stages or _NO_STAGE in stages):
        raise ValueError(
            f"The names hold no sleep stage; found {sorted(names)[:10]}. A stage is "
            "written 'Sleep stage W', 'N2' or similar."
        )
    return np.array(stages, dtype=np.int8)


def _take(intervals: Intervals, which: NDArray[np.bool_]) -> Intervals:
    onset, duration = (seconds[which] for seconds in intervals[:2])
    stage = intervals.stage[which]
    return intervals._replace(onset=onset, duration=duration, stage=stage)


def _mark_unknown(events: Intervals, names: NDArray[np.object_]) -> Intervals:
    """Return the stages, and as unscored what only unknown names cover, with a warning.

    Raise if unknown names cover more time than the stages.
    """
    is_stage = events.stage != _NO_STAGE
    stages = events.onset[is_stage], events.duration[is_stage]
    first = stages[0].min()
    limits = np.array([first - _DAY, np.add(*stages).max() + _DAY])
    onset = events.onset.clip(*limits)
    end = (events.onset + events.duration).clip(*limits)
    before, after = np.split(_covered_until(np.append(onset, end), *stages), 2)
    lost = pd.Series(np.where(is_stage, 0.0, end - onset - (after - before)))
    lost = lost.groupby(names).sum()
    unknown = lost.index[lost > (events.step or EPOCH_DURATION) / 2].tolist()
    stage = np.where(is_stage, events.stage, INTEGERS["UNS"]).astype(np.int8)
    known = events._replace(onset=onset, duration=end - onset, stage=stage)
    known = _take(known, is_stage | np.isin(names, unknown))
    if not unknown:
        return known
    scored = _covered_until(limits, *stages)[1]
    seconds = _covered_until(limits, known.onset, known.duration)[1] - scored
    text = f"{unknown[:10]}{' and others' * (len(unknown) > 10)}"
    if seconds > scored:
        raise ValueError(
            f"Unknown stage names {text} cover {seconds / 60:.3g} min and known sleep "
            f"stages only {scored / 60:.3g} min. Rename them (as 'Sleep stage N2') or "
            "delete them."
        )
    warn(
        f"Unknown stage names {text} cover {seconds / 60:.3g} min, which become "
        "unscored. Rename them (as 'Sleep stage N2') if they are stages."
    )
    # A hypnogram may begin with an unknown event, and must keep the scorer's epochs.
    step = events.step or EPOCH_DURATION
    n_early = np.ceil((first - known.onset) / step - 1e-6)
    earlier = np.where(n_early > 0, first - step * n_early, known.onset)
    duration = known.duration + known.onset - earlier
    return known._replace(onset=earlier, duration=duration)


def _covered_until(times: Seconds, onset: Seconds, duration: Seconds) -> Seconds:
    """Return how many seconds intervals cover between the first of times and each."""
    first, last = times.min(), times.max()
    order = np.argsort(onset)
    end = np.maximum.accumulate((onset + duration)[order])
    onset = np.maximum(onset[order], np.append(-np.inf, end[:-1]))
    # Clipped, a duration of years costs neither memory nor precision.
    knots = np.clip(np.column_stack([onset, end]).ravel(), first, last)
    lengths = np.diff(knots, prepend=first)
    lengths[::2] = 0.0  # from the end of one interval to the onset of the next
    return np.interp(times, np.append(first, knots), np.append(0.0, lengths).cumsum())
