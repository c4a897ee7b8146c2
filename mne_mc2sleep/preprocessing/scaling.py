"""Scale recordings, so that those of different montages and amplifiers are similar.

A new scaling is a function and a row in ``SCALINGS``. All constants are our choice.
Signals are consecutive epochs (n_epochs, n_times) of one channel in µV.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft
from scipy.signal import firwin2, welch

from .._constants import BAND, SFREQ
from .._utils import filter_signal

ROBUST_IQR = 20.0  # µV, about the interquartile range of a night of EEG
# The share of the distance from the reference that is removed. The rest is kept: a
# recording of a single stage must not look like a mixture of all.
SHARE = 0.75
_EDGES = (0.5, 1.2, 2, 3, 4.5, 6.5, 9, 12, 16, 19, 22, 25, 28, 32)  # Hz
N_BANDS = len(_EDGES) - 1
# Of EEG relative to the reference, in log power. What exceeds the usual gain is removed
# entirely (docs/ablations.md shows what this is worth), unless it is impossible: then
# the signal is not EEG in µV, which the novelty is to find.
_USUAL_LOG_GAIN, _POSSIBLE_LOG_GAIN = (-2.0, 2.0), (-4.0, 4.0)
_MAX_LOG_DISTANCE = 6.0
_MISSING_LOG_DISTANCE = 2.5  # below the others: a band that was not recorded
_N_NEAREST = 2  # bands that the noise in a missing band follows
_MAX_LOG_FILL = 3.0
N_WELCH = 256  # samples of a segment of Welch's method
_N_TAPS = 301
_MAX_EPOCHS = 240
_GRID = np.linspace(0, SFREQ / 2, 501)  # Hz
_LOG_GRID = np.log(_GRID.clip(1e-3))
_LOG_CENTERS = 0.5 * np.log(np.multiply(_EDGES[1:], _EDGES[:-1]))


def scale_signals(signals: NDArray, usable: NDArray, scaling: str | None) -> NDArray:
    """Scale finite signals by a row of ``SCALINGS``; None is ``"none"``.

    It is estimated from the ``usable`` epochs, at least one. After it, 1 is about 1 µV.
    """
    return SCALINGS[scaling or "none"](signals, usable)


def _scale_range(signals: NDArray, usable: NDArray) -> NDArray:
    """Scale the interquartile range to ``ROBUST_IQR``."""
    lower, upper = np.percentile(signals[usable], [25, 75])
    return signals * np.float32(ROBUST_IQR / (upper - lower))


def _scale_spectrum(signals: NDArray, usable: NDArray) -> NDArray:
    """Filter a recording so that its median spectrum is closer to the reference."""
    distances = median_distances(signals[sample_epochs(np.flatnonzero(usable))])
    gain = np.median(distances)
    excess = gain.clip(*_POSSIBLE_LOG_GAIN) - gain.clip(*_USUAL_LOG_GAIN)
    signals = signals * np.float32(np.exp(-0.5 * excess))
    return approach_reference(signals, distances - excess, distances - excess)


SCALINGS: dict[str, Callable] = {
    "none": lambda signals, usable: signals,
    "robust": _scale_range,
    "spectrum": _scale_spectrum,
}


def approach_reference(
    signals: NDArray, distances: NDArray, measured: NDArray
) -> NDArray:
    """Filter signals at assumed ``distances`` from the reference, by band.

    Bands that were not recorded, as the ``measured`` distances show, are filled with
    noise, the same in each call. In each epoch it is as far from the reference as the
    two nearest bands, since the powers of neighbouring bands rise and fall together.
    """
    is_missing = measured < np.median(measured) - _MISSING_LOG_DISTANCE
    # Amplifying a missing band would amplify the noise of the recorder.
    log_gain = np.interp(_LOG_GRID, _LOG_CENTERS[~is_missing], distances[~is_missing])
    log_gain = log_gain.clip(-_MAX_LOG_DISTANCE, _MAX_LOG_DISTANCE)
    # Half of it, because the distances are in power and the gain is in amplitude.
    scaled = _filter(signals, np.exp(-0.5 * SHARE * log_gain))
    if is_missing.any():
        _fill(scaled, is_missing)
    return scaled


def median_distances(signals: NDArray) -> NDArray:
    """Return the log power of the median spectrum over the reference, by band."""
    freqs, density = welch(sample_epochs(signals), SFREQ, nperseg=N_WELCH)
    return distances_by_band(freqs, np.median(density, axis=0))


def band_distances(signals: NDArray) -> NDArray:
    """Return the log power relative to the reference, of shape (n_epochs, N_BANDS)."""
    return distances_by_band(*welch(signals, SFREQ, nperseg=N_WELCH))


def sample_epochs(epochs: NDArray) -> NDArray:
    """Return a regular sample of the epochs, enough for a stable median."""
    return epochs[:: -(-len(epochs) // _MAX_EPOCHS)]


def raise_bands(signals: NDArray, log_power: NDArray) -> NDArray:
    """Raise the natural log of power of each band by a filter of linear phase."""
    return _filter(signals, np.exp(0.5 * np.interp(_LOG_GRID, _LOG_CENTERS, log_power)))


def distances_by_band(freqs: NDArray, density: NDArray) -> NDArray:
    """Return the log of power densities (..., n_freqs) relative to the reference."""
    distances = np.log(density.clip(1e-9)) - _log_reference(freqs)
    band = np.digitize(freqs, _EDGES)
    means = [distances[..., band == i].mean(axis=-1) for i in range(1, N_BANDS + 1)]
    return np.stack(means, axis=-1)


def _fill(signals: NDArray, is_missing: NDArray) -> None:
    """Add noise with the spectrum of the reference in missing bands, in place."""
    distances = band_distances(signals)
    present = np.flatnonzero(~is_missing)
    above = np.arange(len(is_missing)) > present[-1]
    noise = np.random.default_rng(0).standard_normal(signals.shape, dtype=np.float32)
    # White noise of variance 1 has the density 2 / SFREQ.
    power = np.exp(_log_reference(_GRID)) * SFREQ / 2
    inside = (_GRID >= BAND[0]) & (_GRID <= BAND[1])
    for side, nearest in (
        (is_missing & above, present[-_N_NEAREST:]),
        (is_missing & ~above, present[:_N_NEAREST]),
    ):
        if side.any():
            log_power = distances[:, nearest].mean(axis=1, keepdims=True)
            log_power = log_power.clip(-_MAX_LOG_FILL, _MAX_LOG_FILL)
            gains = np.exp(0.5 * log_power).astype(np.float32)
            share = np.interp(_LOG_GRID, _LOG_CENTERS, side.astype(float))
            signals += gains * _filter(noise, np.sqrt(power * share) * inside)


def _filter(signals: NDArray, gain: NDArray) -> NDArray:
    """Filter consecutive epochs as one signal, without delay."""
    taps = firwin2(_N_TAPS, _GRID, gain, fs=SFREQ)

    def response(n_fft: int) -> NDArray:
        # With the middle of the filter at time 0, it does not delay the signal.
        centered = np.roll(np.pad(taps, (0, n_fft - _N_TAPS)), -(_N_TAPS // 2))
        return rfft(centered).real

    found = filter_signal(signals.ravel(), response, _N_TAPS // 2)
    return found.reshape(signals.shape)


def _log_reference(freqs: NDArray) -> NDArray:
    """Return the log density in µV²/Hz of about the median night of Sleep-EDF."""
    return 4.0 - 1.8 * np.log(freqs.clip(1e-3))
