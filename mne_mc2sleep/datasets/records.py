"""Scored nights of any cohort on disk: their reading and their folds."""

import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from mne.utils import logger, warn
from sklearn.model_selection import KFold

from .._constants import STAGES
from ..data.cohort_cache import prepare_all
from ..data.nights import Night, StoredEpochs
from ..data.reading import read_channel, read_stages

_WAKE = STAGES.index("WAKE")
_MARGIN = 60  # epochs, 30 min
_TRIMS = ("margin", "balance")


@dataclass(frozen=True)
class NightRecord:
    """Paths of a scored night and the options to read it.

    Parameters
    ----------
    subject : hashable
        The subject; all nights of a subject belong to the same part of a fold.
    recording : Path
        A file that :func:`mne.io.read_raw` reads.
    hypnogram : Path | None
        A file for `read_hypnogram`; None uses the recording's own annotations.
    picks : str | tuple of str | None
        The channel, as in `MC2SleepClassifier`.
    trim : {"margin", "balance"} | None
        How wake outside the sleep is cut. ``"margin"``, as in Sleep-EDF, keeps 30 min
        on each side. ``"balance"``, as in SHHS, keeps as much as there is of the most
        frequent sleep stage, and cuts in the evening first. None keeps all.
    """

    subject: Hashable
    recording: Path
    hypnogram: Path | None
    picks: str | tuple[str, ...] | None = None
    trim: str | None = None

    def __post_init__(self) -> None:
        """Check ``trim`` before any file is read."""
        if self.trim not in (None, *_TRIMS):
            raise ValueError(
                f"'trim' must be None or one of {list(_TRIMS)}; found {self.trim!r}."
            )

    @property
    def name(self) -> str:
        """The file name of the recording without its suffix."""
        return self.recording.stem


class FoundNights(NamedTuple):
    """The nights found in a cohort, and the files skipped."""

    records: list[NightRecord]
    skipped: dict[str, str]
    """The reason for each file, by its name."""


class Fold(NamedTuple):
    """The training, validation and test subjects of one fold."""

    train: tuple[Hashable, ...]
    validation: tuple[Hashable, ...]
    test: tuple[Hashable, ...]

    def split(self, nights: Iterable[Any]) -> tuple[list, ...]:
        """Split nights by their subject, into training, validation and test nights."""
        nights = list(nights)
        return tuple([n for n in nights if n.subject in part] for part in self)


