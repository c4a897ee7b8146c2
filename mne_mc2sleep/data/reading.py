"""From what a user passes, recordings and hypnograms, to nights."""

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from numbers import Integral
from typing import Any

import cloudpickle
import mne
import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed, effective_n_jobs
from mne.utils import logger, use_log_level
from numpy.typing import NDArray

from .._constants import UNSCORED
from .._utils import collect_warnings, warn
from ..io.hypnograms import stages_on_grid
from ..io.recordings import Recording, read_recording
from ..io.stage_intervals import as_intervals, own_stages
from ..preprocessing.scaling import scale_signals
from .nights import Night, count_stages

# Fewer recordings for each job are worked on by threads: a new process first imports
# MNE, torch and YASA, which takes as long as staging ten nights (see
# docs/performance.md).
_MIN_FOR_PROCESSES = 20
_INPUT_ERRORS = (TypeError, ValueError, FileNotFoundError, OSError)


def as_list(raws: Any) -> tuple[list, bool]:
    """Return the recordings as a list, and whether they were a list or the like."""
    # A Raw can be indexed too, so it must not be taken for a sequence.
    if isinstance(raws, list | tuple | pd.Series | pd.Index) or (
        isinstance(raws, np.ndarray) and raws.dtype.kind in "OU" and raws.ndim
    ):
        if len(raws) == 0:
            raise ValueError("The list of recordings is empty; pass at least one.")
        return list(raws), True
    return [raws], False


def pair(raws: Any, hypnos: Any, groups: Any) -> tuple[list, list, Sequence]:
    """Return the recordings, and for each a hypnogram or None, and a subject."""
    recordings, is_list = as_list(raws)
    if not is_list:
        hypnos = [_unwrap(hypnos)]
        groups = groups if groups is None else [_unwrap(groups)]
    n_recordings = len(recordings)
    hypnos = [None] * n_recordings if hypnos is None else hypnos
    groups = range(n_recordings) if groups is None else groups
    for values, what in ((hypnos, "hypnograms"), (groups, "groups")):
        # A set or a dict has no order to go by.
        is_list = hasattr(values, "__len__") and not isinstance(
            values, str | os.PathLike | set | dict
        )
        n_values = len(values) if is_list else 1
        if not is_list or n_values != n_recordings:
            raise ValueError(
                f"There are {n_recordings} recordings but {n_values} {what}; pass a "
                "list with one for each."
            )
    if pd.Series(list(groups), dtype=object).isna().any():
        raise ValueError("'groups' has missing values; pass a subject for each.")
    return recordings, list(hypnos), list(groups)


def _unwrap(value: Any) -> Any:
    """Return what belongs to one recording; it may be in a list."""
    is_one = isinstance(value, list | tuple) and len(value) == 1
    # A list of one integer is a hypnogram of one epoch.
    return value[0] if is_one and not isinstance(value[0], Integral) else value


def run_on_recordings(
    function: Callable, recordings: list, *others: Sequence, n_jobs: int | None = None
) -> Iterator[Any]:
    """Yield the results of a function of a recording, several at once by joblib.

    ``others`` are more arguments, one value for each recording. Unless
    :func:`joblib.parallel_config` sets something else, ``n_jobs=None`` is 1, and few
    recordings are worked on by threads, many by processes. Their warnings and input
    errors are raised here and name the recording. An error ends the calls.
    """
    calls, function = [], _PickledOnce(function)
    for index, (recording, *values) in enumerate(zip(recordings, *others, strict=True)):
        name = f"Recording {index + 1} of {len(recordings)}"
        if isinstance(recording, str | os.PathLike):
            name += f" ({recording})"
            # A process that was started before may be in another folder.
            recording = os.path.abspath(os.path.expanduser(recording))
        name = f"{name}: " if len(recordings) > 1 else ""
        calls.append(delayed(_call)(function, name, recording, values, logger.level))
    are_few = len(recordings) < _MIN_FOR_PROCESSES * effective_n_jobs(n_jobs)
    prefer = "threads" if are_few else "processes"
    outcomes = Parallel(n_jobs, return_as="generator", prefer=prefer)(calls)
    # Threads that change the level at the same time can leave another one behind.
    with use_log_level(logger.level), closing(outcomes):
        for result, error, messages in outcomes:
            for message, category in messages:
                warn(message, category)
            if error is not None:
                raise error
            yield result


