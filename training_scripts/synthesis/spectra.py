"""From the powers of five bands to the power of every frequency."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.fft import fft, rfftfreq
from scipy.signal import butter, freqz_sos, get_window
from torch import Tensor

from mne_mc2sleep._constants import BAND, FILTER_ORDER, N_TIMES, SFREQ

BANDS = {
    "delta": (0.5, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 50.0),
}
"""The frequency bands in Hz, in the order of every array of band powers."""

WELCH_N_TIMES = 256
"""Samples of the Welch segments (Hann, half overlapping) that define a band's power."""

# One cycle of the slowest band, so that no border shows. Longer fades would mix epochs.
N_FADE = 200
N_SEGMENT = N_TIMES + N_FADE
FREQS = rfftfreq(N_SEGMENT, 1 / SFREQ)
LOWEST_FREQ = BANDS["delta"][0]


@lru_cache(maxsize=1)
def welch_response() -> Tensor:
    """Return what Welch's method measures in each band of unit power at a frequency.

    In 1/Hz, shape (n_freqs, 5). Its leakage matters: drift looks like delta.
    """
    window = get_window("hann", WELCH_N_TIMES)
    times = np.arange(WELCH_N_TIMES) / SFREQ
    waves = np.exp(2j * np.pi * np.outer(FREQS, times))
    waves -= waves.mean(axis=1, keepdims=True)
    density = np.abs(fft(waves * window)) ** 2 / (SFREQ * (window**2).sum())
    density[:, 1:] += density[:, :0:-1]
    freqs = rfftfreq(WELCH_N_TIMES, 1 / SFREQ)
    inside = [(freqs >= low) & (freqs <= high) for low, high in BANDS.values()]
    bands = [density[:, : len(freqs)][:, band].mean(axis=1) for band in inside]
    return torch.from_numpy(np.stack(bands, axis=1)).float()


@lru_cache(maxsize=1)
def spectrum_basis() -> Tensor:
    """Interpolate linearly in log-log from the bands' centres, and extrapolate.

    ``levels @ basis`` is the log spectrum, with basis of shape (5, n_freqs).
    """
    centres = np.log([np.sqrt(low * high) for low, high in BANDS.values()])
    freqs = np.log(np.maximum(FREQS, LOWEST_FREQ))
    left = np.clip(np.searchsorted(centres, freqs) - 1, 0, len(BANDS) - 2)
    weight = (freqs - centres[left]) / (centres[left + 1] - centres[left])
    basis = np.zeros((len(BANDS), FREQS.size))
    columns = np.arange(FREQS.size)
    basis[left, columns] = 1 - weight
    basis[left + 1, columns] = weight
    return torch.from_numpy(basis).float()


@lru_cache(maxsize=1)
def _drift_spectrum() -> Tensor:
    """Share a variance of 1 among the frequencies below the lowest band, as 1/f."""
    slow = (FREQS > 0) & (FREQS < LOWEST_FREQ)
    spectrum = np.where(slow, 1 / np.maximum(FREQS, FREQS[1]), 0)
    return torch.from_numpy(spectrum / spectrum.sum()).float()


@lru_cache(maxsize=1)
def band_pass() -> Tensor:
    """Return the response (n_freqs,) of the filter that recordings pass, both ways."""
    sos = butter(FILTER_ORDER, BAND, "bandpass", fs=SFREQ, output="sos")
    _, response = freqz_sos(sos, FREQS, fs=SFREQ)
    return torch.from_numpy(np.abs(response) ** 2).float()


def line_power(
    log_band_power: Tensor, log_variance: Tensor, shape: Tensor, n_iter: int = 8
) -> tuple[Tensor, Tensor]:
    """Find the power of each frequency that gives the bands and the variance.

    ``shape`` (..., n_freqs) are peaks and bends to add to the log spectrum. Returns the
    power within the bands and below them, both (..., n_freqs) in µV². They depend on
    each other (drift leaks into delta), so both are corrected in turn; after 8
    iterations the bands' error in real nights is below 0.01 dB.
    """
    device = log_band_power.device
    response, basis = welch_response().to(device), spectrum_basis().to(device)
    drift_shape = _drift_spectrum().to(device)
    in_bands = torch.from_numpy(FREQS >= LOWEST_FREQ).to(device)
    asked, variance = log_band_power.exp(), log_variance.exp()
    levels = log_band_power
    for _ in range(n_iter + 1):
        power = (levels @ basis + shape).exp() * in_bands
        drift = (variance - power.sum(dim=-1)).clamp(min=0)[..., None]
        # A part of each band is kept, because its level would be minus infinity.
        wanted = torch.maximum(asked - drift * (drift_shape @ response), 0.2 * asked)
        levels = levels + (wanted / (power @ response)).log()
    return power, drift * drift_shape


def correct_bands(spectrum: Tensor, log_band_power: Tensor, n_iter: int = 4) -> Tensor:
    """Scale a spectrum (..., n_freqs) so that Welch's method finds the requested bands.

    The bands' interpolations overlap, so each is corrected in turn.
    """
    device = spectrum.device
    response, basis = welch_response().to(device), spectrum_basis().to(device)
    power = spectrum.abs().square() * (2 / N_SEGMENT**2)
    log_gain = torch.zeros_like(log_band_power)
    for _ in range(n_iter):
        found = (power * (log_gain @ basis).exp()) @ response
        # A smooth gain cannot correct epochs beyond these bounds.
        log_gain = (log_gain + log_band_power - found.log()).clamp(-3, 3)
    return spectrum * (0.5 * (log_gain @ basis)).exp()
