"""Bring recordings of different montages and recorders closer to each other."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import firwin2, oaconvolve, welch

from ._constants import SFREQ

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
# Not all the way: a recording of one stage alone must not look like a mixture of all.
_SHARE = 0.75
_EDGES = (0.5, 1.2, 2.0, 3.0, 4.5, 6.5, 9.0, 12.0, 16.0, 22.0, 32.0)  # Hz
_MAX_LOG_DISTANCE = 6.0  # beyond, a band is missing rather than weak
_N_WELCH = 256
_N_TAPS = 301
# Enough for a steady median, and fast.
_MAX_EPOCHS = 240


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
    scaling : {None, "robust", "spectrum"}
        None changes nothing. ``"robust"`` brings the interquartile range to
        ``ROBUST_IQR``. ``"spectrum"`` filters the recording so that its median spectrum
        comes three quarters of the way to a reference, in steps of an octave or less.

    Returns
    -------
    signals : array of shape (n_epochs, n_times)
        In units of which 1 is about 1 µV.
    """
    if scaling is None:
        return signals
    if scaling == "robust":
        lower, upper = np.percentile(signals[usable], [25, 75])
        return signals * np.float32(ROBUST_IQR / (upper - lower))
    taps = _equalizer(signals[usable])
    return oaconvolve(signals.ravel(), taps, mode="same").reshape(signals.shape)


def _equalizer(signals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Design the linear-phase filter of ``"spectrum"`` from usable epochs."""
    sample = signals[:: -(-len(signals) // _MAX_EPOCHS)]
    freqs, density = welch(sample, SFREQ, nperseg=_N_WELCH)
    log_density = np.log(np.median(density, axis=0).clip(1e-6))
    intercept, slope = _REFERENCE
    index = np.digitize(freqs, _EDGES)
    distances = np.array(
        [
            (log_density - intercept - slope * np.log(freqs.clip(1e-6)))[index == i]
            .mean()
            .clip(-_MAX_LOG_DISTANCE, _MAX_LOG_DISTANCE)
            for i in range(1, len(_EDGES))
        ]
    )
    # Half of it: of a log power, for an amplitude.
    log_gain = np.interp(_log_freqs(), np.log(_centers()), -0.5 * _SHARE * distances)
    grid = np.linspace(0, SFREQ / 2, len(log_gain))
    return firwin2(_N_TAPS, grid, np.exp(log_gain), fs=SFREQ).astype(np.float32)


def _centers() -> NDArray[np.float64]:
    edges = np.array(_EDGES)
    return np.sqrt(edges[1:] * edges[:-1])


@lru_cache(maxsize=1)
def _log_freqs() -> NDArray[np.float64]:
    return np.log(np.linspace(0, SFREQ / 2, 501).clip(1e-3))
