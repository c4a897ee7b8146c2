"""Make EEG from band powers, and scored nights that need no data.

An epoch's signal is noise with the epoch's spectrum. Nothing here draws a signal by
sleep stage: a network trained on such nights would learn the drawing, not sleep.
"""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import fft, irfft, rfftfreq
from scipy.signal import get_window, lfilter, resample_poly

from . import _simulation_constants as constants
from ._constants import EPOCH_DURATION, N_TIMES, SFREQ

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mne.io import RawArray
    from numpy.typing import ArrayLike, NDArray
    from yasa import Hypnogram

    RandomState = int | np.random.Generator | np.random.RandomState | None

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

# One cycle of the slowest band, so that no border shows; hardly more would mix epochs.
_N_FADE = 200
_N_SEGMENT = N_TIMES + _N_FADE
_FREQS = rfftfreq(_N_SEGMENT, 1 / SFREQ)
# Between any two channels: about that of Fpz-Cz and Pz-Oz; our choice.
_COHERENCE = 0.3
# Our choice: beyond it a Gaussian path has amplitudes that no night has.
_MAX_DEVIATION = 2.5
_LOWEST_FREQ = BANDS["delta"][0]
_MEAS_DATE = datetime(2000, 1, 1, 22, tzinfo=UTC)


def resynthesize(
    log_band_power: ArrayLike,
    log_variance: ArrayLike,
    *,
    random_state: RandomState = None,
) -> NDArray[np.float32]:
    """Make a signal that has given band powers in every epoch.

    Parameters
    ----------
    log_band_power : array of shape (n_epochs, n_channels, 5)
        The natural log of the mean power density (µV²/Hz) in each of ``BANDS``, by
        Welch's method with segments of ``WELCH_N_TIMES`` samples at 100 Hz.
    log_variance : array of shape (n_epochs, n_channels)
        The natural log of the variance (µV²) of the epoch.
    random_state : int | Generator | RandomState | None
        Seeds the noise. The same number gives the same signal.

    Returns
    -------
    signals : array of shape (n_channels, n_epochs * N_TIMES)
        The signal in µV at 100 Hz.

    Raises
    ------
    ValueError
        If the shapes do not fit together or a value is NaN or infinite.

    Notes
    -----
    All choices are ours. The spectrum is linear in log-log coordinates between the
    bands' geometric centres, fitted so that Welch's method finds the given powers. What
    the variance exceeds the bands by becomes a drift below 0.5 Hz with a 1/f spectrum;
    where the bands alone exceed the variance, they win. The phases are random (a phase-
    randomised surrogate, Theiler et al. 1992, https://doi.org/10.1016/0167-2789(92)90102-S),
    with a coherence of 0.3 between any two channels. Epochs fade into each other within
    2 s. There is no stage among the parameters, so that none can leak into the signal.
    """
    log_band_power, log_variance = _check_powers(log_band_power, log_variance)
    rng = _check_random_state(random_state)
    power = _line_power(log_band_power.reshape(-1, len(BANDS)), log_variance.ravel())
    segments = _random_phase_noise(power.reshape(*log_variance.shape, -1), rng)
    return _overlap_add(segments)


def _check_powers(log_band_power, log_variance):
    """Give both arrays as float32, or say what is wrong with them."""
    log_band_power = np.asarray(log_band_power, dtype=np.float32)
    log_variance = np.asarray(log_variance, dtype=np.float32)
    if log_band_power.ndim != 3 or log_band_power.shape[2] != len(BANDS):
        raise ValueError(
            "'log_band_power' must have the shape (n_epochs, n_channels, "
            f"{len(BANDS)}), but has {log_band_power.shape}."
        )
    if log_variance.shape != log_band_power.shape[:2] or not log_variance.size:
        raise ValueError(
            "'log_variance' must have the shape (n_epochs, n_channels) of "
            f"'log_band_power', with one epoch or more, but has {log_variance.shape} "
            f"beside {log_band_power.shape}."
        )
    finite = np.isfinite(log_band_power).all(axis=(1, 2))
    finite &= np.isfinite(log_variance).all(axis=1)
    if not finite.all():
        rows = np.flatnonzero(~finite)
        named = ", ".join(map(str, rows[:10])) + (", ..." if len(rows) > 10 else "")
        raise ValueError(
            f"{len(rows)} of {len(finite)} epochs have NaN or infinite powers: rows "
            f"{named}. Leave them out, or give them the powers of their neighbours."
        )
    return log_band_power, log_variance


