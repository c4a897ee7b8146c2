"""Bring recordings of different montages and recorders closer to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import firwin2, oaconvolve, welch

from .._constants import BAND, SFREQ

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALINGS = ("robust", "spectrum")
"""The ways to scale a recording."""

ROBUST_IQR = 20.0
"""Interquartile range in µV that ``"robust"`` brings a recording to: about that of a
night of EEG, so that µV keep their meaning. Our choice."""

# All of these are our choice. The reference is about the median night of Sleep-EDF by
# either channel: 55 µV²/Hz at 1 Hz, falling as 1/f to the power of 1.8.
_REFERENCE = (4.0, -1.8)
SHARE = 0.75
"""How much of a distance from the reference is taken away. Not all: a recording of one
stage alone must not look like a mixture of all."""

_EDGES = (0.5, 1.2, 2, 3, 4.5, 6.5, 9, 12, 16, 19, 22, 25, 28, 32)  # Hz
N_BANDS = len(_EDGES) - 1
"""Into so many bands the spectrum is cut."""

_MAX_LOG_DISTANCE = 6.0
# A band that lies this far below the others' distance was not recorded at all.
_MISSING_LOG_DISTANCE = 2.5
# The bands whose power noise in a missing one follows, and how far it goes.
_N_NEAREST = 2
_MAX_LOG_FILL = 3.0
_N_WELCH = 256
_N_TAPS = 301
_MAX_EPOCHS = 240
_GRID = np.linspace(0, SFREQ / 2, 501)  # Hz
_LOG_GRID = np.log(_GRID.clip(1e-3))


def scale_signals(
    signals: NDArray[np.float32], usable: NDArray[np.bool_], scaling: str | None
) -> NDArray[np.float32]:
    """Scale the epochs of one channel of a recording.

    Parameters
    ----------
    signals : array of shape (n_epochs, n_times)
        Consecutive epochs in µV at 100 Hz, all finite.
    usable : array of bool of shape (n_epochs,)
        True in one epoch at least; the others do not count.
    scaling : {"none", "robust", "spectrum"} | None
        ``"none"`` and None change nothing. ``"robust"`` brings the interquartile
        range to ``ROBUST_IQR``. ``"spectrum"`` filters the recording so that its median
        spectrum comes three quarters of the way to a reference, in steps of an octave
        or less;
        bands that were not recorded are filled by noise, always the same, that is in
        each epoch as far from the reference as the two nearest bands are: in nights the
        powers of neighbouring bands rise and fall together.

    Returns
    -------
    signals : array of shape (n_epochs, n_times)
        In units of which 1 is about 1 µV.
    """
    if scaling in (None, "none"):
        return signals
    if scaling == "robust":
        lower, upper = np.percentile(signals[usable], [25, 75])
        return signals * np.float32(ROBUST_IQR / (upper - lower))
    distances = median_distances(signals[usable])
    is_missing = distances < np.median(distances) - _MISSING_LOG_DISTANCE
    scaled = _convolve(signals, _equalizer(distances, is_missing))
    return _fill(scaled, is_missing) if is_missing.any() else scaled


def median_distances(signals: NDArray[np.float32]) -> NDArray[np.float64]:
    """Measure how far the median spectrum of epochs is from the reference.

    Parameters
    ----------
    signals : array of shape (n_epochs, n_times)
        At 100 Hz; of many epochs, some in even steps are taken.

    Returns
    -------
    distances : array of shape (N_BANDS,)
        Natural log of power.
    """
    freqs, density = welch(sample_epochs(signals), SFREQ, nperseg=_N_WELCH)
    return _by_band(freqs, np.median(density, axis=0))


def band_distances(signals: NDArray[np.float32]) -> NDArray[np.float64]:
    """Measure how far the spectrum of each epoch is from the reference.

    Parameters
    ----------
    signals : array of shape (n_epochs, n_times)
        At 100 Hz.

    Returns
    -------
    distances : array of shape (n_epochs, N_BANDS)
        Natural log of power.
    """
    return _by_band(*welch(signals, SFREQ, nperseg=_N_WELCH))


def sample_epochs(epochs: NDArray) -> NDArray:
    """Return epochs in even steps: enough for a steady median, and fast."""
    return epochs[:: -(-len(epochs) // _MAX_EPOCHS)]


def _by_band(
    freqs: NDArray[np.float64], density: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how far log spectra of shape (..., n_freqs) are from the reference."""
    distances = np.log(density.clip(1e-9)) - _log_reference(np.log(freqs.clip(1e-3)))
    band = np.digitize(freqs, _EDGES)
    return np.stack(
        [distances[..., band == i].mean(axis=-1) for i in range(1, N_BANDS + 1)],
        axis=-1,
    )


def raise_bands(
    signals: NDArray[np.float32], log_power: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Filter consecutive epochs so that the log power of each band rises as asked.

    Parameters
    ----------
    signals : array of shape (n_epochs, n_times)
        At 100 Hz, all finite.
    log_power : array of shape (N_BANDS,)
        In natural logs, of bands of an octave or less from 0.5 to 32 Hz; between their
        centres the filter, which is of linear phase, goes smoothly.

    Returns
    -------
    signals : array of shape (n_epochs, n_times)
        The filtered epochs.
    """
    gain = np.exp(0.5 * np.interp(_LOG_GRID, _log_centers(), log_power))
    return _convolve(signals, _design(gain))


def _convolve(
    signals: NDArray[np.float32], taps: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Filter consecutive epochs as one signal, without delay."""
    return oaconvolve(signals.ravel(), taps, mode="same").reshape(signals.shape)


def _fill(
    signals: NDArray[np.float32], is_missing: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Add noise in missing bands, in each epoch as strong as its nearest bands are."""
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
            limit = _MAX_LOG_FILL
            gains = np.exp(0.5 * log_power.clip(-limit, limit)).astype(np.float32)
            filled += gains * _convolve(noise, _noise_filter(side))
    return filled


def _equalizer(
    distances: NDArray[np.float64], is_missing: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Design the linear-phase filter that takes most of the distances away."""
    # To raise what is missing would raise the recorder's noise.
    log_gain = np.interp(
        _LOG_GRID, _log_centers()[~is_missing], distances[~is_missing]
    ).clip(-_MAX_LOG_DISTANCE, _MAX_LOG_DISTANCE)
    # Half of it: of a log power, for an amplitude.
    return _design(np.exp(-0.5 * SHARE * log_gain))


def _noise_filter(is_missing: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Design the filter that gives white noise the reference's power where asked."""
    # White noise of variance 1 has its power evenly from 0 to half the sampling rate.
    power = np.exp(_log_reference(_LOG_GRID)) * SFREQ / 2
    share = np.interp(_LOG_GRID, _log_centers(), is_missing.astype(float))
    inside = (_GRID >= BAND[0]) & (_GRID <= BAND[1])
    return _design(np.sqrt(power * share) * inside)


def _design(gain: NDArray[np.float64]) -> NDArray[np.float32]:
    return firwin2(_N_TAPS, _GRID, gain, fs=SFREQ).astype(np.float32)


def _log_reference(log_freqs: NDArray[np.float64]) -> NDArray[np.float64]:
    intercept, slope = _REFERENCE
    return intercept + slope * log_freqs


def _log_centers() -> NDArray[np.float64]:
    edges = np.array(_EDGES)
    return 0.5 * np.log(edges[1:] * edges[:-1])
