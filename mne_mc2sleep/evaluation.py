"""Evaluation of a stager on scored recordings, and scorers for scikit-learn."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import mne
import numpy as np
import pandas as pd
from mne.utils import verbose
from numpy.typing import NDArray

from ._constants import STAGES, UNSCORED
from .data.reading import pair, read_stages, run_on_recordings
from .io.hypnograms import stages_on_grid
from .io.recordings import read_recording
from .metrics import as_stages, expected_calibration_error, score_stages

if TYPE_CHECKING:
    from yasa import Hypnogram


@verbose
def evaluate(
    clf: Any,
    raws: Any,
    hypnos: Any = None,
    groups: Sequence | None = None,
    *,
    picks: str | list[str] | None = None,
    average_channels: list[str] | None = None,
    n_jobs: int | None = None,
    verbose: bool | str | int | None = None,
) -> pd.DataFrame:
    """Stage scored recordings and compare with their hypnograms.

    Parameters
    ----------
    clf : MC2SleepClassifier
        The stager.
    raws, hypnos, groups
        As in `MC2SleepClassifier.fit`, but of subjects that it was not trained on.
    picks, average_channels, n_jobs, verbose
        As in `MC2SleepClassifier.predict`.

    Returns
    -------
    table : DataFrame
        One row per recording, one per subject if ``groups`` are given, and one for the
        pooled epochs. The index holds the paths of the recordings (or their positions,
        from 0), the subjects, and ``"pooled"``. The columns are ``level`` (such as
        ``"subject"``), those of `score_stages`, NaN if no epoch is scored by both, and
        ``ece``, see `expected_calibration_error`.
    """
    raws, hypnos, subjects = pair(raws, hypnos, groups)
    channels = {"picks": picks, "average_channels": average_channels}
    predicted = clf.predict(raws, **channels, n_jobs=n_jobs)
    # Any channel that was staged serves to read a recording's own annotations.
    channel = average_channels[0] if average_channels else picks or clf.picks
    read = partial(read_reference, picks=channel)
    references = list(run_on_recordings(read, raws, hypnos, predicted, n_jobs=1))
    is_path = [isinstance(raw, str | os.PathLike) for raw in raws]
    names = [str(raw) if is_path[i] else i for i, raw in enumerate(raws)]
    subjects = () if groups is None else subjects
    return tabulate_scores(references, predicted, names, subjects)


def tabulate_scores(
    references: Sequence, predicted: Sequence, names: Sequence, groups: Sequence = ()
) -> pd.DataFrame:
    """Return the table of `evaluate` from the stages of a scorer and of a stager."""
    nights = [
        (reference, as_stages(hypno), hypno.proba[list(STAGES)].to_numpy())
        for reference, hypno in zip(references, predicted, strict=True)
    ]
    rows = [(name, "recording", [n]) for name, n in zip(names, nights, strict=True)]
    for group in dict.fromkeys(groups):
        members = [n for n, g in zip(nights, groups, strict=True) if g == group]
        rows.append((group, "subject", members))
    rows.append(("pooled", "pooled", nights))
    table = pd.DataFrame(
        {"name": name, "level": level} | _score(part) for name, level, part in rows
    ).set_index("name")
    if not table["n_epochs"].iloc[-1]:
        raise ValueError("No epoch is scored in both hypnograms: nothing to compare.")
    return table


def stage_scorer(metric: str = "kappa") -> Callable[..., float]:
    """Return a scorer for `sklearn.model_selection`.

    Parameters
    ----------
    metric : {"kappa", "accuracy", "macro_f1"}
        The metric of the pooled epochs.

    Returns
    -------
    scorer : callable
        Pass it as ``scoring`` to :func:`~sklearn.model_selection.cross_val_score` and
        the like, instead of ``"accuracy"``, which fails after minutes of reading a
        ``yasa.Hypnogram`` element by element.
    """
    if metric not in (metrics := ("kappa", "accuracy", "macro_f1")):
        raise ValueError(f"'metric' must be one of {metrics}, got {metric!r} instead.")
    # A function inside this one could not be sent to other processes.
    return partial(_score_pooled, metric=metric)


def _score_pooled(clf: Any, raws: Any, hypnos: Any = None, *, metric: str) -> float:
    return float(evaluate(clf, raws, hypnos)[metric].iloc[-1])


def read_reference(raw: Any, hypno: Any, predicted: Hypnogram, picks: Any) -> NDArray:
    """Return the stages of the scorer on the grid of the recording."""
    if hypno is None or isinstance(hypno, mne.Annotations):
        return read_stages(read_recording(raw, picks), hypno)
    return stages_on_grid(hypno, len(predicted), predicted.start)


def _score(nights: list[tuple[NDArray, NDArray, NDArray]]) -> dict[str, float]:
    reference, predicted, proba = map(np.concatenate, zip(*nights, strict=True))
    scored = (reference != UNSCORED) & (predicted != UNSCORED)
    if not scored.any():
        return {"n_epochs": 0}
    error = expected_calibration_error(proba[scored], reference[scored])
    return score_stages(reference, predicted) | {"ece": error}
