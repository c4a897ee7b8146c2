"""Detect recordings that are unlike the training data.

Epochs are described by amplitude, spectrum and waveform, and compared with those of the
training nights by the Mahalanobis distance. All constants are our choice.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.ndimage import uniform_filter1d
from scipy.signal import get_window
from scipy.spatial.distance import cdist

from .._constants import N_TIMES, SFREQ
from .._utils import in_threads

NOVEL_SHARE = 0.2  # of the usable epochs: beyond, the recording is novel
MOST_SHARE = 0.5  # of the usable epochs: beyond, all of them are novel
UNUSABLE_SHARE = 0.5  # of all epochs, unless a training night had more
QUANTILE = 0.999  # of the distances in the training
MAX_NIGHTS = 100  # enough for stable statistics, and fast
N_STEADY = 60  # epochs: within half an hour the EEG of a sleeper changes
SPREAD_OF_NOISE = -2.4  # the spread of white noise
_MIN_MARGIN = 0.25  # beyond the quantile: other nights have other artefacts
_MIN_STD = 0.1  # of a feature, about the error of its estimate from one epoch

_EDGES = np.geomspace(0.5, 32, 13)  # Hz
_N_SEGMENT = 512
_LAGS = slice(round(0.4 * SFREQ), round(2 * SFREQ))  # those of heart beats
_STEADY_BANDS = slice(8, 13)  # 5.7-32 Hz, which one epoch is enough to estimate
_MIN_DENSITY = 1e-4  # µV²/Hz, below the noise of amplifiers

FEATURES = (
    "amplitude in µV",
    *(f"µV²/Hz at {low:.2g}-{high:.2g} Hz" for low, high in pairwise(_EDGES)),
    "fluctuation within epochs",
    "highest peak of the spectrum, times its surroundings",
    "kurtosis",
    "1 - autocorrelation",
    "change of the spectrum within half an hour",
)
"""The features, of which the natural logs are used; the last is compared by itself."""


class Novelty(NamedTuple):
    """The novelty of one channel of a recording."""

    distances: NDArray  #: Of shape (n_epochs,): novel from 1 on, 0 in unusable epochs.
    is_novel: bool  #: Whether the recording is unlike the training data.
    description: str  #: The difference from the training data, or empty.


def fit_profile(nights: Sequence, profile: dict | None = None) -> dict | None:
    """Compute the statistics of training nights, for `measure_novelty`.

    The profile can be saved as JSON: the mean and the shrunk covariance of the features
    (Ledoit and Wolf 2004), the limit of the distance, which is larger for few nights,
    and the largest share of unusable epochs. The ``profile`` so far is returned if none
    of the nights is novel, and None if no epoch is usable.
    """
    # Not needed for staging.
    from sklearn.covariance import LedoitWolf

    nights = [(night.signals[:], night.usable) for night in sample_nights(nights)]
    if profile and not any(measure_novelty(profile, *n).is_novel for n in nights):
        return profile
    if not nights:
        return None
    features = np.concatenate([describe_epochs(*night) for night in nights])
    features, steady = features[:, :-1], features[:, -1]
    estimated = LedoitWolf().fit(features)
    mean, n_features = estimated.location_, features.shape[1]
    # The smallest deviation bounds the distance of features that hardly vary.
    covariance = estimated.covariance_ + _MIN_STD**2 * np.eye(n_features)
    # Few nights or epochs underestimate how much nights or epochs differ.
    margin = max(1 / len(nights) + 5 * n_features / len(features), _MIN_MARGIN)
    limit = np.quantile(_distances(features, mean, covariance), QUANTILE)
    steadiness, steady = None, steady[np.isfinite(steady)]
    if steady.size:
        low = np.quantile(steady, 1 - QUANTILE)
        # Few nights underestimate how steady a night can be, but noise is steadier.
        low = min(low, (low + SPREAD_OF_NOISE) / 2)
        steadiness = [float(steady.mean()), float(steady.mean() - low + 1e-3)]
    return {
        "mean": mean.round(6).tolist(),
        "covariance": covariance.round(6).tolist(),
        "limit": float((1 + margin) * limit),
        "steadiness": steadiness,
        "unusable": float(max(1 - usable.mean() for _, usable in nights)),
    }


def sample_nights(nights: Sequence) -> list:
    """Return the nights with usable epochs, or a sample of ``MAX_NIGHTS`` of them."""
    nights = [night for night in nights if night.usable.any()]
    return nights[:: -(-len(nights) // MAX_NIGHTS) or 1]


def measure_novelty(profile: dict, signals: NDArray, usable: NDArray) -> Novelty:
    """Compare one channel of a recording with the training nights."""
    features = describe_epochs(signals, usable)
    mean, covariance = map(np.array, (profile["mean"], profile["covariance"]))
    ratios = _distances(features[:, :-1], mean, covariance) / profile["limit"]
    stds = np.sqrt(np.diag(covariance))
    if profile["steadiness"]:
        expected, limit = profile["steadiness"]
        # NaN (of a short recording) is ignored.
        ratios = np.fmax(ratios, (expected - features[:, -1]) / limit)
        # This limit is about three standard deviations away.
        mean, stds = np.append(mean, expected), np.append(stds, limit / 3)
    novel = ratios >= 1
    share, unusable = novel.mean(), 1 - usable.mean()
    distances, parts = np.zeros(len(usable)), []
    distances[usable] = ratios.clip(1) if share > MOST_SHARE else ratios
    if share > NOVEL_SHARE:
        values = np.median(features[novel], axis=0)[: len(mean)]
        scores = np.nan_to_num(np.abs(values - mean) / stds)
        # A novel amplitude explains novel bands, even if some are more so.
        index = 0 if scores[0] > 0.5 * scores.max() else scores.argmax()
        low, high = np.exp(mean[index] + np.array([-2, 2]) * stds[index])
        parts.append(
            f"{share:.0%} of its usable epochs are unlike the training data, "
            f"{NOVEL_SHARE:.0%} at most expected ({FEATURES[index]}: "
            f"{np.exp(values[index]):.3g}, expected {low:.2g} to {high:.2g})"
        )
    expected = profile["unusable"]
    if unusable > max(UNUSABLE_SHARE, expected):
        parts.append(
            f"{unusable:.0%} of its epochs are unusable, {expected:.0%} at most in the "
            "training data"
        )
    return Novelty(distances, bool(parts), "; ".join(parts))


def _distances(features: NDArray, mean: NDArray, covariance: NDArray) -> NDArray:
    inverse = np.linalg.inv(covariance)
    return cdist(features, mean[None], "mahalanobis", VI=inverse)[:, 0]


def soften(
    probabilities: NDArray, novelties: Sequence[Novelty], usable: Sequence[NDArray]
) -> NDArray:
    """Lower the probabilities of novel epochs of novel recordings.

    A share of 1 / (2 distance), averaged over the usable channels, is kept and the rest
    is uniform, so that no probability exceeds 0.6 and their order stays. Without this,
    respiration is staged with a confidence near 1 (``docs/ablations.md``).
    """
    if not any(novelty.is_novel for novelty in novelties):
        return probabilities
    shares = [
        np.where(n.is_novel & (n.distances >= 1), 0.5 / n.distances.clip(1), 1)
        for n in novelties
    ]
    weights = np.array(usable, dtype=float)
    # Nothing is known of epochs in which no channel is usable.
    weights[:, ~weights.any(axis=0)] = 1
    share = np.average(shares, axis=0, weights=weights)[:, None]
    uniform = 1 / probabilities.shape[1]
    softened = uniform + share * (probabilities - uniform)
    return np.where(share < 1, softened, probabilities)


def check_profile(profile: Any) -> bool:
    """Return whether this can be a profile of `fit_profile`."""
    try:
        center, width = profile["steadiness"] or (0, 1)
        numbers = np.array([center, profile["unusable"], *profile["mean"]], dtype=float)
        spread = np.linalg.eigvalsh(np.array(profile["covariance"], dtype=float))
        widths = np.array([width, profile["limit"], *spread], dtype=float)
        has_shape = widths.shape == (len(FEATURES) + 1,) == numbers.shape
        is_finite = np.isfinite(numbers).all() and np.isfinite(widths).all()
        return has_shape and bool(is_finite and (widths > 0).all())
    except (KeyError, TypeError, ValueError, np.linalg.LinAlgError):
        return False


def describe_epochs(signals: NDArray, usable: NDArray) -> NDArray:
    """Return the natural logs of ``FEATURES`` of usable epochs, (n_usable, n_features).

    The last is NaN if there are less than ``N_STEADY`` epochs.
    """
    signals, epochs = np.asarray(signals), np.flatnonzero(usable)
    # In parts, to bound the memory.
    parts = np.split(epochs, range(128, len(epochs), 128))
    described = in_threads(lambda part: _describe_part(signals[part]), parts)
    features = np.concatenate(described)
    if len(features) < N_STEADY:
        return np.pad(features, [(0, 0), (0, 1)], constant_values=np.nan)
    # How much the shape of the spectrum varies in half an hour around each epoch.
    shape = features[:, _STEADY_BANDS]
    shape = shape - shape.mean(axis=1, keepdims=True)
    average = partial(uniform_filter1d, size=N_STEADY, axis=0)
    variance = (average(shape**2) - average(shape) ** 2).mean(axis=1).clip(1e-6)
    # Only from windows that are complete.
    middle = np.arange(len(shape)).clip(N_STEADY // 2, len(shape) - N_STEADY // 2)
    spread = 0.5 * np.log(variance[middle])
    return np.column_stack([features, spread])


def _describe_part(signals: NDArray) -> NDArray:
    x = signals - signals.mean(axis=1, keepdims=True)
    window = get_window("hann", _N_SEGMENT).astype(np.float32)
    window *= np.sqrt(2 / (SFREQ * np.square(window).sum()))
    segments = sliding_window_view(x, _N_SEGMENT, axis=1)[:, :: _N_SEGMENT // 2]
    density = _power(rfft(segments * window))  # (n_epochs, n_segments, n_freqs)
    edges = np.searchsorted(rfftfreq(_N_SEGMENT, 1 / SFREQ), _EDGES)
    bands = np.add.reduceat(density[..., : edges[-1]], edges[:-1], axis=-1)
    bands = (bands / np.diff(edges)).clip(_MIN_DENSITY)
    spectrum = np.log(density.mean(axis=1)[:, edges[0] : edges[-1]].clip(_MIN_DENSITY))
    peaks = (spectrum - uniform_filter1d(spectrum, 15, axis=-1)).max(axis=-1)
    variance = np.square(x).mean(axis=1).clip(1e-9)
    # Divided first: the fourth power of an artefact can be beyond float32.
    squares = np.square(x / np.sqrt(variance)[:, None])
    kurtosis = np.square(squares).mean(axis=1)
    n_fft = next_fast_len(N_TIMES + _LAGS.stop, real=True)
    products = irfft(_power(rfft(x, n_fft)), n_fft)
    correlation = products[:, _LAGS].max(axis=1) / products[:, 0].clip(1e-9)
    return np.column_stack(
        [
            0.5 * np.log(variance),
            np.log(bands.mean(axis=1)),
            np.log(np.log(bands).std(axis=1).mean(axis=-1).clip(1e-3)),
            peaks,
            np.log(kurtosis.clip(1e-3)),
            np.log((1 - correlation).clip(1e-3)),
        ]
    )


def _power(spectrum: NDArray) -> NDArray:
    # Faster than the square of the absolute value, which takes a root.
    return np.square(spectrum.real) + np.square(spectrum.imag)
