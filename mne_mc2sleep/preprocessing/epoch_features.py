"""Describe epochs of a signal by a few figures: amplitude, spectrum, waveform."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.ndimage import uniform_filter1d
from scipy.signal import get_window

from .._constants import N_TIMES, SFREQ

if TYPE_CHECKING:
    from numpy.typing import NDArray

# All of these are our choice.
N_STEADY = 60  # epochs: in half an hour the EEG of a sleeper changes
SPREAD_OF_NOISE = -2.4  # what `spread_of_shape` finds in white noise

_EDGES = np.geomspace(0.5, 32, 13)  # Hz
_N_SEGMENT = 512
_LAGS = slice(round(0.4 * SFREQ), round(2 * SFREQ))  # those of heart beats
_STEADY_BANDS = slice(8, 13)  # of the features: 5.7-32 Hz, which one epoch tells well
_MIN_DENSITY = 1e-4  # µV²/Hz, less than amplifiers have: below, all are alike
_AT_ONCE = 128  # epochs, to bound the memory

NAMES = (
    "amplitude in µV",
    *(f"µV²/Hz at {low:.2g}-{high:.2g} Hz" for low, high in pairwise(_EDGES)),
    "fluctuation within epochs",
    "highest peak of the spectrum, times its surroundings",
    "kurtosis",
    "1 - autocorrelation",
)
"""What the features of `describe_epochs` are the logs of."""


def describe_epochs(signals: NDArray[np.float32]) -> NDArray[np.float64]:
    """Describe each epoch by itself.

    Parameters
    ----------
    signals : array of shape (n_epochs, n_times)
        One epoch or more in µV.

    Returns
    -------
    features : array of shape (n_epochs, n_features)
        The natural logs of ``NAMES``.
    """
    parts = np.split(signals, range(_AT_ONCE, len(signals), _AT_ONCE))
    return np.concatenate([_describe_part(part) for part in parts])


def _describe_part(signals: NDArray[np.float32]) -> NDArray[np.float64]:
    signals = signals.astype(np.float64)
    signals -= signals.mean(axis=1, keepdims=True)
    freqs = rfftfreq(_N_SEGMENT, 1 / SFREQ)
    density = _density(signals)  # (n_epochs, n_segments, n_freqs)
    edges = np.searchsorted(freqs, _EDGES)
    bands = np.add.reduceat(density[..., : edges[-1]], edges[:-1], axis=-1)
    bands = (bands / np.diff(edges)).clip(_MIN_DENSITY)
    spectrum = np.log(density.mean(axis=1)[:, edges[0] : edges[-1]].clip(_MIN_DENSITY))
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
    """Return the highest autocorrelation at 0.4-2 s."""
    n_fft = next_fast_len(N_TIMES + _LAGS.stop, real=True)
    correlation = irfft(np.abs(rfft(signals, n_fft)) ** 2, n_fft)
    return correlation[:, _LAGS].max(axis=1) / correlation[:, 0].clip(1e-9)


def spread_of_shape(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tell how much the shape of the spectrum changes around each epoch.

    Parameters
    ----------
    features : array of shape (n_epochs, n_features)
        Of consecutive epochs, from `describe_epochs`.

    Returns
    -------
    spread : array of shape (n_epochs,)
        The log of the standard deviation within ``N_STEADY`` epochs of the log powers
        less their mean, over bands from 5.7 Hz; NaN if there are fewer epochs.
    """
    n_epochs = len(features)
    if n_epochs < N_STEADY:
        return np.full(n_epochs, np.nan)
    shape = features[:, _STEADY_BANDS]
    shape = shape - shape.mean(axis=1, keepdims=True)
    variance = sliding_window_view(shape, N_STEADY, axis=0).var(axis=-1).mean(axis=-1)
    starts = np.arange(n_epochs) - N_STEADY // 2
    return 0.5 * np.log(variance.clip(1e-6))[starts.clip(0, n_epochs - N_STEADY)]