def _check_random_state(random_state: RandomState) -> np.random.Generator:
    """Make a Generator; scikit-learn's function of this name refuses one."""
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31 - 1)
    return np.random.default_rng(random_state)


@lru_cache(maxsize=1)
def _welch_response() -> NDArray[np.float32]:
    """Find what Welch's method measures in each band of unit power at a frequency.

    In 1/Hz, shape (n_freqs, 5). Its leakage matters: drift looks like delta.
    """
    window = get_window("hann", WELCH_N_TIMES)
    times = np.arange(WELCH_N_TIMES) / SFREQ
    waves = np.exp(2j * np.pi * np.outer(_FREQS, times))
    waves -= waves.mean(axis=1, keepdims=True)
    density = np.abs(fft(waves * window)) ** 2 / (SFREQ * (window**2).sum())
    density[:, 1:] += density[:, :0:-1]
    freqs = rfftfreq(WELCH_N_TIMES, 1 / SFREQ)
    inside = [(freqs >= low) & (freqs <= high) for low, high in BANDS.values()]
    bands = [density[:, : len(freqs)][:, band].mean(axis=1) for band in inside]
    return np.stack(bands, axis=1).astype(np.float32)


@lru_cache(maxsize=1)
def _spectrum_basis() -> NDArray[np.float32]:
    """Interpolate linearly in log-log from the bands' centres, and extrapolate.

    ``levels @ basis`` is the log spectrum, with basis of shape (5, n_freqs).
    """
    centres = np.log([np.sqrt(low * high) for low, high in BANDS.values()])
    freqs = np.log(np.maximum(_FREQS, _LOWEST_FREQ))
    left = np.clip(np.searchsorted(centres, freqs) - 1, 0, len(BANDS) - 2)
    weight = (freqs - centres[left]) / (centres[left + 1] - centres[left])
    basis = np.zeros((len(BANDS), _FREQS.size), dtype=np.float32)
    columns = np.arange(_FREQS.size)
    basis[left, columns] = 1 - weight
    basis[left + 1, columns] = weight
    return basis


@lru_cache(maxsize=1)
def _drift_spectrum() -> NDArray[np.float32]:
    """Share a variance of 1 among the frequencies below the lowest band, as 1/f."""
    slow = (_FREQS > 0) & (_FREQS < _LOWEST_FREQ)
    spectrum = np.where(slow, 1 / np.maximum(_FREQS, _FREQS[1]), 0)
    return (spectrum / spectrum.sum()).astype(np.float32)


def _line_power(log_band_power, log_variance, n_iter=8):
    """Find the power of each frequency that gives the bands and the variance.

    Both depend on each other (drift leaks into delta), so both are corrected in turn.

    Parameters
    ----------
    log_band_power : array of shape (n_rows, 5)
    log_variance : array of shape (n_rows,)
    n_iter : int
        After 8 the bands' error in real nights is below 0.01 dB.

    Returns
    -------
    power : array of shape (n_rows, n_freqs)
        In µV².
    """
    response, basis = _welch_response(), _spectrum_basis()
    drift_shape = _drift_spectrum()
    in_bands = (_FREQS >= _LOWEST_FREQ).astype(np.float32)
    asked, variance = np.exp(log_band_power), np.exp(log_variance)
    levels = log_band_power
    power = np.exp(levels @ basis) * in_bands
    for _ in range(n_iter):
        drift = np.maximum(variance - power.sum(axis=1), 0)[:, np.newaxis]
        # Never all of a band, which would send its level to minus infinity.
        wanted = np.maximum(asked - drift * (drift_shape @ response), 0.2 * asked)
        levels = levels + np.log(wanted / (power @ response))
        power = np.exp(levels @ basis) * in_bands
    drift = np.maximum(variance - power.sum(axis=1), 0)[:, np.newaxis]
    return power + drift * drift_shape


