"""Scale recordings, so that those of different montages and amplifiers are similar.

A new scaling is a subclass of `NoScaling` and a row in ``SCALINGS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import firwin2, oaconvolve, welch

from .._constants import BAND, SFREQ

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

ROBUST_IQR = 20.0
"""Interquartile range in µV after ``"robust"``, about that of a night of EEG."""

# All of these are our choice. The reference is about the median night of Sleep-EDF in
# both channels: 55 µV²/Hz at 1 Hz, falling with the frequency to the power of 1.8.
_REFERENCE = (4.0, -1.8)
SHARE = 0.75
"""The share of the distance from the reference that is removed. The rest is kept: a
recording of a single stage must not look like a mixture of all."""

_EDGES = (0.5, 1.2, 2, 3, 4.5, 6.5, 9, 12, 16, 19, 22, 25, 28, 32)  # Hz
N_BANDS = len(_EDGES) - 1
"""The number of frequency bands."""

_MAX_LOG_DISTANCE = 6.0
# A band this far below the others was not recorded.
_MISSING_LOG_DISTANCE = 2.5
# The number of neighbouring bands that the noise in a missing band follows.
_N_NEAREST = 2
_MAX_LOG_FILL = 3.0
N_WELCH = 256  # samples of a segment of Welch's method
_N_TAPS = 301
_MAX_EPOCHS = 240
_GRID = np.linspace(0, SFREQ / 2, 501)  # Hz
_LOG_GRID = np.log(_GRID.clip(1e-3))
_LOG_CENTERS = 0.5 * np.log(np.multiply(_EDGES[1:], _EDGES[:-1]))


class NoScaling:
    """Keep µV. The base class of the scalings, which are fitted to each recording."""

    def fit(self, signals: NDArray[np.float32], usable: NDArray[np.bool_]) -> Self:
        """Estimate the scale from the usable epochs."""
        return self

    def transform(self, signals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scaled epochs. The input is not modified."""
        return signals


