"""Simulated recordings with a hypnogram."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator, RandomState
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, rfft, rfftfreq
from scipy.interpolate import interp1d
from scipy.signal import lfilter, resample_poly

from .._constants import EPOCH_DURATION, N_TIMES, SFREQ
from . import constants

if TYPE_CHECKING:
    from mne.io import RawArray
    from yasa import Hypnogram

_MEAS_DATE = datetime(2000, 1, 1, 22, tzinfo=UTC)
_EDGES = np.array([0.5, 4.0, 8.0, 13.0, 30.0, 50.0])  # Hz, from delta to gamma
# These are our choice.
_SPREAD = 0.7  # of the deviations of real nights, so that short nights show each stage
_COHERENCE = 0.3  # between the channels
_N_FADE = 200  # samples in which one epoch fades into the next


def make_raw(
    signals: ArrayLike,
    ch_names: Sequence[str],
    *,
    sfreq: float = SFREQ,
    meas_date: datetime | None = None,
) -> RawArray:
    """Create a recording from EEG signals.

    Parameters
    ----------
    signals : array of shape (n_channels, n_times)
        The signals in µV.
    ch_names : sequence of str
        The names of the channels.
    sfreq : float
        The sampling rate in Hz.
    meas_date : datetime | None
        The start of the recording.

    Returns
    -------
    raw : RawArray
        The recording, in V.
    """
    import mne

    info = mne.create_info(list(ch_names), sfreq, "eeg")
    info.set_meas_date(meas_date)
    volts = np.asarray(signals, dtype=np.float64) * 1e-6
    return mne.io.RawArray(volts, info, verbose="WARNING")


def simulate_night(
    duration: float = 8 * 3600.0,
    *,
    ch_names: Sequence[str] = ("EEG Fpz-Cz", "EEG Pz-Oz"),
    sfreq: float = SFREQ,
    meas_date: datetime | None = _MEAS_DATE,
    random_state: int | Generator | RandomState | None = None,
) -> tuple[RawArray, Hypnogram]:
    """Simulate a recording and its hypnogram.

    Parameters
    ----------
    duration : float
        In seconds. An incomplete last epoch is part of the recording, but not of the
        hypnogram.
    ch_names : sequence of str
        One or two names, of channels similar to EEG Fpz-Cz and to EEG Pz-Oz.
    sfreq : float
        The sampling frequency in Hz. There is no power above 50 Hz.
    meas_date : datetime | None
        The start of the recording and of the hypnogram in UTC.
    random_state : int | Generator | RandomState | None
        Seeds the stages and the noise.

    Returns
    -------
    raw : RawArray
        The recording.
    hypno : yasa.Hypnogram
        Its stages, with the scorer ``"Simulation"``.

    Notes
    -----
    YASA draws the stages (transitions of Metzner et al. 2021,
    https://doi.org/10.1038/s42003-021-02912-6). The signal is Gaussian noise, whose
    band powers have the means and correlations of 131 nights of Sleep-EDF, and smaller
    deviations. Such nights are for tests and examples: scores on them say nothing about
    scores on people.
    """
    import yasa

    ch_names = [ch_names] if isinstance(ch_names, str) else list(ch_names)
    if len(ch_names) not in (1, 2):
        raise ValueError(f"'ch_names' must be one or two channels, got {ch_names}.")
    if duration < EPOCH_DURATION:
        raise ValueError(
            f"'duration' must be at least {EPOCH_DURATION:g} s, got {duration:g} s."
        )
    rng = np.random.default_rng(random_state)
    # The incomplete last epoch has a stage too, which is removed below.
    n_epochs = int(np.ceil(duration / EPOCH_DURATION))
    seed = int(rng.integers(2**31))
    hypno = yasa.simulate_hypnogram(n_epochs * EPOCH_DURATION / 60, seed=seed)
    log_band_power = _draw_powers(hypno.as_int().to_numpy(), rng)
    signals = _draw_signals(log_band_power[:, : len(ch_names)], rng)
    up, down = Fraction(sfreq / SFREQ).limit_denominator(1000).as_integer_ratio()
    signals = resample_poly(signals, up, down, axis=1)[:, : round(duration * sfreq)]
    raw = make_raw(signals, ch_names, sfreq=sfreq, meas_date=meas_date)
    stages = hypno.hypno.to_numpy()[: int(duration // EPOCH_DURATION)]
    return raw, yasa.Hypnogram(stages, start=meas_date, scorer="Simulation")


def _draw_powers(stages: NDArray, rng: Generator) -> NDArray:
    """Draw the log band powers of epochs, (n_epochs, 2, 5)."""
    persistence, n_features = constants.AUTOCORRELATION, len(constants.SUBJECT_STDS)
    noise = rng.standard_normal((stages.size, n_features))
    start = persistence * rng.standard_normal((1, n_features))
    scale = np.sqrt(1 - persistence**2)
    path, _ = lfilter([scale], [1, -persistence], noise, axis=0, zi=start)
    values, vectors = np.linalg.eigh(constants.CORRELATIONS)
    root = vectors * np.sqrt(values) @ vectors.T
    deviations = path.clip(-2, 2) @ root * constants.STAGE_STDS[stages]
    offset = rng.standard_normal(n_features).clip(-2, 2) @ root * constants.SUBJECT_STDS
    powers = constants.STAGE_MEANS[stages] + _SPREAD * (offset + deviations)
    return powers.reshape(stages.size, 2, -1)


def _draw_signals(log_band_power: NDArray, rng: Generator) -> NDArray:
    """Draw Gaussian noise with these powers, (n_channels, n_epochs * N_TIMES)."""
    n_epochs, n_channels, _ = log_band_power.shape
    n_segment = N_TIMES + _N_FADE
    density = _density(log_band_power, rfftfreq(n_segment, 1 / SFREQ))
    noise = rng.standard_normal((n_epochs, n_channels + 1, n_segment))
    noise = np.sqrt(_COHERENCE) * noise[:, :1] + np.sqrt(1 - _COHERENCE) * noise[:, 1:]
    segments = irfft(rfft(noise) * np.sqrt(density * SFREQ / 2), n_segment)
    signals = segments[..., :N_TIMES]
    fade = np.sin(np.pi / 2 * (np.arange(_N_FADE) + 0.5) / _N_FADE)
    signals[1:, :, :_N_FADE] *= fade
    signals[1:, :, :_N_FADE] += segments[:-1, :, N_TIMES:] * fade[::-1]
    return signals.swapaxes(0, 1).reshape(n_channels, -1)


def _density(log_band_power: NDArray, freqs: NDArray) -> NDArray:
    """Return the power density in µV²/Hz at frequencies, (..., n_freqs).

    It is linear in log-log coordinates between the centres of the bands, and has the
    given mean in each band.
    """
    centers = 0.5 * np.log(_EDGES[1:] * _EDGES[:-1])
    interpolate = interp1d(centers, np.eye(5), axis=0, fill_value="extrapolate")
    basis = interpolate(np.log(freqs.clip(_EDGES[0]))).T  # (5, n_freqs)
    band = np.digitize(freqs, _EDGES, right=True)
    members = (band[:, None] == np.arange(1, 6)).astype(float)  # (n_freqs, 5)
    levels = log_band_power
    for _ in range(5):
        found = np.exp(levels @ basis) @ (members / members.sum(axis=0))
        levels = levels + log_band_power - np.log(found)
    return np.exp(levels @ basis) * members.any(axis=1)
