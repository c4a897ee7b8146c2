"""Tell whether a recording is like those that a stager was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.ndimage import uniform_filter1d
from scipy.signal import get_window
from sklearn.covariance import ledoit_wolf

from ._constants import N_TIMES, SFREQ

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

# All of these are our choice.
FAR_SHARE = 0.2  # of the usable epochs: beyond, the recording is far
UNUSABLE_SHARE = 0.5  # of all epochs, unless the training had more
QUANTILE = 0.999  # of the training's distances: beyond, an epoch is far
MAX_NIGHTS = 100  # enough for steady statistics, and fast

_EDGES = np.geomspace(0.5, 32, 13)  # Hz
_N_SEGMENT = 512
_LAGS = slice(round(0.4 * SFREQ), round(2 * SFREQ))
_STEADY_BANDS = slice(8, 13)  # of the features: 5.7-32 Hz, which one epoch tells well
_N_STEADY = 60  # epochs: in half an hour the EEG of a sleeper changes
_MIN_STD = 0.1  # of a feature, about that of its estimate from one epoch
_NAMES = (
    "amplitude in µV",
    *(f"µV²/Hz at {a:.2g}-{b:.2g} Hz" for a, b in zip(_EDGES, _EDGES[1:], strict=False)),
    "fluctuation within epochs",
    "highest peak of the spectrum, times its surroundings",
    "kurtosis",
    "1 - autocorrelation",
)
_STEADINESS = "change of the spectrum within half an hour"
_N_FEATURES = len(_NAMES)


@dataclass(frozen=True, eq=False)
class Familiarity:
    """How like the training one channel of a recording is."""

    distances: NDArray[np.float64]
    """Array of shape (n_epochs,): above 1 an epoch is far; 0 where it is unusable."""
    is_far: bool
    """Whether the recording is far, see `measure`."""
    description: str
    """What is far: the figure found and the one expected; empty if nothing is."""

    @property
    def trust(self) -> NDArray[np.float64]:
        """Array of shape (n_epochs,): how much of the probabilities to keep.

        1 in all epochs of a recording that is not far, else 1 / (2 distance) in the far
        ones: mixed with that share of a uniform distribution, no probability exceeds
        0.6, and the order of the stages stays. Our choice.
        """
        is_kept = (self.distances <= 1) | (not self.is_far)
        return np.where(is_kept, 1, 0.5 / self.distances.clip(1))


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
    An epoch is described by the logs of: its amplitude, its power in 12 bands of half an
    octave from 0.5 Hz, the fluctuation of the latter within the epoch, the highest peak
    of its spectrum, its kurtosis, and its aperiodicity (1 - the highest
    autocorrelation at 0.4-2 s). The profile holds their mean, their shrunk covariance
    (Ledoit and Wolf 2004), and a limit: the 99.9th percentile of the Mahalanobis
    distance of the training's epochs, wider the fewer they are. Besides, it holds how
    much the shape of the spectrum changes within 60 usable epochs: that of noise does
    not.
    """
    nights = sample_nights(nights)
    features = [
        describe_epochs(np.asarray(night.inputs[:])[night.usable]) for night in nights
    ]
    features = [night for night in features if len(night)]
    if not features:
        return None
    pooled = np.concatenate(features)
    mean, covariance = pooled.mean(axis=0), _shrunk_covariance(pooled)
    # Few nights do not show how much nights differ, nor few epochs how epochs do.
    margin = 1 + 1 / len(features) + 5 * _N_FEATURES / len(pooled)
    limit = margin * np.quantile(_distances(pooled, mean, covariance), QUANTILE)
    steady = np.concatenate([_spread(night) for night in features])
    steady = steady[np.isfinite(steady)]
    steadiness = None
    if steady.size:
        low = steady.mean() - np.quantile(steady, 1 - QUANTILE)
        steadiness = [_short(steady.mean()), _short(margin * max(low, _MIN_STD))]
    return {
        "mean": _short(mean),
        "covariance": _short(covariance),
        "limit": _short(limit),
        "steadiness": steadiness,
        "unusable": _short(max(1 - night.usable.mean() for night in nights)),
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
        training and than ``UNUSABLE_SHARE``. Whether its spectrum changes as that of
        sleep is not asked of recordings of less than 60 usable epochs.
    """
    features = describe_epochs(np.asarray(signals)[usable])
    mean, covariance = np.array(profile["mean"]), np.array(profile["covariance"])
    ratios = _distances(features, mean, covariance) / profile["limit"]
    spread = _spread(features)
    if profile["steadiness"]:
        expected, limit = profile["steadiness"]
        ratios = np.fmax(ratios, (expected - spread) / limit)
    distances = np.zeros(len(usable))
    distances[usable] = ratios
    share, unusable = (ratios > 1).mean(), 1 - usable.mean()
    parts = []
    if share > FAR_SHARE:
        found = _describe(profile, features[ratios > 1], spread[ratios > 1])
        parts.append(
            f"{share:.0%} of its usable epochs are beyond the limit that "
            f"{1 - QUANTILE:.1%} of the training's exceed ({found})"
        )
    if unusable > max(UNUSABLE_SHARE, profile["unusable"]):
        expected = profile["unusable"]
        parts.append(
            f"{unusable:.0%} of its epochs are unusable, {expected:.0%} at most in the "
            "training"
        )
    return Familiarity(distances, bool(parts), "; ".join(parts))


def sample_nights(nights: Sequence) -> list:
    """Return ``MAX_NIGHTS`` of the nights in even steps, all if they are fewer."""
    return list(nights[:: -(-len(nights) // MAX_NIGHTS)])


def check_profile(profile: Any) -> None:
    """Raise a ValueError unless `fit_profile` can have made a profile."""
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
        is_sound = False
    if not is_sound:
        raise ValueError("the profile of the training is not sound")


def describe_epochs(signals: NDArray[np.float32]) -> NDArray[np.float64]:
    """Describe epochs of shape (n_epochs, n_times): (n_epochs, n_features), logs."""
    parts = np.split(signals, range(128, len(signals), 128))
    return np.concatenate([_describe_part(part) for part in parts])


def _describe_part(signals: NDArray[np.float32]) -> NDArray[np.float64]:
    signals = signals.astype(np.float64)
    signals -= signals.mean(axis=1, keepdims=True)
    freqs = rfftfreq(_N_SEGMENT, 1 / SFREQ)
    density = _density(signals)  # (n_epochs, n_segments, n_freqs)
    edges = np.searchsorted(freqs, _EDGES)
    bands = np.add.reduceat(density, edges[:-1], axis=-1)
    bands[..., -1] -= density[..., edges[-1] :].sum(axis=-1)
    bands = (bands / np.diff(edges)).clip(1e-9)
    spectrum = np.log(density.mean(axis=1)[:, edges[0] : edges[-1]].clip(1e-9))
    peaks = (spectrum - uniform_filter1d(spectrum, 15, axis=-1)).max(axis=-1)
    squares = signals**2
    variance = squares.mean(axis=1).clip(1e-9)
    kurtosis = (squares**2).mean(axis=1) / variance**2
    return np.column_stack(
        [
            0.5 * np.log(variance),
            np.log(bands.mean(axis=1)),
            np.log(np.log(bands).std(axis=1).mean(axis=-1).clip(1e-3)),
            peaks,
            np.log(kurtosis.clip(1e-3)),
            np.log((1 - _autocorrelation(signals)).clip(1e-3)),
        ]
    )


def _density(signals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the power density in µV²/Hz of overlapping segments."""
    window = get_window("hann", _N_SEGMENT)
    segments = sliding_window_view(signals, _N_SEGMENT, axis=1)[:, :: _N_SEGMENT // 2]
    scale = 2 / (SFREQ * (window**2).sum())
    return np.abs(rfft(segments * window)) ** 2 * scale


def _autocorrelation(signals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the highest autocorrelation at the lags that heart beats have."""
    n_fft = next_fast_len(N_TIMES + _LAGS.stop, real=True)
    correlation = irfft(np.abs(rfft(signals, n_fft)) ** 2, n_fft)
    return correlation[:, _LAGS].max(axis=1) / correlation[:, 0].clip(1e-9)


def _shrunk_covariance(features: NDArray[np.float64]) -> NDArray[np.float64]:
    stds = np.hypot(features.std(axis=0), _MIN_STD)
    # Shrunk when all features have one scale: it shrinks to a multiple of the identity.
    covariance, _ = ledoit_wolf((features - features.mean(axis=0)) / stds)
    return (covariance + 0.01 * np.eye(len(stds))) * np.outer(stds, stds)


def _distances(features, mean, covariance) -> NDArray[np.float64]:
    """Return Mahalanobis distances per epoch."""
    root = np.linalg.cholesky(covariance)
    return np.linalg.norm(np.linalg.solve(root, (features - mean).T), axis=0)


def _spread(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log deviation of the spectrum's shape around each epoch.

    NaN in recordings of too few epochs.
    """
    n_epochs = len(features)
    if n_epochs < _N_STEADY:
        return np.full(n_epochs, np.nan)
    shape = features[:, _STEADY_BANDS]
    shape = shape - shape.mean(axis=1, keepdims=True)
    variance = sliding_window_view(shape, _N_STEADY, axis=0).var(axis=-1).mean(axis=-1)
    starts = np.arange(n_epochs) - _N_STEADY // 2
    return 0.5 * np.log(variance.clip(1e-6))[starts.clip(0, n_epochs - _N_STEADY)]


def _describe(profile, features, spread) -> str:
    """Return in words what is farthest: the median found, and the range expected."""
    mean, stds = np.array(profile["mean"]), np.sqrt(np.diag(profile["covariance"]))
    names, values = _NAMES, np.median(features, axis=0)
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