@dataclass
class _PickledOnce:
    """A function that processes get once: weights take a tenth of staging a night."""

    function: Callable

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    @cached_property
    def _pickled(self) -> bytes:
        return cloudpickle.dumps(self.function)

    def __reduce__(self) -> tuple:
        return _unpickle, (self._pickled,)


@lru_cache(maxsize=1)
def _unpickle(pickled: bytes) -> Callable:
    return cloudpickle.loads(pickled)


def _call(function, name, recording, values, log_level) -> tuple:
    """Return the result of a call, its input error if any, and its warnings."""
    result, error = None, None
    # Another process does not know the level of this one.
    with use_log_level(log_level), collect_warnings() as messages:
        try:
            result = function(recording, *values)
        except _INPUT_ERRORS as raised:
            # Not all classes of errors can be pickled.
            kind = next(kind for kind in _INPUT_ERRORS if isinstance(raised, kind))
            error = kind(f"{name}{raised}")
            error.__cause__ = raised
    return result, error, [(f"{name}{text}", kind) for text, kind in messages]


def read_channel(raw: Any, picks: Any, scaling: str | None) -> Recording:
    """Read one channel on its grid, scaled as asked; see `read_recording`."""
    recording = read_recording(raw, picks)
    signals = scale_signals(recording.signals, recording.usable, scaling)
    return replace(recording, signals=signals)


def read_channels(raw, picks, average_channels, scaling) -> list[Recording]:
    """Read the channel to stage by, or all those whose stages are to be averaged."""
    if average_channels is None:
        return [read_channel(raw, picks, scaling)]
    if isinstance(average_channels, str) or len(average_channels) == 0:
        raise ValueError(
            f"'average_channels' must be a list, got {average_channels!r} instead."
        )
    channels = [read_channel(raw, name, scaling) for name in average_channels]
    found = [channel.ch_name for channel in channels]
    if len(set(found)) < len(found):
        raise ValueError(
            f"'average_channels' {list(average_channels)} names a channel twice: the "
            f"recording's channels of these names are {found}."
        )
    return channels


def read_stages(recording: Recording, hypno: Any, is_needed: bool = True) -> NDArray:
    """Put a hypnogram, or the recording's own annotations, on the recording's grid.

    The stages (n_epochs,) are -1 where unscored. If ``is_needed``, raise without any.
    """
    if hypno is None:
        hypno = own_stages(recording.annotations, recording.n_epochs)
    elif isinstance(hypno, mne.Annotations) and hypno == recording.given_annotations:
        hypno = as_intervals(recording.annotations)
    if hypno is not None:
        return stages_on_grid(hypno, recording.n_epochs, recording.start)
    if is_needed:
        raise ValueError(
            "A recording has no 'Sleep stage ...' annotations, and no hypnogram was "
            "passed for it. Pass one in 'hypnos'."
        )
    return np.full(recording.n_epochs, UNSCORED, dtype=np.int8)


def read_nights(
    raws: Any, hypnos: Any, groups: Any, picks: Any, scaling: str, need_stages: bool
) -> list[Night]:
    """Read the recordings of `MC2SleepClassifier.fit` into memory, one at a time.

    ``need_stages``: raise if no night has a usable, scored epoch.
    """

    def read(raw: Any, hypno: Any, subject: Hashable) -> Night:
        if isinstance(raw, Night):  # prepare_cohort has read it
            if raw.scaling != scaling:
                raise ValueError(
                    f"A night was prepared with scaling={raw.scaling!r}, but the "
                    f"stager needs {scaling!r}: prepare it with scaling={scaling!r}."
                )
            return raw
        recording = read_channel(raw, picks, scaling)
        stages = read_stages(recording, hypno, is_needed=False)
        signals = torch.from_numpy(recording.signals)
        return Night(signals, stages, recording.usable, subject)

    nights = list(run_on_recordings(read, *pair(raws, hypnos, groups), n_jobs=1))
    counts = count_stages(nights)
    if need_stages and not any(counts.values()):
        raise ValueError(
            f"None of the {len(nights)} recordings has a usable epoch with a stage: "
            "pass their hypnograms, or recordings with 'Sleep stage ...' annotations."
        )
    absent = [stage for stage, n_epochs in counts.items() if n_epochs == 0]
    if any(counts.values()) and absent:
        warn(
            f"No epoch of {', '.join(absent)} is among the scored ones: the stager "
            "will hardly ever predict it."
        )
    return nights
