"""Scale short recordings by the stages found in them.

A night contains every stage, so scaling uses its median spectrum. The median spectrum
of half an hour of N3 is that of N3: scaled by it, N3 would look like the middle of a
night. The stages that were found show how far the recording is from that middle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._constants import STAGES
from .scaling import (
    N_BANDS,
    SHARE,
    band_distances,
    median_distances,
    raise_bands,
    sample_epochs,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

# Recordings are scaled again fully up to the first and not at all from the second
# number of usable epochs. Our choice, on simulated nights.
_SHORT, _LONG = 240, 720
_MIN_EPOCHS = 5  # of a stage in a night
# Bounds in natural logs of power against artefacts and damaged files.
_MAX_LEVEL, _MAX_SHIFT = 10.0, 3.0


def fit_levels(nights: Sequence) -> list[list[float]] | None:
    """Estimate the spectrum of each stage relative to that of its night.

    Parameters
    ----------
    nights : sequence of Night
        Nights with signals scaled by ``"spectrum"``. Nights of less than
        6 h of usable epochs do not count.

    Returns
    -------
    levels : list of shape (5, N_BANDS) | None
        Natural log of power: the mean of the stage minus the median of the night; the
        median of the nights. None if a stage occurs in no night.
    """
    levels = []
    for night in nights:
        if night.usable.sum() >= _LONG:
            signals = np.asarray(night.signals[:])
            distances = band_distances(signals)
            distances -= median_distances(signals[night.usable])
            levels.append(_mean_by_stage(night.targets, distances))
    if not levels or np.isnan(levels).all(axis=0).any():
        return None
    return np.nanmedian(levels, axis=0).round(4).tolist()


def check_levels(levels: Any) -> bool:
    """Return whether these can be levels of `fit_levels`."""
    try:
        array = np.array(levels, dtype=float)
    except (TypeError, ValueError):
        return False
    # NaN compares as False.
    is_bounded = bool((np.abs(array) <= _MAX_LEVEL).all())
    return array.shape == (len(STAGES), N_BANDS) and is_bounded


def rescale(
    signals: NDArray[np.float32],
    usable: NDArray[np.bool_],
    probabilities: NDArray[np.float64],
    levels: list[list[float]],
) -> NDArray[np.float32] | None:
    """Scale one channel of a short recording like a whole night.

    Parameters
    ----------
    signals : array of shape (n_epochs, n_times)
        Epochs scaled by ``"spectrum"``.
    usable : array of bool of shape (n_epochs,)
        The epochs that count, at least one.
    probabilities : array of shape (n_epochs, 5)
        The probabilities of the stages, as found so far.
    levels : list of shape (5, N_BANDS)
        The levels from `fit_levels`.

    Returns
    -------
    signals : array of shape (n_epochs, n_times) | None
        Filtered epochs: the mean spectrum minus the levels of the stages replaces the
        median spectrum. Between 2 h and 6 h the filter is weaker, and from 6 h on the
        result is None.
    """
    share = np.interp(usable.sum(), (_SHORT, _LONG), (1.0, 0.0))
    if share == 0:
        return None
    epochs = sample_epochs(np.flatnonzero(usable))
    sample = signals[epochs]
    expected = (probabilities[epochs] @ np.array(levels)).mean(axis=0)
    middle = band_distances(sample).mean(axis=0) - expected
    shift = (median_distances(sample) - middle).clip(-_MAX_SHIFT, _MAX_SHIFT)
    return raise_bands(signals, SHARE * share * shift)


def _mean_by_stage(
    stages: NDArray[np.int8], distances: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Average over the epochs of each stage; NaN where it has too few epochs."""
    levels = np.full((len(STAGES), N_BANDS), np.nan)
    for stage, level in enumerate(levels):
        epochs = stages == stage
        if epochs.sum() >= _MIN_EPOCHS:
            level[:] = distances[epochs].mean(axis=0)
    return levels
