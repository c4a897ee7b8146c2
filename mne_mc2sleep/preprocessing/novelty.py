"""Tell whether a recording is like those that a stager was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.covariance import ledoit_wolf

from .epoch_features import (
    NAMES,
    SPREAD_OF_NOISE,
    describe_epochs,
    spread_of_shape,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

# All of these are our choice.
FAR_SHARE = 0.2  # of the usable epochs: beyond, the recording is far
MOST_SHARE = 0.5  # of the usable epochs: beyond, all of them count as far
UNUSABLE_SHARE = 0.5  # of all epochs, unless the training had more
QUANTILE = 0.999  # of the training's distances: beyond, an epoch is far
MAX_NIGHTS = 100  # enough for steady statistics, and fast
_MIN_MARGIN = 0.25  # beyond that quantile: other nights have other artefacts
_MIN_STD = 0.1  # of a feature, about that of its estimate from one epoch

_STEADINESS = "change of the spectrum within half an hour"
_N_FEATURES = len(NAMES)


@dataclass(frozen=True, eq=False)
class Familiarity:
    """How like the training one channel of a recording is."""

    distances: NDArray[np.float64]
    """Array of shape (n_epochs,): from 1 on an epoch is far; 0 where it is unusable."""
    is_far: bool
    """Whether the recording is far, see `measure`."""
    description: str
    """What is far: the figure found and the one expected; empty if nothing is."""


def fit_profile(nights: Sequence) -> dict[str, Any] | None:
    """Describe the nights that a stager is trained on.

    Parameters
    ----------
    nights : sequence of Night
        Their inputs are signals, scaled as the network gets them. Of more than
        ``MAX_NIGHTS``, so many are taken in even steps.

    Returns
    -------
    profile : dict | None
        What `measure` needs and JSON can hold; None if no epoch is usable.

    Notes
    -----
    An epoch is described by the logs of: its amplitude, its power in 12 bands of half
    an octave from 0.5 Hz, the fluctuation of these within the epoch, the highest peak
    of its spectrum, its kurtosis, and 1 - its highest autocorrelation at 0.4-2 s. The
    profile holds their mean, their shrunk covariance (Ledoit and Wolf 2004), and as the
    limit the 99.9th percentile of the Mahalanobis distance of the training's epochs,
    widened for few nights or epochs. Besides, it holds how much the shape of the
    spectrum changes within 60 usable epochs, which noise does not; there the limit is
    the middle between the 0.1th percentile and what noise has. All of it is our choice.
    """
    nights = sample_nights(nights)
    if not nights:
        return None
    features = [
        describe_epochs(np.asarray(night.inputs[:])[night.usable]) for night in nights
    ]
    pooled = np.concatenate(features)
    mean, covariance = pooled.mean(axis=0), _shrunk_covariance(pooled)
    # Few nights do not show how much nights differ, nor few epochs how epochs do.
    margin = 1 / len(features) + 5 * _N_FEATURES / len(pooled)
    margin = 1 + max(margin, _MIN_MARGIN)
    limit = margin * np.quantile(_distances(pooled, mean, covariance), QUANTILE)
    steady = np.concatenate([spread_of_shape(night) for night in features])
    steady = steady[np.isfinite(steady)]
    steadiness = None
    if steady.size:
        low = np.quantile(steady, 1 - QUANTILE)
        # Few nights hardly show how steady a night can be, but noise is known.
        low = min(low, (low + SPREAD_OF_NOISE) / 2)
        steadiness = [_short(steady.mean()), _short(steady.mean() - low + 1e-3)]
    return {
        "mean": _short(mean),
        "covariance": _short(covariance),
        "limit": _short(limit),
        "steadiness": steadiness,
        "unusable": float(max(1 - night.usable.mean() for night in nights)),
    }


def measure(
    profile: dict[str, Any], signals: NDArray[np.float32], usable: NDArray[np.bool_]
) -> Familiarity:
    """Compare one channel of a recording with the nights of the training.

    Parameters
    ----------
    profile : dict
        From `fit_profile`.
    signals : array of shape (n_epochs, n_times)
        The epochs as the network gets them.
    usable : array of bool of shape (n_epochs,)
        True in one epoch at least.

    Returns
    -------
    familiarity : Familiarity
        The recording is far if more than ``FAR_SHARE`` of its usable epochs are beyond
        the limit of the training, or if more of its epochs are unusable than in the
        training and than ``UNUSABLE_SHARE``. If more than ``MOST_SHARE`` are beyond it,
        so are all, at a distance of 1 at least. Whether the spectrum changes as that of
        sleep is not asked of recordings of less than 60 usable epochs.
    """
    features = describe_epochs(np.asarray(signals)[usable])
    mean, covariance = np.array(profile["mean"]), np.array(profile["covariance"])
    ratios = _distances(features, mean, covariance) / profile["limit"]
    spread = spread_of_shape(features)
    if profile["steadiness"]:
        expected, limit = profile["steadiness"]
        ratios = np.fmax(ratios, (expected - spread) / limit)
    far = ratios >= 1
    share, unusable = far.mean(), 1 - usable.mean()
    distances = np.zeros(len(usable))
    distances[usable] = ratios.clip(1) if share > MOST_SHARE else ratios
    parts = []
    if share > FAR_SHARE:
        found = _describe(profile, features[far], spread[far])
        parts.append(
            f"{share:.0%} of its usable epochs are far, {FAR_SHARE:.0%} at most "
            f"expected ({found})"
        )
    if unusable > max(UNUSABLE_SHARE, profile["unusable"]):
        expected = profile["unusable"]
        parts.append(
            f"{unusable:.0%} of its epochs are unusable, {expected:.0%} at most in the "
            "training"
        )
    return Familiarity(distances, bool(parts), "; ".join(parts))


def sample_nights(nights: Sequence) -> list:
    """Return ``MAX_NIGHTS`` nights with usable epochs in even steps, or all."""
    nights = [night for night in nights if night.usable.any()]
    return nights[:: -(-len(nights) // MAX_NIGHTS) or 1]


def soften(
    probabilities: NDArray[np.float64],
    familiarity: Sequence[Familiarity],
    usable: Sequence[NDArray[np.bool_]],
) -> NDArray[np.float64]:
    """Lower the probabilities where the signals are unlike the training.

    Parameters
    ----------
    probabilities : array of shape (n_epochs, 5)
        Of a recording.
    familiarity : sequence of Familiarity
        Of each of its channels; none changes nothing.
    usable : sequence of array of bool of shape (n_epochs,)
        Of each channel, too.

    Returns
    -------
    probabilities : array of shape (n_epochs, 5)
        The same ones unless a channel is far. In its far epochs, a share of them is
        kept, the rest spread evenly over the stages: the share is 1 / (2 distance), so
        that none exceeds 0.6 and the order of the stages stays (our choice). Of several
        channels that are usable in an epoch, it is the mean share.
    """
    if not any(channel.is_far for channel in familiarity):
        return probabilities
    shares = [
        np.where(c.is_far & (c.distances >= 1), 0.5 / c.distances.clip(1), 1)
        for c in familiarity
    ]
    weights = np.array(usable)
    share = (shares * weights).sum(axis=0) / weights.sum(axis=0).clip(1)
    share = np.where(weights.any(axis=0), share, 1)[:, None]
    uniform = 1 / probabilities.shape[1]
    return np.where(
        share < 1, uniform + share * (probabilities - uniform), probabilities
    )


def check_profile(profile: Any) -> bool:
    """Return whether `fit_profile` can have made a profile."""
    names = ("mean", "covariance", "limit", "steadiness", "unusable")
    try:
        mean, covariance, limit, steadiness, unusable = (
            np.array(profile[name] or (0, 1) if name == "steadiness" else profile[name])
            for name in names
        )
        shapes = [a.shape for a in (mean, covariance, limit, steadiness, unusable)]
        n = _N_FEATURES
        is_sound = shapes == [(n,), (n, n), (), (2,), ()]
        is_sound = is_sound and limit > 0 and steadiness[1] > 0
        is_sound = is_sound and np.linalg.eigvalsh(covariance)[0] > 0
        is_sound = is_sound and np.isfinite([*mean, limit, *steadiness, unusable]).all()
    except (KeyError, TypeError, ValueError, np.linalg.LinAlgError):
        return False
    return bool(is_sound)


def _shrunk_covariance(features: NDArray[np.float64]) -> NDArray[np.float64]:
    stds = np.hypot(features.std(axis=0), _MIN_STD)
    # Shrunk when all features have one scale: it shrinks to a multiple of the identity.
    covariance, _ = ledoit_wolf((features - features.mean(axis=0)) / stds)
    return (covariance + 0.01 * np.eye(len(stds))) * np.outer(stds, stds)


def _distances(features, mean, covariance) -> NDArray[np.float64]:
    """Return Mahalanobis distances per epoch."""
    root = np.linalg.cholesky(covariance)
    return np.linalg.norm(np.linalg.solve(root, (features - mean).T), axis=0)


def _describe(profile, features, spread) -> str:
    """Return in words what is farthest: the median found, and the range expected."""
    mean, stds = np.array(profile["mean"]), np.sqrt(np.diag(profile["covariance"]))
    names, values = NAMES, np.median(features, axis=0)
    if profile["steadiness"] and np.isfinite(spread).all():
        expected, limit = profile["steadiness"]
        names = (*names, _STEADINESS)
        mean = np.append(mean, expected)
        # Its limit is about three standard deviations away.
        stds = np.append(stds, limit / 3)
        values = np.append(values, np.median(spread))
    scores = np.abs(values - mean) / stds
    # If the amplitude is far, so are the bands, some by more.
    index = 0 if scores[0] > 0.5 * scores.max() else scores.argmax()
    low, high = np.exp(mean[index] + np.array([-2, 2]) * stds[index])
    return (
        f"{names[index]}: {np.exp(values[index]):.3g}, expected {low:.2g} to {high:.2g}"
    )


def _short(values: Any) -> Any:
    """Round to six digits, for JSON."""
    if np.ndim(values):
        return [_short(value) for value in values]
    return float(f"{values:.6g}")
