"""Scale short and unusual recordings by the stages found in them.

A night contains every stage, so scaling uses its median spectrum. That of half an hour
of N3 is that of N3: scaled by it, N3 would look like the middle of a night. A day and a
night are mostly wake. The stages that were found show how far the recording is from the
middle of a night. Stages change the shape of the spectrum of half an hour more than
recorders do, so only part of that shape is attributed to the recorder.
``docs/ablations.md`` shows what both are worth.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._constants import STAGES
from . import scaling
from .scaling import N_BANDS, SHARE, band_distances, median_distances

# Usable epochs of half an hour, of a recording whose stages replace the median fully,
# and of a whole night, which is not scaled again. Our choices.
_HALF_HOUR, _SHORT, _LONG = 60, 240, 720
# The mean of the stages of a usual night is at most this far from its median (root mean
# square over the bands, in natural logs of power). Chosen on validation subjects.
_MAX_USUAL = 0.2
# How far the shape of the spectrum of half an hour is trusted, before and after its
# stages were found. Chosen on real half hours (validation subjects).
_SHAPE_BEFORE, _SHAPE_AFTER = 0.15, 0.55
_MIN_EPOCHS = 5  # of a stage in a night
# Bounds in natural logs of power against artefacts and damaged files.
_MAX_SHIFT, _MAX_DISTANCE = 3.0, 6.0


def fit_levels(nights: Sequence) -> list[list[float]] | None:
    """Estimate the spectrum of each stage relative to that of its night.

    The result of shape (5, N_BANDS) is the natural log of power: the mean of the stage
    minus the median of the night, and of these the median of the nights. It is None if
    a stage occurs in no night. The signals must be scaled by ``"spectrum"``; nights of
    less than 6 h of usable epochs do not count.
    """
    levels = np.full((len(nights), len(STAGES), N_BANDS), np.nan)
    for level, night in zip(levels, nights, strict=True):
        if night.usable.sum() >= _LONG:
            signals = np.asarray(night.signals[:])
            distances = band_distances(signals)
            distances -= median_distances(signals[night.usable])
            for stage in range(len(STAGES)):
                epochs = night.targets == stage
                if epochs.sum() >= _MIN_EPOCHS:
                    level[stage] = distances[epochs].mean(axis=0)
    if np.isnan(levels).all(axis=0).any():
        return None
    return np.nanmedian(levels, axis=0).round(4).tolist()


def check_levels(levels: Any) -> bool:
    """Return whether these can be levels of `fit_levels`."""
    try:
        array = np.array(levels, dtype=float)
        return array.shape == (len(STAGES), N_BANDS) and bool(np.isfinite(array).all())
    except (TypeError, ValueError):
        return False


def rescale(
    signals: NDArray,
    usable: NDArray,
    probabilities: NDArray | None,
    levels: list[list[float]],
) -> NDArray | None:
    """Scale one channel of a recording like a usual whole night.

    ``signals`` (n_epochs, n_times) are scaled by ``"spectrum"``; ``probabilities``
    (n_epochs, 5) are those found so far, None before the first staging.

    The result is filtered as if the spectrum of the whole night had been estimated from
    the stages, with its shape trusted in part. The stages count fully up to 2 h, less
    up to 6 h, and fully in a recording of unusual stages, however long. The result is
    None if they do not count.
    """
    n_usable = usable.sum()
    epochs = scaling.sample_epochs(np.flatnonzero(usable))
    share = np.interp(n_usable, (_SHORT, _LONG), (1.0, 0.0))
    if probabilities is not None:
        expected = (probabilities[epochs] @ np.array(levels)).mean(axis=0)
        if np.sqrt(np.square(expected).mean()) > _MAX_USUAL:
            share = 1.0
    if share == 0:
        return None
    sample = signals[epochs]
    # The scaling left 1 - SHARE of the distance from the reference.
    remaining = median_distances(sample)
    distance = night = remaining / (1 - SHARE)
    if probabilities is not None:
        shift = remaining - (band_distances(sample).mean(axis=0) - expected)
        night = distance - share * shift.clip(-_MAX_SHIFT, _MAX_SHIFT)
    night = trust_shape(night, n_usable, probabilities is not None)
    limit = SHARE * _MAX_DISTANCE
    change = (SHARE * (distance - night)).clip(-limit, limit)
    return scaling.raise_bands(signals, change)


def trust_shape(distances: NDArray, n_usable: int, stages_known: bool) -> NDArray:
    """Shrink the shape of a short recording's spectrum, but not its gain.

    The gain is the mean over the bands of the ``distances`` (N_BANDS,) from the
    reference. Of the rest a share is kept, more if the stages are known, all at 6 h.
    """
    share = _SHAPE_AFTER if stages_known else _SHAPE_BEFORE
    share = np.interp(n_usable, (_HALF_HOUR, _LONG), (share, 1.0))
    gain = distances.mean()
    return gain + share * (distances - gain)
