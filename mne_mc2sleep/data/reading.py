"""From what a user passes, recordings and hypnograms, to nights."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed, effective_n_jobs
from mne.utils import logger, use_log_level

from .._constants import UNSCORED
from .._utils import collect_warnings, warn
from ..io.hypnograms import stages_on_grid
from ..io.recordings import read_recording
from ..io.stage_intervals import own_stages
from ..preprocessing.scaling import scale_signals
from .nights import Night, count_stages

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from typing import Any

    from mne.io import BaseRaw
    from numpy.typing import NDArray

    from ..io.recordings import Recording
    from ..preprocessing.novelty import Novelty

# Fewer recordings for each job are worked on by threads: a new process first imports
# MNE, torch and YASA, which takes as long as staging ten nights (see
# docs/performance.md).
_MIN_FOR_PROCESSES = 20
_INPUT_ERRORS = (TypeError, ValueError, FileNotFoundError, OSError)


def as_list(raws: Any) -> tuple[list, bool]:
    """Return the recordings as a list, and whether they were one.

    A list may be a list, a tuple, a NumPy array of paths or objects, or a pandas Series
    or Index.
    """
    # A Raw can be indexed too, so it must not be taken for a sequence.
    if isinstance(raws, list | tuple | pd.Series | pd.Index) or (
        isinstance(raws, np.ndarray) and raws.dtype.kind in "OU" and raws.ndim
    ):
        if len(raws) == 0:
            raise ValueError("The list of recordings is empty; pass at least one.")
        return list(raws), True
    return [raws], False


def pair(raws: Any, values: Any, what: str) -> tuple[list, list]:
    """Return the recordings and one of ``values`` for each, None where not given."""
    recordings, is_list = as_list(raws)
    if values is None:
        return recordings, [None] * len(recordings)
    if not is_list:
        is_one = isinstance(values, list | tuple) and len(values) == 1
        wrapped = is_one and not isinstance(values[0], Integral)
        return recordings, [values[0] if wrapped else values]
    # A set or a dict has no order to go by.
    is_list = hasattr(values, "__len__") and not isinstance(
        values, str | os.PathLike | set | dict
    )
    n_values = len(values) if is_list else 1
    if not is_list or n_values != len(recordings):
        raise ValueError(
            f"There are {len(recordings)} recordings but {n_values} {what}; pass a "
            "list with one for each recording."
        )
    values = list(values)
    if what == "groups" and pd.Series(values, dtype=object).isna().any():
        raise ValueError(
            "'groups' has missing values; pass the subject of each recording."
        )
    return recordings, values


def run_on_recordings(
    function: Callable, recordings: list, *others: Sequence, n_jobs: int | None = None
) -> Iterator[Any]:
    """Yield the results of a function of a recording, several at once by joblib.

    ``others`` are more arguments, one value for each recording. ``n_jobs=None`` is 1,
    unless :func:`joblib.parallel_config` sets another number or a cluster. Recordings
    are worked on by threads if they are few, else by processes, unless it names a
    backend.

    Warnings and input errors, also those of other processes, are raised here, point to
    the user's code and name the recording. An error ends the calls.
    """
    # A process that was started before may be in another folder.
    whole = [
        os.path.abspath(os.path.expanduser(r)) if _is_path(r) else r for r in recordings
    ]
    arguments = zip(whole, *others, strict=True)
    n_workers = effective_n_jobs(n_jobs)
    are_few = len(recordings) < _MIN_FOR_PROCESSES * n_workers
    prefer = "threads" if are_few else "processes"
    calls = Parallel(n_jobs, return_as="generator", prefer=prefer)(
        delayed(_call)(function, values, logger.level) for values in arguments
    )
    # Threads that change the level at the same time can leave another one behind.
    with use_log_level(logger.level), closing(calls):
        for index, (result, error, messages) in enumerate(calls):
            name = _name(index, recordings)
            for message, category in messages:
                warn(f"{name}{message}", category)
            if error is not None:
                raise _as_input_error(error, f"{name}{error}") from error
            yield result


def _call(function: Callable, arguments: tuple, log_level: int) -> tuple:
    """Return the result of a call, its input error if any, and its warnings."""
    result, error = None, None
    # Another process does not know the level of this one.
    with use_log_level(log_level), collect_warnings() as messages:
        try:
            result = function(*arguments)
        except _INPUT_ERRORS as raised:
            # Not all classes of errors can be pickled.
            error = _as_input_error(raised, str(raised))
            error.__cause__ = raised
    return result, error, messages


def _is_path(recording: Any) -> bool:
    return isinstance(recording, str | os.PathLike)


def _name(index: int, recordings: list) -> str:
    if len(recordings) == 1:
        return ""
    path = f" ({recordings[index]})" if _is_path(recordings[index]) else ""
    return f"Recording {index + 1} of {len(recordings)}{path}: "


def _as_input_error(error: Exception, message: str) -> Exception:
    kind = next(kind for kind in _INPUT_ERRORS if isinstance(error, kind))
    return kind(message)


def read_channel(
    raw: BaseRaw | str | os.PathLike, picks: Any, scaling: str | None
) -> Recording:
    """Read one channel on its grid, scaled as asked; see `read_recording`."""
    recording = read_recording(raw, picks)
    signals = scale_signals(recording.signals, recording.usable, scaling)
    return replace(recording, signals=signals)


def read_channels(
    raw: BaseRaw | str | os.PathLike,
    picks: Any,
    average_channels: Sequence[str] | None,
    scaling: str | None,
) -> list[Recording]:
    """Read the channel to stage by, or all those whose stages are to be averaged."""
    if average_channels is None:
        return [read_channel(raw, picks, scaling)]
    if isinstance(average_channels, str) or len(average_channels) == 0:
        raise ValueError(
            "'average_channels' must be a list of names of channels, got "
            f"{average_channels!r} instead."
        )
    channels = [read_channel(raw, name, scaling) for name in average_channels]
    found = [channel.ch_name for channel in channels]
    if len(set(found)) < len(found):
        raise ValueError(
            f"'average_channels' {list(average_channels)} names a channel twice: the "
            f"recording's channels of these names are {found}."
        )
    return channels


def warn_if_novel(recording: Recording, found: Novelty) -> None:
    """Warn if a recording is unlike the training data."""
    if found.is_novel:
        warn(
            f"Channel {recording.ch_name!r} is unlike the recordings that the stager "
            f"was trained on: {found.description}. Is it the right channel, in the "
            "right unit, EEG of a sleeping human? The probabilities of these epochs "
            "were lowered; do not trust the stages."
        )


def read_stages(
    recording: Recording, hypno: Any, is_needed: bool = True
) -> NDArray[np.int8]:
    """Put a hypnogram, or the recording's own annotations, on the recording's grid.

    ``hypno`` has any form that `MC2SleepClassifier.fit` takes. The stages, of shape
    (n_epochs,), are -1 where unscored. A recording without stages is an error if
    ``is_needed``.
    """
    if hypno is not None and hypno is recording.given_annotations:
        return stages_on_grid(recording.annotations, recording.n_epochs)
    if hypno is not None:
        return stages_on_grid(hypno, recording.n_epochs, recording.start)
    intervals = own_stages(recording.annotations, recording.n_epochs)
    if intervals is not None:
        return stages_on_grid(intervals, recording.n_epochs)
    if is_needed:
        raise ValueError(
            "A recording has no 'Sleep stage ...' annotations, and no hypnogram was "
            "passed for it. Pass one in 'hypnos'."
        )
    return np.full(recording.n_epochs, UNSCORED, dtype=np.int8)


def read_nights(
    raws: Any,
    hypnos: Any,
    groups: Sequence | None,
    picks: Any,
    scaling: str | None,
    need_stages: bool,
) -> list[Night]:
    """Read recordings into memory, one at a time, with their stages.

    ``raws``, ``hypnos`` and ``groups`` are those of ``MC2SleepClassifier.fit``, the
    nights hold signals in µV. If ``need_stages``, it is an error if no night has a
    usable, scored epoch.
    """
    recordings, hypnos = pair(raws, hypnos, "hypnograms")
    subjects: Sequence[Hashable] = range(len(recordings))
    if groups is not None:
        _, subjects = pair(raws, groups, "groups")

    def read(raw: Any, hypno: Any, subject: Hashable) -> Night:
        recording = read_channel(raw, picks, scaling)
        stages = read_stages(recording, hypno, is_needed=False)
        signals = torch.from_numpy(recording.signals)
        return Night(signals, stages, recording.usable, subject)

    nights = list(run_on_recordings(read, recordings, hypnos, subjects, n_jobs=1))
    _check_stages(nights, need_stages)
    return nights


def _check_stages(nights: Sequence[Night], need_stages: bool) -> None:
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
            "cannot learn this and will hardly ever predict it."
        )