def _random_phase_noise(power, rng):
    """Give each frequency a random phase, partly shared by the channels.

    From power in µV² of shape (n_epochs, n_channels, n_freqs) to segments in µV of
    shape (n_epochs, n_channels, n_segment), independent from epoch to epoch.
    """
    n_epochs, _, n_freqs = power.shape
    shared = rng.random((n_epochs, 1, n_freqs), dtype=np.float32)
    phase = np.float32(2 * np.pi) * shared
    # Two phases that each stray by this much have a mean resultant of _COHERENCE.
    spread = np.float32(np.sqrt(-np.log(_COHERENCE)))
    phase = phase + spread * rng.standard_normal(power.shape, dtype=np.float32)
    spectrum = np.sqrt(2 * power) * np.float32(_N_SEGMENT / 2) * np.exp(1j * phase)
    return irfft(spectrum, n=_N_SEGMENT)


def _overlap_add(segments):
    """Cross-fade segments with constant power: (n_channels, n_epochs * N_TIMES)."""
    n_epochs, n_channels, _ = segments.shape
    fade = np.sin(np.pi / 2 * (np.arange(_N_FADE) + 0.5) / _N_FADE).astype(np.float32)
    signals = segments[..., :N_TIMES].copy()  # (n_epochs, n_channels, n_times)
    signals[1:, :, :_N_FADE] *= fade
    signals[1:, :, :_N_FADE] += segments[:-1, :, N_TIMES:] * fade[::-1]
    # The fades straddle the epochs' borders, so that no epoch bears them alone.
    last = segments[-1:, :, N_TIMES:]
    signals = np.moveaxis(signals, 1, 0).reshape(n_channels, n_epochs * N_TIMES)
    signals = np.concatenate([signals, last[0]], axis=1)
    return signals[:, _N_FADE // 2 : _N_FADE // 2 + n_epochs * N_TIMES]


def make_raw(
    signals: ArrayLike,
    ch_names: Sequence[str],
    *,
    sfreq: float = SFREQ,
    meas_date: datetime | None = None,
) -> RawArray:
    """Wrap EEG signals in a recording.

    Parameters
    ----------
    signals : array of shape (n_channels, n_times)
        In µV.
    ch_names : sequence of str
        One name per channel.
    sfreq : float
        The sampling frequency of ``signals`` in Hz.
    meas_date : datetime | None
        When the recording starts, in UTC.

    Returns
    -------
    raw : RawArray
        The recording, of EEG channels in volts.

    Raises
    ------
    ValueError
        If there is not one name per channel.
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
    random_state: RandomState = None,
) -> tuple[RawArray, Hypnogram]:
    """Simulate a scored night without any data.

    Parameters
    ----------
    duration : float
        The recording's length in seconds. What exceeds a multiple of 30 s is part of
        the recording, but not of the hypnogram.
    ch_names : sequence of str
        One or two names. The first channel is like EEG Fpz-Cz, the second like Pz-Oz.
    sfreq : float
        The recording's sampling frequency in Hz. There is no power above 50 Hz.
    meas_date : datetime | None
        When the recording and the hypnogram start, in UTC. By default 10 p.m. on the
        first of January 2000.
    random_state : int | Generator | RandomState | None
        Seeds the stages and the noise. The same number gives the same night.

    Returns
    -------
    raw : RawArray
        The recording.
    hypno : yasa.Hypnogram
        Its stages, by the scorer ``"Simulation"``.

    Raises
    ------
    ValueError
        If ``duration`` is under one epoch or there are not one or two names.

    Notes
    -----
    The stages are YASA's Markov chain (transitions of Metzner et al. 2021,
    https://doi.org/10.1038/s42003-021-02912-6). The powers of an epoch are the mean of
    its stage + an offset of the subject, drawn once + a deviation that follows an
    autoregressive path. Their moments are those of real nights (131 nights of the
    Sleep-EDF Database Expanded; see ``_simulation_constants.py``). From the powers,
    :func:`resynthesize` makes the signal. Such nights serve tests and examples: a
    stager's score on them says nothing about people.
    """
    import yasa

    ch_names = [ch_names] if isinstance(ch_names, str) else list(ch_names)
    if len(ch_names) not in (1, 2):
        raise ValueError(
            "A simulated night has one or two channels, but 'ch_names' names "
            f"{len(ch_names)}: {ch_names}."
        )
    if duration < EPOCH_DURATION:
        raise ValueError(
            f"A simulated night has at least one epoch of {EPOCH_DURATION:g} s, but "
            f"'duration' is {duration:g} s."
        )
    rng = _check_random_state(random_state)
    # The unscored tail has a stage too: one epoch more is simulated, then cut.
    n_epochs = int(np.ceil(duration / EPOCH_DURATION))
    seed = int(rng.integers(2**31))
    hypno = yasa.simulate_hypnogram(n_epochs * EPOCH_DURATION / 60, seed=seed)
    log_band_power, log_variance = _simulate_powers(hypno.as_int().to_numpy(), rng)
    signals = resynthesize(
        log_band_power[:, : len(ch_names)],
        log_variance[:, : len(ch_names)],
        random_state=rng,
    )
    ratio = Fraction(sfreq / SFREQ).limit_denominator(1000)
    if ratio != 1:
        signals = resample_poly(signals, ratio.numerator, ratio.denominator, axis=1)
    signals = signals[:, : round(duration * sfreq)]
    raw = make_raw(signals, ch_names, sfreq=sfreq, meas_date=meas_date)
    stages = hypno.hypno.to_numpy()[: int(duration // EPOCH_DURATION)]
    return raw, yasa.Hypnogram(stages, start=meas_date, scorer="Simulation")


def _simulate_powers(stages, rng):
    """Draw log band powers (n_epochs, 2, 5) and log variances (n_epochs, 2)."""
    n_features = constants.STAGE_MEANS.shape[1]
    persistence = constants.AUTOCORRELATION
    path, _ = lfilter(
        [np.sqrt(1 - persistence**2)],
        [1, -persistence],
        rng.standard_normal((stages.size, n_features)),
        axis=0,
        zi=persistence * rng.standard_normal((1, n_features)),
    )
    path = np.clip(path, -_MAX_DEVIATION, _MAX_DEVIATION)
    roots = _covariance_root(constants.STAGE_STDS, constants.STAGE_CORRELATIONS)
    deviations = np.einsum("eij,ej->ei", roots[stages], path)
    offset = np.clip(rng.standard_normal(n_features), -_MAX_DEVIATION, _MAX_DEVIATION)
    root = _covariance_root(constants.SUBJECT_STDS, constants.SUBJECT_CORRELATIONS)
    features = constants.STAGE_MEANS[stages] + root @ offset + deviations
    features = features.reshape(stages.size, 2, -1)
    return features[..., :-1], features[..., -1]


def _covariance_root(stds, correlations):
    """Take the symmetric square root of covariances, so that features keep their own.

    The path of one feature must stay with it when the stage changes, which the
    triangular root of Cholesky would not do.
    """
    covariances = stds[..., :, np.newaxis] * correlations * stds[..., np.newaxis, :]
    values, vectors = np.linalg.eigh(covariances)
    # Rounding may have pushed the smallest eigenvalues below zero.
    scaled = vectors * np.sqrt(np.maximum(values, 1e-6))[..., np.newaxis, :]
    return scaled @ np.swapaxes(vectors, -1, -2)