def make_folds(
    subjects: Iterable[Hashable], n_folds: int, n_validation: int
) -> list[Fold]:
    """Make the folds of a cross-validation; each subject is tested in one of them.

    Each fold tests the next consecutive subjects. The validation subjects are evenly
    spaced among the others (our choice: subjects of Sleep-EDF are ordered by age).

    Parameters
    ----------
    subjects : iterable of hashable
        The subjects in their order; repeated ones count once.
    n_folds, n_validation : int
        The number of folds, and of validation subjects in each.

    Returns
    -------
    folds : list of Fold
    """
    subjects = list(dict.fromkeys(subjects))
    n_subjects = len(subjects)
    if not 2 <= n_folds <= n_subjects:
        raise ValueError(
            f"{n_subjects} subjects cannot be split into {n_folds} folds; pass from 2 "
            "to as many folds as subjects."
        )
    if not 0 <= n_validation < n_subjects - -(-n_subjects // n_folds):
        raise ValueError(
            f"With {n_validation} subjects to validate in {n_folds} folds, none of "
            f"{n_subjects} is left to train on; pass fewer, or more folds."
        )
    folds = []
    odd = 2 * np.arange(n_validation) + 1
    for rest, test in KFold(n_folds).split(subjects):
        middles = odd * len(rest) // (2 * n_validation or 1)
        parts = np.delete(rest, middles), rest[middles], test
        folds.append(Fold(*(tuple(subjects[i] for i in part) for part in parts)))
    return folds


def report(records: list[NightRecord], skipped: dict[str, str]) -> FoundNights:
    """Log and return what was found, and why files were skipped."""
    for name, reason in skipped.items():
        logger.warning("Skipped %s: %s", name, reason)
    n_subjects = len({record.subject for record in records})
    text = "Found %d nights of %d subjects; skipped %d files."
    logger.info(text, len(records), n_subjects, len(skipped))
    return FoundNights(records, skipped)


def check_subjects(subjects: Iterable, known: Sequence, data_set: str) -> list:
    """Return the unique subjects; raise if the data set lacks one of them."""
    subjects = list(dict.fromkeys(subjects))
    if unknown := [subject for subject in subjects if subject not in known]:
        names = ", ".join(map(str, known))
        raise ValueError(f"{data_set} has no subjects {unknown}. Pass some of {names}.")
    return subjects


def read_night(record: NightRecord, scaling: str = "none") -> Night:
    """Read a night from its files.

    Parameters
    ----------
    record : NightRecord
    scaling : str
        As in ``MC2SleepClassifier``.

    Returns
    -------
    night : Night
        The signals in µV, in memory, and the stages.
    """
    try:
        recording = read_channel(record.recording, record.picks, scaling)
        stages = read_stages(recording, record.hypnogram)
        part = trim_wake(stages, record.trim)
    except ValueError as error:
        raise ValueError(f"{record.name}: {error}") from error
    signals = torch.from_numpy(recording.signals[part].copy())
    usable = recording.usable[part]
    return Night(signals, stages[part], usable, record.subject, scaling=scaling)


def prepare_nights(
    records: Sequence[NightRecord],
    folder: str | os.PathLike,
    *,
    scaling: str = "none",
    n_jobs: int | None = None,
) -> list[Night]:
    """Prepare nights in a folder, unless they are there, and open them.

    Parameters
    ----------
    records : sequence of NightRecord
    folder : path-like
        Where the nights are prepared. Another ``trim`` uses the same files.
    scaling, n_jobs
        As in :func:`~mne_mc2sleep.data.cohort_cache.prepare_cohort`.

    Returns
    -------
    nights : list of Night
        The nights in the order of ``records``, with the signals on the disk. Those that
        cannot be prepared or trimmed are left out with a warning.
    """
    recordings, hypnos, subjects, picks = (
        [getattr(record, name) for record in records]
        for name in ("recording", "hypnogram", "subject", "picks")
    )
    nights = prepare_all(recordings, hypnos, subjects, picks, folder, scaling, n_jobs)
    trimmed = []
    for record, night in zip(records, nights, strict=True):
        if night is None:
            continue
        try:
            part = trim_wake(night.stages, record.trim)
        except ValueError as error:
            warn(f"{record.name} is left out: {error}")
            continue
        inputs = cast(StoredEpochs, night.inputs).crop(part.start, part.stop)
        stages, usable = night.stages[part], night.usable[part]
        trimmed.append(replace(night, inputs=inputs, stages=stages, usable=usable))
    return trimmed


def trim_wake(stages: np.ndarray, trim: str | None) -> slice:
    """Return the epochs to keep; unscored epochs do not count as sleep."""
    if trim is None:
        return slice(0, stages.size)
    sleep = np.flatnonzero(stages > _WAKE)
    if not sleep.size:
        raise ValueError("There is no epoch of sleep, so wake cannot be trimmed.")
    first, last = sleep[[0, -1]]
    if trim == "margin":
        return slice(max(first - _MARGIN, 0), min(last + 1 + _MARGIN, stages.size))
    wake = np.flatnonzero(stages == _WAKE)
    evening, morning = wake[wake < first], wake[wake > last]
    n_kept = np.bincount(stages[sleep]).max()
    n_excess = max(evening.size + morning.size - n_kept, 0)
    start = evening[:n_excess].max(initial=-1) + 1
    return slice(start, min([*morning[n_kept:], stages.size]))
