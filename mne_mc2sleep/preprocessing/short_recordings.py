"""Short recordings: scaled anew by the stages found in them, and doubted more."""

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

# Usable epochs up to which a recording is scaled anew wholly, and from which on not at
# all: a night holds every stage. Our choice, on resynthesised nights.
_SHORT, _LONG = 240, 720
_MIN_EPOCHS = 5  # of a stage, for a night to tell where it lies
# Natural logs of power: no stage lies farther from its night, and no mixture of stages
# moves the median by more.
_MAX_LEVEL, _MAX_SHIFT = 10.0, 3.0
# So many epochs would double the temperature that nights need, and the fewest that are
# told apart. Found on resynthesised nights of subjects that no figure is given for.
_DOUBLING, _FEWEST = 10, 15


def fit_levels(nights: Sequence) -> list[list[float]] | None:
    """Learn where the bands of each stage lie from those of the whole night.

    Parameters
    ----------
    nights : sequence of Night
        Their inputs are signals, scaled by ``"spectrum"``. Those of less than 6 h of
        usable epochs do not count.

    Returns
    -------
    levels : list of shape (5, N_BANDS) | None
        Natural log of power: the mean over the epochs of the stage less the median of
        the night, and of these differences the median over the nights. None if any
        stage is in no night.
    """
    levels = []
    for night in nights:
        if night.usable.sum() >= _LONG:
            signals = np.asarray(night.inputs[:])
            middle = median_distances(signals[night.usable])
            levels.append(_levels_of(night.targets, band_distances(signals) - middle))
    if not levels or np.isnan(levels).all(axis=0).any():
        return None
    return np.nanmedian(levels, axis=0).round(4).tolist()


def temperature_factor(n_usable: int) -> float:
    """Return by how much a recording's temperature exceeds that of a night.

    Parameters
    ----------
    n_usable : int
        Usable epochs of the recording.

    Returns
    -------
    factor : float
        1 from 6 h on; of shorter ones 1 + 10 / n, less what that is at 6 h (our
        choice): about what temperatures fitted to cuts of nights follow. Below 15
        epochs it does not grow.
    """
    return 1 + max(_DOUBLING / max(n_usable, _FEWEST) - _DOUBLING / _LONG, 0)


def check_levels(levels: Any) -> bool:
    """Return whether `fit_levels` can have made levels."""
    try:
        array = np.array(levels, dtype=float)
    except (TypeError, ValueError):
        return False
    # NaN compares as False.
    return array.shape == (len(STAGES), N_BANDS) and bool(
        (np.abs(array) <= _MAX_LEVEL).all()
    )


def scale_anew(
    signals: NDArray[np.float32],
    usable: NDArray[np.bool_],
    probabilities: NDArray[np.float64],
    levels: list[list[float]],
) -> NDArray[np.float32] | None:
    """Scale one channel of a short recording as its whole night would be.

    The median spectrum of half an hour of N3 is that of N3: scaled by it, N3 looks as
    the middle of a night does. The stages that were found tell where the middle is.

    Parameters
    ----------
    signals : array of shape (n_epochs, n_times)
        Scaled by ``"spectrum"``, in µV at 100 Hz.
    usable : array of bool of shape (n_epochs,)
        True in one epoch at least; the others do not count.
    probabilities : array of shape (n_epochs, 5)
        Of the stages, as found so far.
    levels : list of shape (5, N_BANDS)
        From `fit_levels`.

    Returns
    -------
    signals : array of shape (n_epochs, n_times) | None
        Filtered so that, in each band, the mean less that of the stages' levels takes
        the place of the median. None if the recording is no short one: 2 h are scaled
        anew wholly, 6 h and more not at all (our choice).
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


def _levels_of(
    stages: NDArray[np.int8], distances: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Average the distances of each stage; NaN where it has too few epochs."""
    levels = np.full((len(STAGES), N_BANDS), np.nan)
    for stage, level in enumerate(levels):
        epochs = stages == stage
        if epochs.sum() >= _MIN_EPOCHS:
            level[:] = distances[epochs].mean(axis=0)
    return levels