class RobustScaling(NoScaling):
    """Scale the interquartile range to ``ROBUST_IQR``."""

    def fit(self, signals: NDArray[np.float32], usable: NDArray[np.bool_]) -> Self:
        """Estimate the interquartile range."""
        lower, upper = np.percentile(signals[usable], [25, 75])
        self._gain = np.float32(ROBUST_IQR / (upper - lower))
        return self

    def transform(self, signals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Multiply by the gain."""
        return signals * self._gain


class SpectrumScaling(NoScaling):
    """Filter a recording so that its median spectrum is closer to a reference.

    Bands that were not recorded are filled with noise, the same in each call. In each
    epoch it is as far from the reference as the two nearest bands, since the powers of
    neighbouring bands rise and fall together.
    """

    def fit(self, signals: NDArray[np.float32], usable: NDArray[np.bool_]) -> Self:
        """Design the filter."""
        distances = median_distances(signals[usable])
        return self.fit_distances(distances, distances)

    def fit_distances(
        self, distances: NDArray[np.float64], measured: NDArray[np.float64]
    ) -> Self:
        """Design the filter for assumed distances from the reference, by band.

        The bands that were not recorded are found in the ``measured`` distances.
        """
        self._is_missing = measured < np.median(measured) - _MISSING_LOG_DISTANCE
        # To amplify a missing band would amplify the noise of the recorder.
        present = ~self._is_missing
        log_gain = np.interp(_LOG_GRID, _LOG_CENTERS[present], distances[present])
        log_gain = log_gain.clip(-_MAX_LOG_DISTANCE, _MAX_LOG_DISTANCE)
        # Half of it, because the distances are of power and the gain is of amplitude.
        self._taps = _design(np.exp(-0.5 * SHARE * log_gain))
        return self

    def transform(self, signals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Filter the signals and fill missing bands."""
        scaled = _convolve(signals, self._taps)
        return _fill(scaled, self._is_missing) if self._is_missing.any() else scaled


SCALINGS: dict[str, type[NoScaling]] = {
    "none": NoScaling,
    "robust": RobustScaling,
    "spectrum": SpectrumScaling,
}
"""The scalings by name."""


def scale_signals(
    signals: NDArray[np.float32], usable: NDArray[np.bool_], scaling: str | None
) -> NDArray[np.float32]:
    """Scale the epochs of one channel of a recording.

    Parameters
    ----------
    signals : array of shape (n_epochs, n_times)
        Consecutive, finite epochs in µV at 100 Hz.
    usable : array of bool of shape (n_epochs,)
        The epochs to fit the scaling to, at least one.
    scaling : {"none", "robust", "spectrum"} | None
        See `NoScaling`, `RobustScaling` and `SpectrumScaling`. None is ``"none"``.

    Returns
    -------
    signals : array of shape (n_epochs, n_times)
        The scaled epochs; 1 is about 1 µV.
    """
    return SCALINGS[scaling or "none"]().fit(signals, usable).transform(signals)


def median_distances(signals: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the log power of the median spectrum relative to the reference, by band.

    Of many epochs, a regular sample is used.
    """
    freqs, density = welch(sample_epochs(signals), SFREQ, nperseg=N_WELCH)
    return distances_by_band(freqs, np.median(density, axis=0))


def band_distances(signals: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the log power of each epoch relative to the reference, by band.

    The result has the shape (n_epochs, N_BANDS).
    """
    return distances_by_band(*welch(signals, SFREQ, nperseg=N_WELCH))


def sample_epochs(epochs: NDArray) -> NDArray:
    """Return a regular sample of the epochs, enough for a stable median."""
    return epochs[:: -(-len(epochs) // _MAX_EPOCHS)]


def raise_bands(
    signals: NDArray[np.float32], log_power: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Raise the natural log of power of each band by a filter of linear phase."""
    gain = np.exp(0.5 * np.interp(_LOG_GRID, _LOG_CENTERS, log_power))
    return _convolve(signals, _design(gain))


def distances_by_band(
    freqs: NDArray[np.floating], density: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return the log of power densities (..., n_freqs) relative to the reference."""
    distances = np.log(density.clip(1e-9)) - _log_reference(np.log(freqs.clip(1e-3)))
    band = np.digitize(freqs, _EDGES)
    means = [distances[..., band == i].mean(axis=-1) for i in range(1, N_BANDS + 1)]
    return np.stack(means, axis=-1)


def _fill(
    signals: NDArray[np.float32], is_missing: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Add noise in missing bands."""
    distances = band_distances(signals)
    present = np.flatnonzero(~is_missing)
    above = np.arange(len(is_missing)) > present[-1]
    noise = np.random.default_rng(0).standard_normal(signals.shape, dtype=np.float32)
    filled = signals.copy()
    for side, nearest in (
        (is_missing & above, present[-_N_NEAREST:]),
        (is_missing & ~above, present[:_N_NEAREST]),
    ):
        if side.any():
            log_power = distances[:, nearest].mean(axis=1, keepdims=True)
            log_power = log_power.clip(-_MAX_LOG_FILL, _MAX_LOG_FILL)
            gains = np.exp(0.5 * log_power).astype(np.float32)
            filled += gains * _convolve(noise, _noise_filter(side))
    return filled


def _noise_filter(is_missing: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Design the filter from white noise to the reference in missing bands."""
    # White noise of variance 1 has this power from 0 to half the sampling frequency.
    power = np.exp(_log_reference(_LOG_GRID)) * SFREQ / 2
    share = np.interp(_LOG_GRID, _LOG_CENTERS, is_missing.astype(float))
    inside = (_GRID >= BAND[0]) & (_GRID <= BAND[1])
    return _design(np.sqrt(power * share) * inside)


def _convolve(
    signals: NDArray[np.float32], taps: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Filter consecutive epochs as one signal, without delay."""
    return oaconvolve(signals.ravel(), taps, mode="same").reshape(signals.shape)


def _design(gain: NDArray[np.float64]) -> NDArray[np.float32]:
    return firwin2(_N_TAPS, _GRID, gain, fs=SFREQ).astype(np.float32)


def _log_reference(log_freqs: NDArray[np.float64]) -> NDArray[np.float64]:
    intercept, slope = _REFERENCE
    return intercept + slope * log_freqs
